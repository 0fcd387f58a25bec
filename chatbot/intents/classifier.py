"""The local intent classifier: which service intent a message has, how sure that is, or that it is out of scope.

Chinese: TF-IDF of one to three characters and a linear SVM (the shipped encoder knows few Chinese characters). Other
languages: the mean of a logistic regression on sentence embeddings and an SVM on words and parts of words. The score
against which a message counts as out of scope is the top probability plus the likeness to the nearest example; its
threshold and the temperature of the probabilities come from cross-validation on the examples themselves.

What was learnt are arrays (`chatbot.intents.learning` makes them, with scikit-learn) that are kept in a file: a process that
finds them there neither learns again nor loads scikit-learn.
"""

import hashlib
import io
import json
import logging
import time
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from chatbot.intents.examples import OUT_OF_SCOPE, Example
from chatbot.intents.terms import Row, Terms, row_of
from knowledge.embedding import Encoder
from knowledge.segment import chinese_share

LEARNT_AS = 1  # whoever changes what is learnt, or how, adds one, so that what was kept is learnt anew
UNREADABLE = (ValueError, KeyError, EOFError, zipfile.BadZipFile)  # what numpy says of a broken file
KEPT_DAYS = 30  # since it was last used
MARGIN_SHARPNESS = 4.0
EMBEDDING_WEIGHT = 0.7

Numbers = npt.NDArray[Any]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """`intent` is "" for out of scope. `confidence` is the calibrated probability of the best intent either way."""

    intent: str
    confidence: float


@dataclass(frozen=True)
class Linear:
    """A line for each label, or one between two. `coefficients`: (lines, features); `intercepts`: (lines,)."""

    coefficients: Numbers
    intercepts: Numbers

    def of_row(self, row: Row) -> Numbers:
        """The margin of each label, as scikit-learn's `decision_function`; two labels give two margins."""
        found, values = row
        margins = self.coefficients[:, found] @ values + self.intercepts
        return np.array([-margins[0], margins[0]]) if len(margins) == 1 else margins

    def probabilities(self, vector: Numbers) -> Numbers:
        """As scikit-learn's `predict_proba`."""
        raw = self.coefficients @ vector + self.intercepts
        return softmax(np.array([0.0, raw[0]]) if len(raw) == 1 else raw)


@dataclass(frozen=True)
class Columns:
    """The features of examples, by feature: those of f are `values[starts[f]:starts[f + 1]]`, of the examples `places[…]`."""

    starts: Numbers
    places: Numbers
    values: Numbers
    examples: int

    def nearest(self, row: Row) -> float:
        """The greatest cosine of a text and an example."""
        likeness = np.zeros(self.examples)
        for feature, value in zip(*row, strict=True):
            there = slice(self.starts[feature], self.starts[feature + 1])
            likeness[self.places[there]] += value * self.values[there]
        return float(likeness.max(initial=0.0))


@dataclass(frozen=True)
class Learnt:
    """What one kind of text taught: by words alone (`columns`), or by words and meaning (with the vectors of `examples`)."""

    labels: tuple[str, ...]
    kinds: tuple[Terms, ...]
    words: Linear
    columns: Columns | None = None
    meaning: Linear | None = None
    examples: Numbers | None = None
    temperature: float = 1.0
    threshold: float = 0.0

    def score(self, text: str, vector: Numbers | None) -> tuple[Numbers, float]:
        """The probability of each label, before it is calibrated, and the likeness to the nearest example."""
        row = row_of(self.kinds, text)
        by_words = softmax(MARGIN_SHARPNESS * self.words.of_row(row))
        if self.columns is not None:
            return by_words, self.columns.nearest(row)
        assert self.meaning is not None
        assert self.examples is not None
        assert vector is not None
        by_meaning = self.meaning.probabilities(vector)
        return EMBEDDING_WEIGHT * by_meaning + (1 - EMBEDDING_WEIGHT) * by_words, float((self.examples @ vector).max())

    def predict(self, text: str, vector: Numbers | None) -> Prediction:
        probabilities, likeness = self.score(text, vector)
        row = cool(probabilities, self.temperature)
        best = int(row.argmax())
        inside = row[best] + likeness >= self.threshold
        return Prediction(self.labels[best] if inside else OUT_OF_SCOPE, float(row[best]))


@dataclass(frozen=True)
class Classifier:
    """Chinese and the rest are learnt apart; None where there was too little to learn."""

    chinese: Learnt | None
    other: Learnt | None
    encoder: Encoder

    def predict(self, text: str) -> Prediction:
        learnt = self.chinese if is_chinese(text) else self.other
        if learnt is None:
            return Prediction(OUT_OF_SCOPE, 0.0)
        return learnt.predict(text, self.encoder.encode_question(text) if learnt.meaning else None)


