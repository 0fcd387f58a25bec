"""TF-IDF features of short texts: learnt by scikit-learn, made for a text by the few sums that this takes.

scikit-learn's own transform checks its input for every kind of table there is, which for one short message takes many
times as long as the sums themselves. The numbers are the same.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer

Row = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""The features of a text that are not zero: their numbers, and their values."""


class Terms:
    """One kind of term: words, or parts of words. `options` are those of `TfidfVectorizer`; term counts are damped."""

    def __init__(self, **options: Any) -> None:
        self._vectorizer = TfidfVectorizer(sublinear_tf=True, **options)
        self._cut: Callable[[str], list[str]] = self._vectorizer.build_analyzer()

    def fit(self, texts: Sequence[str]) -> Any:
        """Learn the terms of `texts`; their features, a sparse row of length 1 each."""
        features = self._vectorizer.fit_transform(texts)
        self._numbers: dict[str, int] = {term: int(at) for term, at in self._vectorizer.vocabulary_.items()}
        self._weights = np.asarray(self._vectorizer.idf_, np.float64)
        return features

    def row(self, text: str) -> Row:
        """The features of another text; a term that was not learnt counts for nothing."""
        numbers = self._numbers
        counts = Counter([numbers[term] for term in self._cut(text) if term in numbers])
        found = np.fromiter(counts, np.int64, len(counts))
        weights = (1 + np.log(np.fromiter(counts.values(), np.float64, len(counts)))) * self._weights[found]
        length = np.sqrt(weights @ weights)
        return found, weights / length if length else weights

    @property
    def size(self) -> int:
        return len(self._weights)


class TermsTogether:
    """Several kinds of terms, side by side."""

    def __init__(self, *kinds: Terms) -> None:
        self._kinds = kinds

    def fit(self, texts: Sequence[str]) -> Any:
        return hstack([kind.fit(texts) for kind in self._kinds], "csr")

    @property
    def size(self) -> int:
        return sum(kind.size for kind in self._kinds)

    def row(self, text: str) -> Row:
        starts = np.cumsum([0, *(kind.size for kind in self._kinds)])
        rows = [kind.row(text) for kind in self._kinds]
        columns = [found + start for (found, _), start in zip(rows, starts, strict=False)]
        return np.concatenate(columns), np.concatenate([weights for _, weights in rows])


def table(rows: Sequence[Row], size: int) -> Any:
    """Rows of so many features each, as a sparse matrix."""
    ends = np.cumsum([0, *(len(found) for found, _ in rows)])
    columns, values = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    return csr_matrix((values, columns, ends), shape=(len(rows), size))
