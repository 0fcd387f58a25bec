"""Learning intents from examples, with scikit-learn; see `chatbot.intents.classifier` for what is learnt and why."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import LinearSVC

from chatbot.intents.classifier import UNREADABLE, Columns, Learnt, Linear, Numbers, cool, is_chinese, write_arrays
from chatbot.intents.examples import OUT_OF_SCOPE, Example
from chatbot.intents.terms import CUTS, Terms
from knowledge.embedding import Encoder

IN_SCOPE_LOSS = 0.05  # of the messages that belong to an intent, how many may be called out of scope
FOLDS = 5
FEWEST_EXAMPLES = 2  # an intent with fewer is not learnt
CHINESE, OTHER = ("characters",), ("words", "parts")

_Fit = Callable[[Sequence[str], Numbers, tuple[str, ...]], Learnt]


def learn(examples: Sequence[Example], encoder: Encoder, cache: Path | None = None) -> dict[str, Learnt | None]:
    """By ``chinese`` and ``other``; None where fewer than two intents have two examples. Embeddings are kept in `cache`."""
    vectors = _Vectors(encoder, cache)
    chinese = [example for example in examples if is_chinese(example.text)]
    other = [example for example in examples if not is_chinese(example.text)]
    return {
        "chinese": _train(chinese, _fit_words, None),
        "other": _train(other, lambda *given: _fit_meaning(vectors, *given), vectors),
    }


def fit_terms(cut: str, texts: Sequence[str]) -> tuple[Terms, Any]:
    """The terms of `texts` with their weights, and their features: a sparse row of length 1 each."""
    vectorizer = TfidfVectorizer(analyzer=CUTS[cut], sublinear_tf=True)
    features = vectorizer.fit_transform(texts)
    numbers = {term: int(at) for term, at in sorted(vectorizer.vocabulary_.items(), key=lambda each: each[1])}
    return Terms(cut, numbers, np.asarray(vectorizer.idf_, np.float64)), features


class _Vectors:
    """Embeddings of examples, kept in memory and in a file, since encoding them is the slowest part."""

    def __init__(self, encoder: Encoder, cache: Path | None) -> None:
        self._encoder = encoder
        self._known: dict[str, Any] = {}
        self._file = cache / f"{encoder.fingerprint.replace(':', '-')}.npz" if cache else None
        if self._file and self._file.exists():
            with suppress(OSError, *UNREADABLE), np.load(self._file, allow_pickle=False) as held:
                self._known = dict(zip(held["names"].tolist(), held["vectors"], strict=True))

    def of(self, texts: Sequence[str]) -> Numbers:
        names = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        missing = {name: text for name, text in zip(names, texts, strict=True) if name not in self._known}
        if missing:
            fresh = np.asarray(self._encoder.encode_messages(list(missing.values())), np.float16)  # as they are kept
            self._known |= dict(zip(missing, fresh, strict=True))
            if self._file:
                with suppress(OSError):  # then they are made once more, next time
                    known = {"names": np.array(list(self._known)), "vectors": np.array(list(self._known.values()))}
                    write_arrays(self._file, known)
        return np.array([self._known[name] for name in names], np.float32)


def _fit_words(texts: Sequence[str], truth: Numbers, labels: tuple[str, ...]) -> Learnt:
    kind, features = fit_terms(CHINESE[0], texts)
    by_feature = features.tocsc()
    columns = Columns(by_feature.indptr, by_feature.indices, by_feature.data.astype(np.float32), len(texts))
    return Learnt(labels, (kind,), _linear(LinearSVC(C=1.0, random_state=7).fit(features, truth)), columns)


def _fit_meaning(vectors: _Vectors, texts: Sequence[str], truth: Numbers, labels: tuple[str, ...]) -> Learnt:
    fitted = [fit_terms(cut, texts) for cut in OTHER]
    svm = LinearSVC(C=1.0, random_state=7).fit(hstack([features for _, features in fitted], "csr"), truth)
    examples = vectors.of(texts)
    regression = LogisticRegression(C=30.0, max_iter=400).fit(examples.astype(np.float64), truth)
    kinds = tuple(kind for kind, _ in fitted)
    return Learnt(labels, kinds, _linear(svm), meaning=_linear(regression), examples=examples)


def _linear(fitted: Any) -> Linear:
    return Linear(np.asarray(fitted.coef_, np.float32), np.asarray(fitted.intercept_, np.float32))


def _train(examples: Sequence[Example], fit: _Fit, vectors: _Vectors | None) -> Learnt | None:
    counts: dict[str, int] = {}
    for example in examples:
        counts[example.intent] = counts.get(example.intent, 0) + 1
    labels = sorted(name for name, count in counts.items() if name and count >= FEWEST_EXAMPLES)
    if len(labels) < 2:
        return None
    inside = [example for example in examples if example.intent in labels]
    outside = [example.text for example in examples if example.intent == OUT_OF_SCOPE]
    texts = [example.text for example in inside]
    truth = np.array([labels.index(example.intent) for example in inside])
    temperature, threshold = _calibrate(texts, truth, outside, tuple(labels), fit, vectors)
    return replace(fit(texts, truth, tuple(labels)), temperature=temperature, threshold=threshold)


def _calibrate(
    texts: list[str], truth: Any, outside: list[str], labels: tuple[str, ...], fit: _Fit, vectors: _Vectors | None
) -> tuple[float, float]:
    """Temperature and threshold from held-out folds; with messages known to be out of scope the threshold may rise."""
    folds = min(FOLDS, int(np.bincount(truth).min()))
    probabilities = np.zeros((len(texts), len(labels)))
    likeness = np.zeros(len(texts))
    outside_scores: list[Numbers] = []
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=7).split(texts, truth):
        learnt = fit([texts[at] for at in train], truth[train], labels)
        probabilities[test], likeness[test] = _scores(learnt, [texts[at] for at in test], vectors)
        if outside:
            raw, near = _scores(learnt, outside, vectors)
            outside_scores.append(np.column_stack([raw, near]))
    temperature = min(
        np.geomspace(0.2, 5.0, 40),
        key=lambda value: -np.log(cool(probabilities, value)[np.arange(len(truth)), truth] + 1e-9).mean(),
    )
    cooled = cool(probabilities, float(temperature))
    right = cooled.argmax(1) == truth
    scores = cooled.max(1) + likeness
    threshold = float(np.quantile(scores[right], IN_SCOPE_LOSS))
    if outside_scores:
        table = np.mean(outside_scores, axis=0)
        beyond = cool(table[:, :-1], float(temperature)).max(1) + table[:, -1]
        candidates = np.quantile(scores[right], np.linspace(0.01, 2 * IN_SCOPE_LOSS, 19))
        threshold = float(max(candidates, key=lambda at: (scores[right] >= at).mean() + (beyond < at).mean()))
    return float(temperature), threshold


def _scores(learnt: Learnt, texts: Sequence[str], vectors: _Vectors | None) -> tuple[Numbers, Numbers]:
    """Probabilities (rows: texts, columns: labels) and likenesses."""
    of_texts = vectors.of(texts) if vectors else [None] * len(texts)
    scored = [learnt.score(text, vector) for text, vector in zip(texts, of_texts, strict=True)]
    return np.array([row for row, _ in scored]), np.array([near for _, near in scored])
