"""What hybrid search needs of a short text, in about a kilobyte: for small collections that are ranked whole.

The index of `knowledge.index` is built once and read by many. What one person has said is the opposite: few texts, each
read by one reader, that grow by the minute. So each text leaves a trace, a vector in 8 bits and its tokens as numbers, and
a question is held against all of them exactly, as in `knowledge.ranking`.
"""

import base64
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from knowledge.embedding import Vectors, encoder, question_vector
from knowledge.lexicon import K1, LEG_WEIGHTS, B, token_id
from knowledge.segment import legs

# Among few short texts the cosines of an encoder that does not understand them differ by chance only: they fall fast.
DENSE_WEIGHT = 0.65
UNDERSTANDING_POWER = 2

_HEAD = struct.Struct("<HH3H")  # size of the vector, different tokens, tokens a leg
_STEPS = 127.0


@dataclass(frozen=True)
class Trace:
    """One text: `vector` (int8, `_STEPS` is 1), different `tokens` (uint32) with `counts` (uint8), tokens a leg."""

    vector: npt.NDArray[np.int8]
    tokens: npt.NDArray[np.uint32]
    counts: npt.NDArray[np.uint8]
    lengths: tuple[int, ...]

    @property
    def empty(self) -> bool:
        """Nothing but words that say nothing."""
        return not len(self.tokens)

    def to_text(self) -> str:
        head = _HEAD.pack(len(self.vector), len(self.tokens), *self.lengths)
        return base64.b64encode(head + self.vector.tobytes() + self.tokens.tobytes() + self.counts.tobytes()).decode()

    @classmethod
    def from_text(cls, text: str) -> "Trace":
        data = base64.b64decode(text)
        size, count, *lengths = _HEAD.unpack_from(data)
        at = _HEAD.size
        return cls(
            np.frombuffer(data, np.int8, size, at),
            np.frombuffer(data, np.uint32, count, at + size),
            np.frombuffer(data, np.uint8, count, at + size + 4 * count),
            tuple(lengths),
        )


def leave(text: str) -> Trace:
    """The trace of a text, by the encoder of this process; only its beginning counts when it is long.

    Raises `knowledge.embedding.EncoderUnavailable`.
    """
    cut = legs(text)
    seen = Counter(token_id(leg, token) for leg, tokens in enumerate(cut) for token in tokens)
    return Trace(
        np.round(encoder().encode_question(text) * _STEPS).astype(np.int8),
        np.fromiter(seen, np.uint32, len(seen)),
        np.fromiter((min(255, count) for count in seen.values()), np.uint8, len(seen)),
        tuple(min(65_535, len(tokens)) for tokens in cut),
    )


def scores(question: str, traces: Sequence[Trace], alike: Sequence[bool]) -> npt.NDArray[np.float32]:
    """How well each text goes with the question, 0 to about 1. `alike`: its vector is of this process's encoder."""
    if not traces:
        return np.zeros(0, np.float32)
    vector, understood = question_vector(question)
    weights = DENSE_WEIGHT * understood**UNDERSTANDING_POWER * np.asarray(alike, np.float32)
    return weights * _cosines(vector, traces, alike) + (1 - weights) * _coverage(question, traces)


def _cosines(vector: Vectors, traces: Sequence[Trace], alike: Sequence[bool]) -> npt.NDArray[np.float32]:
    nothing = np.zeros(len(vector), np.int8)
    rows = np.stack([trace.vector if same else nothing for trace, same in zip(traces, alike, strict=True)])
    cosines: npt.NDArray[np.float32] = rows.astype(np.float32) @ vector / _STEPS
    return cosines


def _coverage(question: str, traces: Sequence[Trace]) -> npt.NDArray[np.float32]:
    """As `knowledge.lexicon`, over these texts alone."""
    tokens = np.concatenate([trace.tokens for trace in traces])
    counts = np.concatenate([trace.counts for trace in traces]).astype(np.float32)
    owner = np.repeat(np.arange(len(traces)), [len(trace.tokens) for trace in traces])
    lengths = np.array([trace.lengths for trace in traces], np.float32)
    relative = lengths / np.maximum(1.0, lengths.mean(axis=0))
    covered, ceiling = np.zeros(len(traces), np.float32), 0.0
    for leg, words in enumerate(legs(question)):
        for word in set(words):
            where = np.flatnonzero(tokens == token_id(leg, word))
            held = len(where)
            weight = LEG_WEIGHTS[leg] * float(np.log1p((len(traces) - held + 0.5) / (held + 0.5)))
            ceiling += weight
            count, length = counts[where], K1 * (1 - B + B * relative[owner[where], leg])
            covered[owner[where]] += weight * count * (K1 + 1) / (count + length)
    return covered / ceiling if ceiling else covered
