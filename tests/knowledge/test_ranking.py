"""How a question, what was asked before it, and the two legs come together: over the real embedded index."""

from pathlib import Path

import numpy as np
import pytest

from knowledge.index import EmbeddedEngine, Point
from knowledge.lexicon import Lexicon
from knowledge.ranking import (
    CONTEXT,
    DENSE_WEIGHT_PASSAGE,
    WEAK,
    WEAK_PER_UNDERSTOOD,
    Asked,
    Asking,
    joined,
    match,
    on_the_subject,
)
from knowledge.segment import legs

TEXTS = ("refunds take seven days", "refund to a card", "shipping to norway costs money", "a warranty of five years")
SIZE = 4


def towards(*shares: float) -> np.ndarray:
    vector = np.array(shares, np.float32)
    return vector / np.linalg.norm(vector)


def asked(text: str, *shares: float, understood: float = 1.0) -> Asked:
    return Asked(towards(*shares), understood, legs(text))


def test_taiwans_words_are_asked_for_in_the_words_that_the_knowledge_has() -> None:
    mainland, taiwan = (Lexicon.of([legs(text)]) for text in ("网络断线时请检查软件设置", "網路斷線時請檢查軟體設定"))
    question = Asked.of("網路軟體怎麼設定")
    cut, other = question.cut, question.in_other_words
    assert other is not None
    assert ("网络" in other.words, "网路" in cut.pairs) == (True, True)
    assert question.weigh(mainland) == mainland.weigh_question(other)
    assert question.weigh(taiwan) == taiwan.weigh_question(cut)
    assert mainland.weigh_question(other).sparse.indices != mainland.weigh_question(cut).sparse.indices
    for text in ("网络软件怎么设置", "退貨運費由誰負擔", "How long do refunds take?", ""):
        assert Asked.of(text).in_other_words is None


@pytest.fixture
def held(tmp_path: Path):
    cuts = [legs(text) for text in TEXTS]
    lexicon, engine = Lexicon.of(cuts), EmbeddedEngine(tmp_path)
    engine.build(
        "v", SIZE, [Point(n, np.eye(SIZE)[n].tolist(), lexicon.weigh_chunk(cut)) for n, cut in enumerate(cuts)]
    )
    return engine.open("v"), lexicon, np.zeros(SIZE, bool)


def by_point(found, scores) -> dict[int, float]:
    return dict(zip(found.points.tolist(), scores.tolist(), strict=True))


def test_every_candidate_gets_both_scores_whichever_leg_found_it(held) -> None:
    found = match(Asking((asked("norway", 1, 0, 0, 0),)), *held, dense=True)
    cosine, coverage = by_point(found, found.cosine), by_point(found, found.coverage)
    assert (cosine[0], cosine[2]) == (pytest.approx(1, abs=1e-3), pytest.approx(0, abs=1e-3))
    assert coverage[0] == 0
    assert coverage[2] > 0.5
    assert by_point(found, found.alone)[0] == pytest.approx(DENSE_WEIGHT_PASSAGE, abs=1e-3)


def test_what_the_encoder_does_not_understand_is_found_by_its_words(held) -> None:
    found = match(Asking((asked("norway", 1, 0, 0, 0, understood=0.1),)), *held, dense=True)
    assert found.points[found.alone.argmax()] == 2


def test_vectors_of_another_encoder_are_not_compared(held) -> None:
    found = match(Asking((asked("norway", 1, 0, 0, 0),)), *held, dense=False)
    assert found.points.tolist() == [2]
    assert found.cosine.tolist() == [0]


def test_earlier_questions_join_as_far_as_they_are_let_and_change_what_is_found(held) -> None:
    asking = Asking((asked("how much", 0, 0.55, 0.5, 0),), (asked("norway", 0, 0, 1, 0),))
    found = match(asking, *held, dense=True)
    (apart,), none = joined([found], lambda related: 0.0)
    (together,), share = joined([found], lambda related: 1.0)
    assert (none, share) == (0.0, CONTEXT)
    assert found.points[apart.argmax()] == 1
    assert found.points[together.argmax()] == 2
    assert together == pytest.approx((found.alone + share * found.context) / (1 + share))


def test_how_much_a_question_goes_with_those_before_is_told_by_its_own_best_passage(held) -> None:
    seen: list[float] = []
    for before in (asked("refunds take seven days", 1, 0, 0, 0), asked("norway", 0, 0, 1, 0)):
        found = match(Asking((asked("refunds days", 1, 0, 0, 0),), (before,)), *held, dense=True)
        joined([found], lambda related: seen.append(related) or 0.0)
    assert seen == [pytest.approx(1, abs=1e-3), pytest.approx(0, abs=0.05)]


def test_other_forms_of_a_question_count_as_much_as_its_own_words(held) -> None:
    alone = match(Asking((asked("zzz", 0, 0, 0, 1),)), *held, dense=True)
    rewritten = match(Asking((asked("zzz", 0, 0, 0, 1), asked("norway shipping", 0, 0, 1, 0))), *held, dense=True)
    assert alone.points[alone.alone.argmax()] == 3
    assert rewritten.points[rewritten.alone.argmax()] == 2


def test_the_evidence_is_weaker_for_what_is_not_there(held) -> None:
    there = match(Asking((asked("refunds days", 1, 0, 0, 0),)), *held, dense=True)
    gone = match(Asking((asked("gift wrapping", 0.4, 0.4, 0.4, 0.4),)), *held, dense=True)
    assert there.strength.max() > 2 * gone.strength.max()


def test_a_change_of_subject_leaves_the_earlier_questions_behind(held) -> None:
    before = asked("norway", 0, 0, 1, 0)
    asking = Asking((asked("gift wrapping", 0.1, -0.9, 0.1, 0.1),), (before,))
    found = match(asking, *held, dense=True)
    assert found.own.max() < WEAK + WEAK_PER_UNDERSTOOD < found.strength.max()
    (apart,) = on_the_subject(asking, [found], lambda related: related)
    assert apart.strength.tolist() == found.own.tolist()
    assert joined([apart], lambda related: 1.0) == ([pytest.approx(found.alone)], 0.0)
    (leaning,) = on_the_subject(asking, [found], lambda related: 1.0)
    assert leaning is found


def test_who_finds_something_by_itself_keeps_the_earlier_questions(held) -> None:
    asking = Asking((asked("how much", 0, 0.55, 0.5, 0),), (asked("norway", 0, 0, 1, 0),))
    found = match(asking, *held, dense=True)
    assert found.own.max() > WEAK + WEAK_PER_UNDERSTOOD
    assert on_the_subject(asking, [found], lambda related: related) == [found]


def test_a_form_that_finds_something_keeps_the_subject(held) -> None:
    lost, other = asked("gift wrapping", 0.1, -0.9, 0.1, 0.1), asked("how much", 0, 0.55, 0.5, 0)
    asking = Asking((lost, other), (asked("norway", 0, 0, 1, 0),))
    found = match(asking, *held, dense=True)
    assert on_the_subject(asking, [found], lambda related: related) == [found]


def test_nothing_found_is_no_error(held) -> None:
    found = match(Asking((asked("", 1, 0, 0, 0, understood=0.0),)), *held, dense=True)
    assert len(found.points) == 0
    assert joined([found], lambda related: 1.0) == ([pytest.approx(found.alone)], 0.0)
