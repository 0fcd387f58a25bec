"""Which intent a message has: the lean sums give what scikit-learn gives, and what was learnt is recognised."""

import csv
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from chatbot.intents.classifier import Classifier, _write, classifier_for
from chatbot.intents.examples import OUT_OF_SCOPE, Example
from chatbot.intents.learning import _fit_words, _linear, fit_terms
from chatbot.intents.terms import CUTS, Row, row_of
from knowledge.embedding import encoder

LEARNT = [
    "Where is my parcel?",
    "where's my order",
    "I want my money back",
    "refund, please",
    "Cancel it!",
    "cancel order",
]
ASKED = ["Where is the refund for my order?", "", "zzz qqq", "Money! Money! MONEY back", "naïve café 退款", "a"]
EXAMPLES = [
    *(Example(text, "where") for text in ("Where is my parcel?", "where's my order", "Has my package been sent?")),
    *(Example(text, "refund") for text in ("I want my money back", "refund, please", "How do I get a refund?")),
    *(Example(text, "cancel") for text in ("Cancel my order", "please cancel it", "I changed my mind, cancel that")),
    *(Example(text, "退款") for text in ("我要退款", "怎么退钱", "什么时候退款")),
    *(Example(text, "物流") for text in ("快递到哪了", "我的包裹在哪里", "物流信息")),
]
OPTIONS: dict[str, dict[str, Any]] = {
    "words": {"ngram_range": (1, 2)},
    "parts": {"analyzer": "char_wb", "ngram_range": (2, 4)},
    "characters": {"analyzer": "char", "ngram_range": (1, 3)},
}


def dense(row: Row, size: int) -> np.ndarray:
    found, values = row
    whole = np.zeros(size)
    whole[found] = values
    return whole


@pytest.mark.parametrize("cut", OPTIONS)
def test_terms_are_cut_and_weighed_as_scikit_learn_does(cut: str) -> None:
    terms, features = fit_terms(cut, LEARNT)
    known = TfidfVectorizer(sublinear_tf=True, **OPTIONS[cut])
    assert np.allclose(features.toarray(), known.fit_transform(LEARNT).toarray())
    assert list(terms.numbers) == known.get_feature_names_out().tolist()
    asked = [dense(terms.row(text), len(terms.weights)) for text in ASKED]
    assert np.allclose(asked, known.transform(ASKED).toarray())


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_cut_as_scikit_learn_cuts_it(text: str) -> None:
    for cut, options in OPTIONS.items():
        assert sorted(CUTS[cut](text)) == sorted(TfidfVectorizer(**options).build_analyzer()(text))


def test_kinds_of_terms_stand_side_by_side() -> None:
    (words, _), (parts, _) = fit_terms("words", LEARNT), fit_terms("parts", LEARNT)
    sizes = len(words.weights), len(parts.weights)
    for text in ASKED:
        apart = [dense(words.row(text), sizes[0]), dense(parts.row(text), sizes[1])]
        assert np.allclose(dense(row_of((words, parts), text), sum(sizes)), np.concatenate(apart))


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 2, 2]])
def test_margins_and_probabilities_are_scikit_learns(labels: Sequence[int]) -> None:
    terms, features = fit_terms("words", LEARNT)
    svm, regression = LinearSVC().fit(features, labels), LogisticRegression(C=30.0).fit(features.toarray(), labels)
    for text in ASKED:
        row = terms.row(text)
        vector = dense(row, len(terms.weights))
        known = svm.decision_function([vector])[0]
        margins = _linear(svm).of_row(row)
        assert margins.shape == (len(set(labels)),)
        assert np.allclose(margins[1] if np.ndim(known) == 0 else margins, known, atol=1e-5)
        assert np.allclose(_linear(regression).probabilities(vector), regression.predict_proba([vector])[0], atol=1e-5)


