"""How a question is held against the chunks of a version: two legs look for candidates, each gets both scores, they are fused.

The lexical leg is coverage (see `knowledge.lexicon`), the dense one cosine. Ranks are not fused: rank fusion with an encoder
that does not know the language takes Chinese from 93 % to 39 % (docs/decisions/0004). The weight of the dense leg depends on
what is compared. A visitor's question and a FAQ's question are two phrasings of one sentence, which the encoder was trained
to recognise; a question and a passage share mostly words. And it shrinks with the share that the encoder understands.

Earlier questions of a conversation are asked beside the last one, never joined to its words: their scores are added, as far
as they speak of the same thing. docs/knowledge.md says on what data the weights were chosen.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from knowledge.embedding import Vectors, question_vector
from knowledge.index import OpenIndex
from knowledge.lexicon import LEG_WEIGHTS, Lexicon, Sparse
from knowledge.segment import Legs, legs

DENSE_WEIGHT_QUESTION = 0.85
DENSE_WEIGHT_PASSAGE = 0.7
UNDERSTANDING_POWER = 1  # how fast the dense leg's weight falls with what the encoder does not understand

CANDIDATES = 50  # a leg
CONTEXT = 0.5  # the most that earlier questions weigh, the last one being 1
RARITY = 0.1  # what a point of BM25 a token adds to the strength of the evidence

Scores = npt.NDArray[np.float64]
Join = Callable[[float], float]
"""From how much the best passage also belongs to the earlier questions (0 to 1) to the share of `CONTEXT` they get."""


@dataclass(frozen=True)
class Asked:
    """One text that is searched for: its vector, the share of it that the encoder understands, its tokens."""

    vector: Vectors
    understood: float
    cut: Legs

    @classmethod
    def of(cls, text: str) -> "Asked":
        """Raises `knowledge.embedding.EncoderUnavailable`."""
        vector, understood = question_vector(text)
        return cls(vector, understood, legs(text))


@dataclass(frozen=True)
class Asking:
    """A question in one or more forms (its own words come first), and what was asked before it."""

    forms: tuple[Asked, ...]
    earlier: tuple[Asked, ...] = ()

    @classmethod
    def of(cls, question: str, also: Sequence[str] = (), earlier: Sequence[str] = ()) -> "Asking":
        """Raises `knowledge.embedding.EncoderUnavailable`."""
        return cls(tuple(map(Asked.of, (question, *also))), tuple(map(Asked.of, earlier)))

    @property
    def understood(self) -> float:
        return self.forms[0].understood


@dataclass(frozen=True)
class Matches:
    """The candidates of a version, by their point numbers; every array goes with `points`.

    `alone` is the fused score of the question's forms, `context` that of the earlier questions. `strength` says how much
    speaks for a chunk, over both. Unlike the scores it counts a rare word for more than a common one: what is asked for by
    its name and found is a surer thing than what is asked for, and found, in everyday words.
    """

    points: npt.NDArray[np.int64]
    alone: Scores
    context: Scores
    cosine: Scores
    coverage: Scores
    strength: Scores


def match(
    asking: Asking, index: OpenIndex, lexicon: Lexicon, questions: npt.NDArray[np.bool_], *, dense: bool
) -> Matches:
    """Look a question up in a version. `questions`: which points are a FAQ's question. `dense`: its vectors can be compared.

    Raises `knowledge.index.IndexUnavailable`.
    """
    mean = _Probe.of(asking.forms, lexicon, dense)
    before = _Probe.of(asking.earlier, lexicon, dense) if asking.earlier else None
    probes = [probe for probe in (mean, before) if probe]
    found = [(probe.nearest(index), probe.matching(index)) for probe in probes]
    points = np.array(sorted({point for legs_ in found for leg in legs_ for point in leg}), np.int64)
    weight = np.where(questions[points], DENSE_WEIGHT_QUESTION, DENSE_WEIGHT_PASSAGE)
    held = [probe.score(index, points, *legs_) for probe, legs_ in zip(probes, found, strict=True)]
    (cosine, raw), (cosine_before, raw_before) = held[0], held[-1] if before else (np.zeros(len(points)),) * 2
    alone = mean.fuse(cosine, raw, weight)
    context = before.fuse(cosine_before, raw_before, weight) if before else np.zeros(len(points))
    strength = _strength(mean, before, held)
    return Matches(points, alone, context, cosine, raw / (mean.ceiling or 1.0), strength)


def _strength(mean: "_Probe", before: "_Probe | None", held: Sequence[tuple[Scores, Scores]]) -> Scores:
    """See `Matches`: the share that is understood counts by cosine, the rest by coverage, and BM25 a token is added."""
    (cosine, raw), ceiling, size, length = held[0], mean.ceiling, mean.size, 1.0
    cosine = mean.trust * cosine
    if before:
        cosine = cosine + CONTEXT * before.trust * held[1][0]
        raw = raw + CONTEXT * held[1][1]
        ceiling, size = ceiling + CONTEXT * before.ceiling, size + CONTEXT * before.size
        length = float(np.linalg.norm(mean.vector + CONTEXT * before.vector))
    return cosine / max(1e-6, length) + (1 - mean.trust) * raw / (ceiling or 1.0) + RARITY * raw / max(1.0, size)


def joined(matches: Sequence[Matches], join: Join) -> tuple[list[Scores], float]:
    """The scores of all candidates, as far as the earlier questions join in, and how much they do (0 to `CONTEXT`)."""
    best = max((found for found in matches if len(found.points)), key=lambda found: found.alone.max(), default=None)
    most = max((float(found.context.max()) for found in matches if len(found.points)), default=0.0)
    if best is None or not most:
        return [found.alone for found in matches], 0.0
    related = float(best.context[best.alone.argmax()]) / most
    share = CONTEXT * join(related)
    return [(found.alone + share * found.context) / (1 + share) for found in matches], share


@dataclass(frozen=True)
class _Probe:
    """The mean of some texts, ready to be looked up: scores are linear, so one look-up does for all of them.

    `trust` is the dense leg's own weight; `ceiling` see `knowledge.lexicon`; `size` counts tokens, each leg by its weight.
    """

    vector: Vectors
    trust: float
    sparse: Sparse
    ceiling: float
    size: float

    @classmethod
    def of(cls, texts: Sequence[Asked], lexicon: Lexicon, dense: bool) -> "_Probe":
        weights: dict[int, float] = {}
        ceiling = size = 0.0
        for text in texts:
            sparse, full = lexicon.weigh_question(text.cut)
            ceiling += full / len(texts)
            size += sum(part * len(set(leg)) for part, leg in zip(LEG_WEIGHTS, text.cut, strict=True)) / len(texts)
            for token, value in zip(sparse.indices, sparse.values, strict=True):
                weights[token] = weights.get(token, 0.0) + value / len(texts)
        trust = sum(text.understood for text in texts) / len(texts) if dense else 0.0
        vector = np.mean([text.vector for text in texts], axis=0) if len(texts) > 1 else texts[0].vector
        return cls(vector, trust**UNDERSTANDING_POWER, Sparse(list(weights), list(weights.values())), ceiling, size)

    def nearest(
        self, index: OpenIndex, among: Iterable[int] | None = None, limit: int = CANDIDATES
    ) -> dict[int, float]:
        return index.nearest(self.vector, limit, among=among) if self.trust else {}

    def matching(
        self, index: OpenIndex, among: Iterable[int] | None = None, limit: int = CANDIDATES
    ) -> dict[int, float]:
        return index.matching(self.sparse, limit, among=among)

    def score(
        self, index: OpenIndex, points: npt.NDArray[np.int64], cosines: dict[int, float], raws: dict[int, float]
    ) -> tuple[Scores, Scores]:
        """Both scores of every point, exactly: those that a leg did not find are asked for."""
        every = points.tolist()
        if unseen := [point for point in every if point not in cosines]:
            cosines = cosines | self.nearest(index, unseen, len(unseen))
        if unseen := [point for point in every if point not in raws]:
            raws = raws | self.matching(index, unseen, len(unseen))
        return _row(cosines, every), _row(raws, every)

    def fuse(self, cosine: Scores, raw: Scores, weight: Scores) -> Scores:
        dense = self.trust * weight
        return dense * cosine + (1 - dense) * (raw / self.ceiling if self.ceiling else raw)


def _row(found: dict[int, float], points: list[int]) -> Scores:
    return np.array([found.get(point, 0.0) for point in points], np.float64)
