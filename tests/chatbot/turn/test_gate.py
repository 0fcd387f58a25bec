"""Law 3: what the gate releases is clean, whole, early, and never taken back."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatbot.moderation.judge import WordModeration
from chatbot.moderation.masking import Masker
from chatbot.moderation.rules import shipped_terms
from chatbot.turn.gate import Gate
from chatbot.turn.values import Answered, ModelFailed, Refused
from tests.chatbot.turn.stages import FakeModel, passage

PASSAGES = (passage(), passage(id="ent_2"))


def release(pieces: tuple[str, ...], policy=None, finish: str = "stop") -> tuple[list[str], Gate, FakeModel]:
    model, gate = FakeModel(pieces, finish), Gate(PASSAGES, WordModeration(policy or {}), Masker())

    async def collect() -> list[str]:
        return [piece async for piece in gate.release(model.stream(None))]

    return asyncio.run(collect()), gate, model


def test_clean_text_is_released_as_it_comes() -> None:
    released, gate, _ = release(("Refunds ", "take ", "seven ", "days."))
    assert released == ["Refunds ", "take ", "seven ", "days."]
    assert gate.outcome("sorry") == Answered("Refunds take seven days.", source="generated")


def test_an_offence_is_never_shown_and_ends_the_answer_and_the_model() -> None:
    released, gate, model = release(("You can watch ", "po", "rn", " here, and more"))
    assert "".join(released) == "You can watch "
    assert model.closed
    outcome = gate.outcome("I stop here.")
    assert isinstance(outcome, Refused)
    assert (outcome.text, outcome.category) == ("You can watch\n\nI stop here.", "sexual")


def test_a_word_that_only_begins_like_an_offence_is_shown() -> None:
    released, gate, _ = release(("A po", "rnog", "rapher"))  # not on the list as a whole word
    assert "".join(released) == "A pornographer"
    assert isinstance(gate.outcome(""), Answered)
    assert "".join(release(("She por", "tions the beans"))[0]) == "She portions the beans"


def test_chinese_offences_split_over_pieces_and_separators_are_found() -> None:
    for pieces in (("请看色", "情内容"), ("请看色 ", "情内容"), ("请看色\u200b情", "内容")):
        released, gate, _ = release(pieces)
        assert "".join(released) == "请看"
        assert isinstance(gate.outcome(""), Refused)


def test_a_shop_may_speak_of_what_it_sells() -> None:
    released, gate, _ = release(("Our crossbow is in stock.",))
    assert isinstance(gate.outcome(""), Answered)
    released, gate, _ = release(("Our crossbow is in stock.",), policy={"weapons": "block"})
    assert "".join(released) == "Our "
    assert isinstance(gate.outcome(""), Refused)


def test_marks_that_point_to_no_passage_are_dropped_and_the_others_cited_once_in_order() -> None:
    released, gate, _ = release(("B [2]. A [1", "]. Lie [", "9]. Again [2]."))
    assert "".join(released) == "B [2]. A [1]. Lie . Again [2]."
    assert [citation.n for citation in gate.citations()] == [2, 1]


def test_brackets_that_are_no_marks_pass() -> None:
    assert "".join(release(("See [the guide](https://x.example) and a[i] or [",))[0]) == (
        "See [the guide](https://x.example) and a[i] or ["
    )


def test_a_filter_at_the_provider_counts_as_refused_and_a_cut_as_truncated() -> None:
    assert isinstance(release(("Half an ",), finish="content_filter")[1].outcome("no"), Refused)
    assert release(("Half an ",), finish="length")[1].outcome("no").truncated
    with pytest.raises(ModelFailed):
        release((" ", "\n"))


TERMS = [
    term for category, terms in shipped_terms().items() if category not in {"weapons", "advertising"} for term in terms
]


@settings(max_examples=300, deadline=None)
@given(
    before=st.text(alphabet="abc 你好。,", max_size=12),
    term=st.sampled_from(TERMS),
    after=st.text(alphabet="abc 你好。,", max_size=12),
    cuts=st.lists(st.integers(0, 60), max_size=6),
)
def test_however_a_text_with_a_listed_term_is_cut_the_term_is_never_shown(before, term, after, cuts) -> None:
    text = f"{before} {term} {after}"
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = tuple(text[a:b] for a, b in pairwise(edges))
    try:
        released, gate, _ = release(pieces)
    except ModelFailed:
        return
    assert term not in "".join(released)
    assert isinstance(gate.outcome("no"), Refused)


@settings(max_examples=300, deadline=None)
@given(text=st.text(alphabet="abdehpor 你好传说色[]12.\n", max_size=60), cuts=st.lists(st.integers(0, 60), max_size=8))
def test_what_is_released_is_the_whole_text_however_it_is_cut(text, cuts) -> None:
    def shown(pieces: tuple[str, ...]) -> str | None:
        try:
            return "".join(release(pieces)[0])
        except ModelFailed:
            return None

    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    assert shown(tuple(text[a:b] for a, b in pairwise(edges))) == shown((text,))
