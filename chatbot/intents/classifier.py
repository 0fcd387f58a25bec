"""The local intent classifier: which service intent a message has, how sure that is, or that it is out of scope.

Chinese: TF-IDF of one to three characters and a linear SVM (the shipped encoder knows few Chinese characters). Other
languages: the mean of a logistic regression on sentence embeddings and an SVM on words and parts of words. The score
against which a message counts as out of scope is the top probability plus the likeness to the nearest example; its
threshold and the temperature of the probabilities come from cross-validation on the examples themselves.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import LinearSVC

from chatbot.intents.examples import OUT_OF_SCOPE, Example
from chatbot.intents.terms import Row, Terms, TermsTogether, table
from knowledge.embedding import Encoder
from knowledge.segment import chinese_share

IN_SCOPE_LOSS = 0.05  # of the messages that belong to an intent, how many may be called out of scope
FOLDS = 5
MARGIN_SHARPNESS = 4.0
EMBEDDING_WEIGHT = 0.7
FEWEST_EXAMPLES = 2  # an intent with fewer is not learnt

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Prediction:
    """`intent` is "" for out of scope. `confidence` is the calibrated probability of the best intent either way."""

    intent: str
    confidence: float


class Classifier:
    """Trained on examples in any mixture of languages; Chinese and the rest are learnt apart."""

    def __init__(self, examples: Sequence[Example], encoder: Encoder, cache: Path | None = None) -> None:
        chinese = [example for example in examples if _is_chinese(example.text)]
        other = [example for example in examples if not _is_chinese(example.text)]
        self._chinese = _train(chinese, _Characters)
        self._other = _train(other, lambda: _WordsAndMeaning(_Vectors(encoder, cache)))

    def predict(self, text: str) -> Prediction:
        learnt = self._chinese if _is_chinese(text) else self._other
        return learnt.predict(text) if learnt else Prediction(OUT_OF_SCOPE, 0.0)


class _Learner:
    """Fits texts to labels; gives probabilities (rows: texts, columns: labels) and the likeness to the nearest example."""

    def fit(self, texts: Sequence[str], labels: Numbers) -> None:
        raise NotImplementedError

    def score(self, texts: Sequence[str]) -> tuple[Numbers, Numbers]:
        raise NotImplementedError


class _Characters(_Learner):
    def __init__(self) -> None:
        self._features = Terms(analyzer="char", ngram_range=(1, 3))
        self._svm = LinearSVC(C=1.0)

    def fit(self, texts: Sequence[str], labels: Numbers) -> None:
        self._examples = self._features.fit(texts)
        self._svm.fit(self._examples, labels)

    def score(self, texts: Sequence[str]) -> tuple[Numbers, Numbers]:
        rows = [self._features.row(text) for text in texts]
        likeness = table(rows, self._features.size) @ self._examples.T
        return _softmax(MARGIN_SHARPNESS * _margins(self._svm, rows)), _nearest(likeness)


class _WordsAndMeaning(_Learner):
    def __init__(self, vectors: "_Vectors") -> None:
        self._vectors = vectors
        self._features = TermsTogether(Terms(ngram_range=(1, 2)), Terms(analyzer="char_wb", ngram_range=(2, 4)))
        self._svm = LinearSVC(C=1.0)
        self._regression = LogisticRegression(C=30.0, max_iter=400)

    def fit(self, texts: Sequence[str], labels: Numbers) -> None:
        self._svm.fit(self._features.fit(texts), labels)
        self._examples = self._vectors.of(texts)
        self._regression.fit(self._examples, labels)

    def score(self, texts: Sequence[str]) -> tuple[Numbers, Numbers]:
        vectors = self._vectors.of(texts)
        rows = [self._features.row(text) for text in texts]
        by_words = _softmax(MARGIN_SHARPNESS * _margins(self._svm, rows))
        by_meaning = _probabilities(self._regression, vectors)
        mixed = EMBEDDING_WEIGHT * by_meaning + (1 - EMBEDDING_WEIGHT) * by_words
        return mixed, _nearest(vectors @ self._examples.T)


class _Vectors:
    """Embeddings of examples, kept in memory and in a file, since encoding them is the slow part of training."""

    def __init__(self, encoder: Encoder, cache: Path | None) -> None:
        self._encoder = encoder
        self._known: dict[str, Any] = {}
        self._file = cache / f"{encoder.fingerprint.replace(':', '-')}.npz" if cache else None
        if self._file and self._file.exists():
            with np.load(self._file, allow_pickle=False) as held:
                self._known = dict(zip(held["names"].tolist(), held["vectors"], strict=True))

    def of(self, texts: Sequence[str]) -> Numbers:
        names = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        missing = {name: text for name, text in zip(names, texts, strict=True) if name not in self._known}
        if missing and len(texts) == 1:  # a visitor's message is not an example
            return np.array([self._encoder.encode_question(texts[0])], np.float64)
        if missing:
            fresh = dict(zip(missing, self._encoder.encode_messages(list(missing.values())), strict=True))
            self._known |= fresh
            if self._file:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                np.savez(
                    self._file,
                    names=np.array(list(self._known)),
                    vectors=np.array(list(self._known.values()), np.float16),
                )
        return np.array([self._known[name] for name in names], np.float64)


@dataclass
class _Trained:
    learner: _Learner
    labels: list[str]
    temperature: float
    threshold: float

    def predict(self, text: str) -> Prediction:
        probabilities, likeness = self.learner.score([text])
        row = _cool(probabilities, self.temperature)[0]
        best = int(row.argmax())
        inside = row[best] + likeness[0] >= self.threshold
        return Prediction(self.labels[best] if inside else OUT_OF_SCOPE, float(row[best]))


def _train(examples: Sequence[Example], new_learner: Any) -> _Trained | None:
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
    temperature, threshold = _calibrate(texts, truth, outside, len(labels), new_learner)
    learner = new_learner()
    learner.fit(texts, truth)
    return _Trained(learner, labels, temperature, threshold)


def _calibrate(texts: list[str], truth: Any, outside: list[str], labels: int, new_learner: Any) -> tuple[float, float]:
    """Temperature and threshold from held-out folds; with messages known to be out of scope the threshold may rise."""
    folds = min(FOLDS, int(np.bincount(truth).min()))
    probabilities = np.zeros((len(texts), labels))
    likeness = np.zeros(len(texts))
    outside_scores: list[Numbers] = []
    held_out = np.zeros(len(texts), bool)
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=7).split(texts, truth):
        learner = new_learner()
        learner.fit([texts[at] for at in train], truth[train])
        probabilities[test], likeness[test] = learner.score([texts[at] for at in test])
        held_out[test] = True
        if outside:
            raw, near = learner.score(outside)
            outside_scores.append(np.column_stack([raw, near]))
    temperature = min(
        np.geomspace(0.2, 5.0, 40),
        key=lambda value: -np.log(_cool(probabilities, value)[np.arange(len(truth)), truth] + 1e-9).mean(),
    )
    cooled = _cool(probabilities, float(temperature))
    right = cooled.argmax(1) == truth
    scores = cooled.max(1) + likeness
    threshold = float(np.quantile(scores[right], IN_SCOPE_LOSS))
    if outside_scores:
        table = np.mean(outside_scores, axis=0)
        beyond = _cool(table[:, :-1], float(temperature)).max(1) + table[:, -1]
        candidates = np.quantile(scores[right], np.linspace(0.01, 2 * IN_SCOPE_LOSS, 19))
        threshold = float(max(candidates, key=lambda at: (scores[right] >= at).mean() + (beyond < at).mean()))
    return float(temperature), threshold


def _softmax(scores: Numbers) -> Numbers:
    powers = np.exp(scores - scores.max(1, keepdims=True))
    shares: Numbers = powers / powers.sum(1, keepdims=True)
    return shares


def _margins(svm: LinearSVC, rows: Sequence[Row]) -> Numbers:
    """As its `decision_function`, without the checks that cost more than the product; two labels give two columns."""
    margins: Numbers = np.stack([svm.coef_[:, found] @ values for found, values in rows]) + svm.intercept_
    return np.column_stack([-margins[:, 0], margins[:, 0]]) if margins.shape[1] == 1 else margins


def _probabilities(regression: LogisticRegression, vectors: Numbers) -> Numbers:
    """As its `predict_proba`."""
    raw: Numbers = vectors @ regression.coef_.T + regression.intercept_
    if raw.shape[1] == 1:  # two labels have one line between them
        raw = np.column_stack([np.zeros(len(raw)), raw[:, 0]])
    return _softmax(raw)


def _cool(probabilities: Numbers, temperature: float) -> Numbers:
    powers = np.maximum(probabilities, 1e-12) ** (1 / temperature)
    return powers / powers.sum(1, keepdims=True)  # type: ignore[no-any-return]


def _nearest(likeness: Any) -> Numbers:
    dense = likeness.toarray() if hasattr(likeness, "toarray") else likeness
    return np.asarray(dense.max(1), np.float64)


def _is_chinese(text: str) -> bool:
    return chinese_share(text) > 0.2
