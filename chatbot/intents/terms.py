"""TF-IDF features of short texts: learnt by scikit-learn, made for a text by the few sums that this takes.

scikit-learn's own transform checks its input for every kind of table there is, which for one short message takes many
times as long as the sums themselves, and it takes seconds and tens of megabytes to load. The numbers are the same.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Row = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""The features of a text that are not zero: their numbers, and their values."""

_WORD = re.compile(r"\b\w\w+\b")
_SPACES = re.compile(r"\s\s+")


def _words(text: str) -> list[str]:
    """Words of two letters and more, and each two that follow each other."""
    words = _WORD.findall(text.lower())
    return words + [f"{one} {next_one}" for one, next_one in pairwise(words)]


def _characters(text: str) -> list[str]:
    """One to three characters."""
    text = _SPACES.sub(" ", text.lower())
    return [part for length in (1, 2, 3) for part in _windows(text, length)]


def _parts(text: str) -> list[str]:
    """Two to four characters inside a word and its borders; the whole of a short word counts once."""
    parts = []
    for word in (f" {each} " for each in text.lower().split()):
        for length in (2, 3, 4):
            parts += _windows(word, length) or [word]
            if len(word) <= length:
                break
    return parts


def _windows(text: str, length: int) -> list[str]:
    return [text[at : at + length] for at in range(len(text) - length + 1)]


CUTS: Mapping[str, Callable[[str], list[str]]] = {"words": _words, "characters": _characters, "parts": _parts}


@dataclass(frozen=True)
class Terms:
    """One kind of term that was learnt: how texts are cut (a key of `CUTS`), each term's number, each number's weight."""

    cut: str
    numbers: Mapping[str, int]
    weights: npt.NDArray[np.float64]

    def row(self, text: str) -> Row:
        """The features of a text, of length 1; counts are damped, a term that was not learnt counts for nothing."""
        numbers = self.numbers
        counts = Counter([numbers[term] for term in CUTS[self.cut](text) if term in numbers])
        found = np.fromiter(counts, np.int64, len(counts))
        weights = (1 + np.log(np.fromiter(counts.values(), np.float64, len(counts)))) * self.weights[found]
        length = np.sqrt(weights @ weights)
        return found, weights / length if length else weights


def row_of(kinds: Sequence[Terms], text: str) -> Row:
    """The features of several kinds, side by side."""
    rows = list(_shifted(kinds, text))
    return np.concatenate([found for found, _ in rows]), np.concatenate([weights for _, weights in rows])


def _shifted(kinds: Sequence[Terms], text: str) -> Iterator[Row]:
    start = 0
    for kind in kinds:
        found, weights = kind.row(text)
        yield found + start, weights
        start += len(kind.weights)
