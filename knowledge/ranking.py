"""How a question is held against the chunks of a version: two legs look for candidates, each gets both scores, they are fused.

The lexical leg is coverage (see `knowledge.lexicon`), the dense one cosine. Ranks are not fused: rank fusion with an encoder
that does not know the language takes Chinese from 93 % to 39 % (docs/decisions/0004). The weight of the dense leg depends on
what is compared. A visitor's question and a FAQ's question are two phrasings of one sentence, which the encoder was trained
to recognise; a question and a passage share mostly words. And it shrinks with the share that the encoder understands.

Earlier questions of a conversation are asked beside the last one, never joined to its words: their scores are added, as far
as they speak of the same thing; a change of subject leaves them behind. docs/knowledge.md says on what data the weights were
chosen.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from knowledge.embedding import Vectors, question_vector
from knowledge.index import OpenIndex
from knowledge.lexicon import LEG_WEIGHTS, Lexicon, Sparse, Weighed
from knowledge.segment import Legs, legs
from workspace.chinese import in_mainland_words, simplified

DENSE_WEIGHT_QUESTION = 0.85
DENSE_WEIGHT_PASSAGE = 0.7
UNDERSTANDING_POWER = 2  # how fast the dense leg's weight falls with what the encoder does not understand
UNDERSTANDING_POWER_QUESTION = 3  # two questions full of unknown words look alike to it
UNDERSTANDING_POWER_EVIDENCE = 5  # and so do two that are about different things
DENSE_WEIGHT_EVIDENCE = (
    0.9  # even where all is understood: a rare word that is nowhere found tells what a cosine does not
)

CANDIDATES, CANDIDATES_BEFORE = 50, 20  # a leg, for the question and for what was asked before it
CONTEXT = 0.5  # the most that earlier questions weigh, the last one being 1
RARITY = 0.5  # what it adds to the strength of the evidence if every token is found and as rare as can be
RAREST = 7.4  # BM25 of what none of 800 chunks holds; in fewer ones nothing is as rare, in more ones it says no more
WEAK, WEAK_PER_UNDERSTOOD = 0.05, 0.28  # of a question's own strength: 0.33 where the encoder understands it whole

Scores = npt.NDArray[np.float64]
Join = Callable[[float], float]
"""From how much the best passage also belongs to the earlier questions (0 to 1) to the share of `CONTEXT` they get."""


@dataclass(frozen=True)
class Asked:
    """One text that is searched for: its vector, the share of it that the encoder understands, its tokens."""

    vector: Vectors
    understood: float
    cut: Legs
    in_other_words: Legs | None = None  # with the Mainland's words for Taiwan's

    @classmethod
    def of(cls, text: str) -> "Asked":
        """Raises `knowledge.embedding.EncoderUnavailable`."""
        vector, understood = question_vector(text)
        mainland = in_mainland_words(text)
        return cls(vector, understood, legs(text), legs(mainland) if mainland != simplified(text) else None)

    def weigh(self, lexicon: Lexicon) -> Weighed:
        """Its tokens in the words of which the version holds more."""
        weighed = [lexicon.weigh_question(cut) for cut in (self.cut, self.in_other_words) if cut is not None]
        return max(weighed, key=lambda one: sum(one.sparse.values) / one.ceiling if one.ceiling else 0.0)


@dataclass(frozen=True)
class Asking:
    """A question in one or more forms (its own words come first), and what was asked before it."""

    forms: tuple[Asked, ...]
    earlier: tuple[Asked, ...] = ()

    @classmethod
    def of(cls, question: str, also: Sequence[str] = (), earlier: Sequence[str] = ()) -> "Asking":
        """Raises `knowledge.embedding.EncoderUnavailable`."""
        return cls(tuple(map(Asked.of, (question, *also))), tuple(map(Asked.of, earlier)))


@dataclass(frozen=True)
class Matches:
    """The candidates of a version, by their point numbers; every array goes with `points`.

    `alone` is the fused score of the question's forms, `context` that of the earlier questions. `strength` (forms × points)
    says how much speaks for a chunk by one form of the question and the earlier ones; `own`, by the form alone. Unlike the
    scores they count a rare word for more than a common one: what is asked for by its name and found is a surer thing than
    what is asked for, and found, in everyday words. And they are no mean over the forms: in another language than the
    chunks', a question's own words find nothing, which takes nothing from what its translation finds.
    """

    points: npt.NDArray[np.int64]
    alone: Scores
    context: Scores
    cosine: Scores
    coverage: Scores
    strength: Scores
    own: Scores

    @property
    def apart(self) -> "Matches":
        """As if nothing had been asked before."""
        return replace(self, context=np.zeros(len(self.points)), strength=self.own)


def match(
    asking: Asking, index: OpenIndex, lexicon: Lexicon, questions: npt.NDArray[np.bool_], *, dense: bool
) -> Matches:
    """Look a question up in a version. `questions`: which points are a FAQ's question. `dense`: its vectors can be compared.

    Raises `knowledge.index.IndexUnavailable`.
    """
    asked = _Probe.of(asking.forms, lexicon, dense)
    before = _Probe.of(asking.earlier, lexicon, dense) if asking.earlier else None
    probes = [asked, before] if before else [asked]
    limits = (CANDIDATES, CANDIDATES_BEFORE)
    found = [
        (probe.nearest(index, limit=limit), probe.matching(index, limit=limit))
        for probe, limit in zip(probes, limits, strict=False)
    ]
    points = np.array(sorted({point for legs_ in found for leg in legs_ for point in leg}), np.int64)
    held = [probe.score(index, points, *legs_) for probe, legs_ in zip(probes, found, strict=True)]
    fused = [probe.fuse(*scores, questions[points]) for probe, scores in zip(probes, held, strict=True)]
    (cosine, coverage), context = held[0], fused[1] if before else np.zeros(len(points))
    forms = [asked] if len(asking.forms) == 1 else [_Probe.of([form], lexicon, dense) for form in asking.forms]
    by_form = held[:1] if len(forms) == 1 else [form.score(index, points, {}, {}) for form in forms]
    rarest = min(RAREST, lexicon.rarest)
    own = [_strength([form], [scores], rarest) for form, scores in zip(forms, by_form, strict=True)]
    strength = [
        _strength([form, *probes[1:]], [scores, *held[1:]], rarest) for form, scores in zip(forms, by_form, strict=True)
    ]
    return Matches(points, fused[0], context, cosine, coverage, np.stack(strength), np.stack(own))


def _strength(probes: Sequence["_Probe"], held: Sequence[tuple[Scores, Scores]], rarest: float) -> Scores:
    """See `Matches`: as far as a question is understood, its cosine counts, for the rest coverage, and the rarity of what was
    found is added, in shares of what is `rarest` here.

    Side words weigh next to nothing; lest they carry a question that has no others, it counts as one whole word at least.
    """
    shares = [1.0, CONTEXT][: len(probes)]
    parts = list(zip(shares, probes, held, strict=True))
    agree = float(probes[0].vector @ probes[-1].vector) if len(probes) > 1 else 0.0
    length = np.sqrt(sum(share**2 for share in shares) + 2 * sum(shares[1:]) * agree)
    ceiling = max(rarest, sum(share * probe.ceiling for share, probe, _ in parts))
    size = max(sum(LEG_WEIGHTS), sum(share * probe.size for share, probe, _ in parts))
    cosine = sum(share * probe.comparable * scores[0] for share, probe, scores in parts)
    raw = sum(share * probe.ceiling * scores[1] for share, probe, scores in parts)
    coverage = (1 - probes[0].comparable) * raw / ceiling
    return np.asarray(cosine / max(1e-6, length) + coverage + RARITY * raw / (size * rarest), np.float64)


def evidence(asking: Asking, matches: Sequence[Matches]) -> tuple[float, float]:
    """How much speaks for the best of all chunks, and the share that the encoder understands of the form that says so."""
    strongest = [found.strength.max(axis=1) for found in matches if len(found.points)]
    if not strongest:
        return 0.0, asking.forms[0].understood
    by_form = np.max(strongest, axis=0)
    return float(by_form.max()), asking.forms[int(by_form.argmax())].understood


def on_the_subject(asking: Asking, matches: Sequence[Matches], join: Join) -> list[Matches]:
    """The matches, without the earlier questions where the last one changes the subject.

    It does when it does not lean on them (`join` of nothing is nothing) and finds next to nothing in any form. Their own source
    would then speak for an answer to it, and the fewer sources there are, the more surely it is the best passage for both.
    """
    weak = [WEAK + WEAK_PER_UNDERSTOOD * form.understood for form in asking.forms]
    finds = any((found.own.max(axis=1) >= weak).any() for found in matches if len(found.points))
    return list(matches) if finds or join(0.0) else [found.apart for found in matches]


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

    `sparse` is weighed so that its product with a chunk is the mean of the texts' coverages; `ceiling` and `size` are the means
    of theirs (see `knowledge.lexicon`).
    """

    vector: Vectors
    understood: float
    sparse: Sparse
    ceiling: float
    size: float

    @classmethod
    def of(cls, texts: Sequence[Asked], lexicon: Lexicon, dense: bool) -> "_Probe":
        """Without `dense` it counts as not understood at all."""
        weights: dict[int, float] = {}
        ceiling = size = 0.0
        for text in texts:
            sparse, full, counted = text.weigh(lexicon)
            ceiling += full / len(texts)
            size += counted / len(texts)
            for token, value in zip(sparse.indices, sparse.values, strict=True):
                weights[token] = weights.get(token, 0.0) + value / full / len(texts)
        understood = sum(text.understood for text in texts) / len(texts) if dense else 0.0
        vector = np.mean([text.vector for text in texts], axis=0) if len(texts) > 1 else texts[0].vector
        return cls(vector, understood, Sparse(list(weights), list(weights.values())), ceiling, size)

    @property
    def comparable(self) -> float:
        """How far its cosine says whether something is about the same thing at all."""
        return DENSE_WEIGHT_EVIDENCE * self.understood**UNDERSTANDING_POWER_EVIDENCE

    def nearest(
        self, index: OpenIndex, among: Iterable[int] | None = None, limit: int = CANDIDATES
    ) -> dict[int, float]:
        return index.nearest(self.vector, limit, among=among) if self.understood else {}

    def matching(
        self, index: OpenIndex, among: Iterable[int] | None = None, limit: int = CANDIDATES
    ) -> dict[int, float]:
        return index.matching(self.sparse, limit, among=among)

    def score(
        self, index: OpenIndex, points: npt.NDArray[np.int64], cosines: dict[int, float], coverages: dict[int, float]
    ) -> tuple[Scores, Scores]:
        """Cosine and coverage of every point, exactly: those that a leg did not find are asked for."""
        every = points.tolist()
        if unseen := [point for point in every if point not in cosines]:
            cosines = cosines | self.nearest(index, unseen, len(unseen))
        if unseen := [point for point in every if point not in coverages]:
            coverages = coverages | self.matching(index, unseen, len(unseen))
        return _row(cosines, every), _row(coverages, every)

    def fuse(self, cosine: Scores, coverage: Scores, is_question: npt.NDArray[np.bool_]) -> Scores:
        dense = np.where(
            is_question,
            DENSE_WEIGHT_QUESTION * self.understood**UNDERSTANDING_POWER_QUESTION,
            DENSE_WEIGHT_PASSAGE * self.understood**UNDERSTANDING_POWER,
        )
        return dense * cosine + (1 - dense) * coverage


def _row(found: dict[int, float], points: list[int]) -> Scores:
    return np.array([found.get(point, 0.0) for point in points], np.float64)
