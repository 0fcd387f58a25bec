"""How much a token weighs: BM25 over the three legs of `knowledge.segment`, as sparse vectors.

A chunk's vector holds the saturated term frequencies, a question's vector the rarities (idf), so that their dot product
is the sum of the legs' BM25 scores. Divided by the question's ceiling it becomes *coverage*: 1 when every token of the
question occurs once in a chunk of average length, 0 when none does. Unlike a raw BM25 score it can be compared between
questions and collections, and so be fused with a cosine. Chunks hold all their tokens alike; what a question is asked with
weighs less in it than what it is about (`knowledge.sidewords`).

BM25: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009.
"""

import io
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from knowledge.segment import Legs
from knowledge.sidewords import says

K1 = 1.2
B = 0.75
LEG_WEIGHTS = (1.0, 1.0, 0.5)  # words, pairs, singles


@dataclass(frozen=True)
class Sparse:
    """A sparse vector: token ids (unsigned 32 bit) and their weights."""

    indices: list[int]
    values: list[float]


class Weighed(NamedTuple):
    """A question's vector; its ceiling (the score that counts as full coverage; 0 when nothing is asked); its size: its tokens,
    each by its leg's weight and by what it says."""

    sparse: Sparse
    ceiling: float
    size: float


@dataclass(frozen=True)
class Lexicon:
    """What a version knows about its tokens: how many chunks hold each, and how long chunks are.

    `tokens` is sorted; `counts` goes with it; `lengths` are the mean tokens a chunk in each leg; `chunks` their number.
    """

    tokens: npt.NDArray[np.uint32]
    counts: npt.NDArray[np.uint32]
    lengths: tuple[float, ...]
    chunks: int

    @classmethod
    def of(cls, cuts: Sequence[Legs]) -> "Lexicon":
        """Count the tokens of all chunks of a version."""
        seen: Counter[int] = Counter()
        for cut in cuts:
            seen.update({token_id(leg, token) for leg, tokens in enumerate(cut) for token in tokens})
        tokens = np.fromiter(sorted(seen), np.uint32, len(seen))
        counts = np.fromiter((seen[int(token)] for token in tokens), np.uint32, len(seen))
        means = [sum(len(cut[leg]) for cut in cuts) / max(1, len(cuts)) for leg in range(len(LEG_WEIGHTS))]
        return cls(tokens, counts, tuple(max(1.0, mean) for mean in means), len(cuts))

    def weigh_chunk(self, cut: Legs) -> Sparse:
        weights: dict[int, float] = {}
        for leg, tokens in enumerate(cut):
            length = K1 * (1 - B + B * len(tokens) / self.lengths[leg])
            for token, count in Counter(tokens).items():
                weights[token_id(leg, token)] = count * (K1 + 1) / (count + length)
        return Sparse(list(weights), list(weights.values()))

    @property
    def rarest(self) -> float:
        """What a token weighs that no chunk holds."""
        return float(np.log1p((self.chunks + 0.5) / 0.5))

    def weigh_question(self, cut: Legs) -> Weighed:
        found = [
            (token_id(leg, token), LEG_WEIGHTS[leg] * says(token))
            for leg, tokens in enumerate(cut)
            for token in set(tokens)
        ]
        if not found or not len(self.tokens):
            return Weighed(Sparse([], []), 0.0, 0.0)
        numbers, counted = np.array([number for number, _ in found], np.uint32), np.array([part for _, part in found])
        held = self._held(numbers)
        weights = counted * np.log1p((self.chunks - held + 0.5) / (held + 0.5))
        known = held > 0
        sparse = Sparse(numbers[known].tolist(), weights[known].tolist())
        return Weighed(sparse, float(weights.sum()), float(counted.sum()))

    def to_bytes(self) -> bytes:
        file = io.BytesIO()
        np.savez_compressed(
            file, tokens=self.tokens, counts=self.counts, lengths=np.array(self.lengths), chunks=np.array(self.chunks)
        )
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Lexicon":
        with np.load(io.BytesIO(data), allow_pickle=False) as held:
            return cls(held["tokens"], held["counts"], tuple(map(float, held["lengths"])), int(held["chunks"]))

    def _held(self, numbers: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
        """How many chunks hold each token."""
        at = np.minimum(np.searchsorted(self.tokens, numbers), len(self.tokens) - 1)
        return np.where(self.tokens[at] == numbers, self.counts[at], 0).astype(np.int64)


def token_id(leg: int, token: str) -> int:
    """The stable number of a token in a leg."""
    return zlib.crc32(f"{leg}:{token}".encode())