def test_the_nearest_example_by_words() -> None:
    learnt = _fit_words(LEARNT, np.array([0, 0, 1, 1, 2, 2]), ("a", "b", "c"))
    _, features = fit_terms("characters", LEARNT)
    for text in ASKED:
        row = row_of(learnt.kinds, text)
        known = (features @ dense(row, features.shape[1])).max()
        assert learnt.columns is not None
        assert learnt.columns.nearest(row) == pytest.approx(known, abs=1e-5)
        assert learnt.score(text, None)[1] == pytest.approx(known, abs=1e-5)


def test_what_was_learnt_is_recognised_in_other_words_and_nonsense_is_not(tmp_path: Path) -> None:
    classifier = classifier_for(EXAMPLES, encoder(), tmp_path)
    assert classifier.predict("when will I receive my refund").intent == "refund"
    assert classifier.predict("where is the parcel now").intent == "where"
    assert classifier.predict("退款什么时候到").intent == "退款"
    assert classifier.predict("Photosynthesis in deep-sea ferns").intent == OUT_OF_SCOPE


def test_what_was_learnt_is_kept_and_read_without_learning_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt = classifier_for(EXAMPLES, encoder(), tmp_path)
    monkeypatch.setattr("chatbot.intents.learning.learn", _not_again)
    again = classifier_for(list(reversed(EXAMPLES)), encoder(), tmp_path)
    asked = [*ASKED, *(example.text for example in EXAMPLES), "退款什么时候到", "when will I receive my refund"]
    assert [again.predict(text) for text in asked] == [learnt.predict(text) for text in asked]
    assert {again.predict(text).intent for text in asked} >= {"where", "refund", "cancel", "退款", "物流", OUT_OF_SCOPE}
    with pytest.raises(Learning):
        classifier_for(EXAMPLES[:-1], encoder(), tmp_path)  # other examples


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"no archive at all"])
def test_a_file_that_cannot_be_read_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    few = EXAMPLES[:6]
    learnt = classifier_for(few, encoder(), tmp_path)
    (file,) = tmp_path.glob("learnt-*")
    whole = file.read_bytes()
    for broken in (damage, whole[: len(whole) // 2]):
        file.write_bytes(broken)
        assert classifier_for(few, encoder(), tmp_path).predict("where is it") == learnt.predict("where is it")
        assert len(file.read_bytes()) == len(whole)


def test_what_was_not_used_for_long_goes_and_a_full_disk_stops_nothing(tmp_path: Path) -> None:
    old, fresh = tmp_path / "learnt-old.npz", tmp_path / "learnt-fresh.npz"
    for file in (old, fresh):
        file.write_bytes(b"")
    os.utime(old, (1, 1))
    classifier_for(EXAMPLES[:6], encoder(), tmp_path)
    assert not old.exists()
    assert fresh.exists()
    no_folder = tmp_path / "fresh"
    no_folder.write_bytes(b"")  # where a folder should be made
    assert isinstance(classifier_for(EXAMPLES[6:], encoder(), None), Classifier)
    _write(no_folder / "learnt-x.npz", {})


def test_a_process_that_only_recognises_does_not_load_scikit_learn(tmp_path: Path) -> None:
    """Nor scipy, for that: both are tens of megabytes and seconds of a start."""
    script = (
        "import sys; import chatbot.intents.classifier; print([m for m in ('sklearn', 'scipy') if m in sys.modules])"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "chatbot.settings"}
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert said.stdout.strip() == "[]"


class Learning(Exception):
    """It was learnt again."""


def _not_again(*_: object) -> None:
    raise Learning


def test_ten_examples_an_intent_of_a_bank_go_far(data_folder: Path, tmp_path: Path) -> None:
    with (data_folder / "banking77" / "train_10.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with (data_folder / "banking77" / "test.csv").open(encoding="utf-8") as file:
        asked = list(csv.DictReader(file))[::20]
    text, label = list(rows[0])[:2]
    some = sorted({row[label] for row in rows})[:12]
    examples = [Example(row[text], row[label]) for row in rows if row[label] in some]
    classifier = classifier_for(examples, encoder(), tmp_path)
    asked = [row for row in asked if row[label] in some]
    right = sum(1 for row in asked if classifier.predict(row[text]).intent == row[label])
    assert right / len(asked) > 0.75
