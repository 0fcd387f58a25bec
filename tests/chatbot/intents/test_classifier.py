"""Which intent a message has: the lean sums give what scikit-learn gives, and what was learnt is recognised."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from chatbot.intents.classifier import (
    OUT_OF_SCOPE,
    Classifier,
    Example,
    _margins,
    _probabilities,
)
from chatbot.intents.terms import Terms, TermsTogether, table
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
OPTIONS: list[dict[str, Any]] = [
    {"ngram_range": (1, 2)},
    {"analyzer": "char_wb", "ngram_range": (2, 4)},
    {"analyzer": "char", "ngram_range": (1, 3)},
]


def _features(terms: Terms | TermsTogether, texts: Sequence[str]) -> Any:
    return table([terms.row(text) for text in texts], terms.size)


@pytest.mark.parametrize("options", OPTIONS)
def test_terms_weigh_as_scikit_learn_weighs_them(options: dict[str, Any]) -> None:
    terms, known = Terms(**options), TfidfVectorizer(sublinear_tf=True, **options)
    assert np.allclose(terms.fit(LEARNT).toarray(), known.fit_transform(LEARNT).toarray())
    assert np.allclose(_features(terms, ASKED).toarray(), known.transform(ASKED).toarray())


def test_kinds_of_terms_stand_side_by_side() -> None:
    kinds = [Terms(**options) for options in OPTIONS[:2]]
    together = TermsTogether(*kinds)
    assert together.fit(LEARNT).shape[1] == sum(kind.size for kind in kinds)
    apart = hstack([_features(kind, ASKED) for kind in kinds]).toarray()
    assert np.allclose(_features(together, ASKED).toarray(), apart)


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 2, 2]])
def test_margins_and_probabilities_are_scikit_learns(labels: Sequence[int]) -> None:
    terms = Terms(**OPTIONS[0])
    features = terms.fit(LEARNT)
    svm, regression = LinearSVC().fit(features, labels), LogisticRegression(C=30.0).fit(features.toarray(), labels)
    asked = _features(terms, ASKED)
    known = svm.decision_function(asked)
    margins = _margins(svm, [terms.row(text) for text in ASKED])
    assert margins.shape == (len(ASKED), len(set(labels)))
    assert np.allclose(margins[:, 1] if known.ndim == 1 else margins, known)
    assert np.allclose(_probabilities(regression, asked.toarray()), regression.predict_proba(asked.toarray()))


def test_what_was_learnt_is_recognised_in_other_words_and_nonsense_is_not(tmp_path: Path) -> None:
    examples = [
        *(Example(text, "where") for text in ("Where is my parcel?", "where's my order", "Has my package been sent?")),
        *(Example(text, "refund") for text in ("I want my money back", "refund, please", "How do I get a refund?")),
        *(
            Example(text, "cancel")
            for text in ("Cancel my order", "please cancel it", "I changed my mind, cancel that")
        ),
        *(Example(text, "退款") for text in ("我要退款", "怎么退钱", "什么时候退款")),
        *(Example(text, "物流") for text in ("快递到哪了", "我的包裹在哪里", "物流信息")),
    ]
    classifier = Classifier(examples, encoder(), tmp_path)
    assert classifier.predict("when will I receive my refund").intent == "refund"
    assert classifier.predict("where is the parcel now").intent == "where"
    assert classifier.predict("退款什么时候到").intent == "退款"
    assert classifier.predict("Photosynthesis in deep-sea ferns").intent == OUT_OF_SCOPE


def test_ten_examples_an_intent_of_a_bank_go_far(data_folder: Path, tmp_path: Path) -> None:
    with (data_folder / "banking77" / "train_10.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with (data_folder / "banking77" / "test.csv").open(encoding="utf-8") as file:
        asked = list(csv.DictReader(file))[::20]
    text, label = list(rows[0])[:2]
    some = sorted({row[label] for row in rows})[:12]
    classifier = Classifier([Example(row[text], row[label]) for row in rows if row[label] in some], encoder(), tmp_path)
    asked = [row for row in asked if row[label] in some]
    right = sum(1 for row in asked if classifier.predict(row[text]).intent == row[label])
    assert right / len(asked) > 0.75
