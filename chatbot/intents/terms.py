"""TF-IDF features of short texts: learnt by scikit-learn, made for a text by the few sums that this takes.

scikit-learn's own transform checks its input for every kind of table there is, which for one short message takes many
times as long as the sums themselves. The numbers are the same.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer


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

    def of(self, texts: Sequence[str]) -> Any:
        """The features of other texts; a term that was not learnt counts for nothing."""
        numbers = self._numbers
        columns: list[int] = []
        values: list[Any] = []
        ends = [0]
        for text in texts:
            counts = Counter([numbers[term] for term in self._cut(text) if term in numbers])
            found = np.fromiter(counts, np.int64, len(counts))
            weights = (1 + np.log(np.fromiter(counts.values(), np.float64, len(counts)))) * self._weights[found]
            length = np.sqrt(weights @ weights)
            columns.extend(counts)
            values.append(weights / length if length else weights)
            ends.append(len(columns))
        shape = (len(texts), len(self._weights))
        return csr_matrix((np.concatenate(values), np.array(columns, np.int32), np.array(ends, np.int32)), shape=shape)


class TermsTogether:
    """Several kinds of terms, side by side."""

    def __init__(self, *kinds: Terms) -> None:
        self._kinds = kinds

    def fit(self, texts: Sequence[str]) -> Any:
        return hstack([kind.fit(texts) for kind in self._kinds], "csr")

    def of(self, texts: Sequence[str]) -> Any:
        return hstack([kind.of(texts) for kind in self._kinds], "csr")