def classifier_for(examples: Sequence[Example], encoder: Encoder, folder: Path | None = None) -> Classifier:
    """What these examples teach, in any mixture of languages: read from `folder` where it was learnt before, else learnt, which
    takes seconds, and kept there."""
    kept = folder / f"learnt-{_digest(examples, encoder)}.npz" if folder else None
    if kept and (found := _read(kept)) is not None:
        return Classifier(found.get("chinese"), found.get("other"), encoder)
    from chatbot.intents.learning import learn

    learnt = learn(examples, encoder, folder)
    if kept:
        _write(kept, {name: one for name, one in learnt.items() if one})
    return Classifier(learnt["chinese"], learnt["other"], encoder)


def softmax(scores: Numbers) -> Numbers:
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    shares: Numbers = powers / powers.sum(-1, keepdims=True)
    return shares


def cool(probabilities: Numbers, temperature: float) -> Numbers:
    powers = np.maximum(probabilities, 1e-12) ** (1 / temperature)
    shares: Numbers = powers / powers.sum(-1, keepdims=True)
    return shares


def is_chinese(text: str) -> bool:
    return chinese_share(text) > 0.2


# --- the file ---------------------------------------------------------------------------------------------------------
def _digest(examples: Sequence[Example], encoder: Encoder) -> str:
    rows = sorted((example.text, example.intent) for example in examples)
    return hashlib.sha256(json.dumps([LEARNT_AS, encoder.fingerprint, rows]).encode()).hexdigest()[:32]


def _write(path: Path, learnt: Mapping[str, Learnt]) -> None:
    """All or nothing, and what nobody has used for long goes. Without room on the disk it is learnt again next time."""
    arrays: dict[str, Any] = {"names": np.array(list(learnt))}
    arrays |= {f"{name}.{key}": array for name, one in learnt.items() for key, array in _arrays(one).items()}
    try:
        write_arrays(path, arrays)
        for old in path.parent.glob("learnt-*"):
            if time.time() - old.stat().st_mtime > KEPT_DAYS * 86_400:
                old.unlink(missing_ok=True)
    except OSError as problem:
        logger.warning("what was learnt is not kept", extra={"problem": type(problem).__name__})


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """All or nothing, whoever else writes it. Raises `OSError`."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{uuid4().hex}")
    fresh.write_bytes(file.getvalue())
    fresh.replace(path)


def _read(path: Path) -> dict[str, Learnt] | None:
    """None where there is no such file, or none that can be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: _learnt(file, name) for name in file["names"].tolist()}
        with suppress(OSError):  # somebody else's file is as good
            path.touch()
    except FileNotFoundError:
        return None
    except (OSError, *UNREADABLE) as problem:
        logger.warning("what was learnt cannot be read", extra={"problem": type(problem).__name__})
        return None
    return found


def _arrays(one: Learnt) -> dict[str, Numbers]:
    arrays: dict[str, Any] = {
        "labels": np.array(one.labels),
        "numbers": np.array([one.temperature, one.threshold]),
        "cuts": np.array([kind.cut for kind in one.kinds]),
        "words": one.words.coefficients,
        "words0": one.words.intercepts,
    }
    for at, kind in enumerate(one.kinds):
        arrays |= {f"terms{at}": np.array(list(kind.numbers)), f"weights{at}": kind.weights}
    if one.columns:
        arrays |= {"starts": one.columns.starts, "places": one.columns.places, "values": one.columns.values}
        arrays["count"] = np.array(one.columns.examples)
    if one.meaning:
        arrays |= {"meaning": one.meaning.coefficients, "meaning0": one.meaning.intercepts, "examples": one.examples}
    return arrays


def _learnt(file: Any, name: str) -> Learnt:
    held = {key.partition(".")[2]: file[key] for key in file.files if key.startswith(f"{name}.")}
    kinds = tuple(
        Terms(cut, {term: at for at, term in enumerate(held[f"terms{n}"].tolist())}, held[f"weights{n}"])
        for n, cut in enumerate(held["cuts"].tolist())
    )
    temperature, threshold = held["numbers"].tolist()
    columns = meaning = None
    if "starts" in held:
        columns = Columns(held["starts"], held["places"], held["values"], int(held["count"]))
    if "meaning" in held:
        meaning = Linear(held["meaning"], held["meaning0"])
    return Learnt(
        tuple(held["labels"].tolist()), kinds, Linear(held["words"], held["words0"]), columns, meaning,
        held.get("examples"), temperature, threshold,
    )  # fmt: skip
