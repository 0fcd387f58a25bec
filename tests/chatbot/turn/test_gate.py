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
from chatbot.turn.support import Sources
from chatbot.turn.values import Answered, ModelFailed, NoAnswer, Refused
from tests.chatbot.turn.stages import FakeModel, FakeReplies, passage

PASSAGES = (passage(), passage(id="ent_2"))


def release(
    pieces: tuple[str, ...], policy=None, finish: str = "stop", sources: Sources | None = None, strict: bool = False
) -> tuple[list[str], Gate, FakeModel]:
    model = FakeModel(pieces, finish)
    gate = Gate(PASSAGES, WordModeration(policy or {}), Masker(), sources, strict=strict)

    async def collect() -> list[str]:
        return [piece async for piece in gate.release(model.stream(None))]

    return asyncio.run(collect()), gate, model


def test_clean_text_is_released_as_it_comes() -> None:
    released, gate, _ = release(("Refunds ", "take ", "seven ", "days."))
    assert released == ["Refunds ", "take ", "seven ", "days."]
    assert gate.outcome(FakeReplies(), "en") == Answered("Refunds take seven days.", source="generated")


def test_an_offence_is_never_shown_and_ends_the_answer_and_the_model() -> None:
    released, gate, model = release(("You can watch ", "po", "rn", " here, and more"))
    assert "".join(released) == "You can watch "
    assert model.closed
    outcome = gate.outcome(FakeReplies(), "en")
    assert isinstance(outcome, Refused)
    assert (outcome.text, outcome.category) == ("You can watch\n\n<withheld en>", "sexual")


def test_a_word_that_only_begins_like_an_offence_is_shown() -> None:
    released, gate, _ = release(("A po", "rnog", "rapher"))  # not on the list as a whole word
    assert "".join(released) == "A pornographer"
    assert isinstance(gate.outcome(FakeReplies(), "en"), Answered)
    assert "".join(release(("She por", "tions the beans"))[0]) == "She portions the beans"


def test_chinese_offences_split_over_pieces_and_separators_are_found() -> None:
    for pieces in (("请看色", "情内容"), ("请看色 ", "情内容"), ("请看色\u200b情", "内容")):
        released, gate, _ = release(pieces)
        assert "".join(released) == "请看"
        assert isinstance(gate.outcome(FakeReplies(), "en"), Refused)


def test_a_shop_may_speak_of_what_it_sells() -> None:
    released, gate, _ = release(("Our crossbow is in stock.",))
    assert isinstance(gate.outcome(FakeReplies(), "en"), Answered)
    released, gate, _ = release(("Our crossbow is in stock.",), policy={"weapons": "block"})
    assert "".join(released) == "Our "
    assert isinstance(gate.outcome(FakeReplies(), "en"), Refused)


def test_marks_that_point_to_no_passage_are_dropped_and_the_others_cited_once_in_order() -> None:
    released, gate, _ = release(("B [2]. A [1", "]. Lie [", "9]. Again [2]."))
    assert "".join(released) == "B [2]. A [1]. Lie . Again [2]."
    assert [citation.n for citation in gate.citations()] == [2, 1]


def test_brackets_that_are_no_marks_pass() -> None:
    assert "".join(release(("See [the guide](https://x.example) and a[i] or [",))[0]) == (
        "See [the guide](https://x.example) and a[i] or ["
    )


def test_a_filter_at_the_provider_counts_as_refused_and_a_cut_as_truncated() -> None:
    assert isinstance(release(("Half an ",), finish="content_filter")[1].outcome(FakeReplies(), "en"), Refused)
    assert release(("Half an ",), finish="length")[1].outcome(FakeReplies(), "en").truncated
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
    assert isinstance(gate.outcome(FakeReplies(), "en"), Refused)


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


SOURCES = ("[1] How long do refunds take?\nRefunds take seven days.", "How long?")
INVENTED = ("Refunds take ", "7 days. ", "[1] You also get a voucher of ", "50 euros. It is", " sent by mail. [1]")


def test_a_sentence_without_a_source_is_marked_ends_the_answer_and_the_model_and_offers_a_person() -> None:
    released, gate, model = release(INVENTED, sources=Sources(SOURCES))
    assert "".join(released) == "Refunds take 7 days. [1] You also get a voucher of 50 euros."
    assert model.closed
    outcome = gate.outcome(FakeReplies(), "en")
    assert isinstance(outcome, NoAnswer)
    assert outcome.text == f"{''.join(released)} *(<unsupported_mark en>)*\n\n<unsupported en>"
    assert [citation.n for citation in outcome.citations] == [1]


def test_a_sentence_is_judged_without_the_beginning_of_the_next() -> None:
    """Whose first figure is not a figure of this one: 30 has no 3 in it."""
    sources = Sources(("[1] 退货与换货\n退货：45 天内。换货：30 天内。",))
    text = "订单可在 45 天内退货。30 天内可换货。"
    for strict in (False, True):
        for pieces in ((text,), tuple(text), ("订单可在 45 天内退货。3", "0 天内可换货。")):
            assert "".join(release(pieces, sources=sources, strict=strict)[0]) == text


def test_where_strict_it_is_never_shown() -> None:
    released, gate, model = release(INVENTED, sources=Sources(SOURCES), strict=True)
    assert "".join(released).rstrip() == "Refunds take 7 days. [1]".removesuffix(" [1]")
    assert model.closed
    assert gate.outcome(FakeReplies(), "en").text == "Refunds take 7 days.\n\n<unsupported en>"


def test_where_strict_each_sentence_comes_whole() -> None:
    released, gate, _ = release(
        ("Refunds ", "take 7", " days. Ref", "unds take", " 7 days."), sources=Sources(SOURCES), strict=True
    )
    assert [piece for piece in released if piece] == ["Refunds take 7 days.", " Refunds take 7 days."]
    assert isinstance(gate.outcome(FakeReplies(), "en"), Answered)


def test_an_answer_that_begins_without_a_source_is_no_answer_where_strict() -> None:
    released, gate, _ = release(("You get 500 euros.",), sources=Sources(SOURCES), strict=True)
    assert "".join(released) == ""
    assert gate.outcome(FakeReplies(), "en") == NoAnswer("<no_source en>")


@given(st.lists(st.integers(1, 60), max_size=12))
@settings(max_examples=60, deadline=None)
def test_however_an_answer_is_cut_what_is_shown_of_it_is_the_same(cuts: list[int]) -> None:
    text = "".join(INVENTED)
    at = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    pieces = tuple(text[a:b] for a, b in pairwise(at))
    for strict in (False, True):
        assert "".join(release(pieces, sources=Sources(SOURCES), strict=strict)[0]) == "".join(
            release(INVENTED, sources=Sources(SOURCES), strict=strict)[0]
        )
