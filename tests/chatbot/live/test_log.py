"""The text of an answer and its finished blocks, whatever pieces it comes in."""

from hypothesis import given, settings
from hypothesis import strategies as st

from chatbot.live.log import TurnLog
from chatbot.markdown import _clean, _parser, render

LINES = st.sampled_from(
    [
        "Refunds take seven days.", "And **more** to say", "- one", "* other", "1. first", "2) second", "  - deeper", "    code",
        "> said", "### Title", "#tag", "***", "===", "---", "```", "~~~", "a | b", "--|--", "", "", "", "\u2028", "é \U0001f44d",
        "+", "#", "[x]: https://example.com", "a\rb", "\x85", "- ", "退款需要七天。",
        "see example.com", "mail a@b.io", "@home", "https://x.y/z", "//x.y", "mailto:a@b.c", "3.5 a.m.", "www.a", "例子.中国",
    ]
)  # fmt: skip
TEXTS = st.lists(LINES, max_size=12).map("\n".join)


@given(TEXTS, st.data())
@settings(max_examples=300, deadline=None)
def test_the_blocks_of_an_answer_are_the_same_in_whatever_pieces_it_came(text: str, data: st.DataObject) -> None:
    """Two processes take in the same answer in other pieces; a visitor may go from one to the other in between."""
    by_one, in_pieces = TurnLog("cnv_1", "trn_1"), TurnLog("cnv_1", "trn_1")
    for character in text:
        by_one.append(character)
        by_one.gather()
    while rest := text[len(in_pieces.text) :]:
        in_pieces.append(rest[: data.draw(st.integers(1, len(rest)))])
        in_pieces.gather()
    assert in_pieces.blocks == by_one.blocks


@given(TEXTS)
@settings(max_examples=100, deadline=None)
def test_each_block_shows_exactly_the_characters_since_the_one_before(text: str) -> None:
    log, begin = TurnLog("cnv_1", "trn_1"), 0
    log.append(text)
    log.gather()
    for block in log.blocks:
        assert block.html == render(text[begin : block.end])
        begin = block.end
    assert begin <= len(text)


@given(TEXTS)
@settings(max_examples=500, deadline=None)
def test_a_text_rendered_block_by_block_is_the_text_rendered_whole(text: str) -> None:
    assert render(text) == _clean(_parser().render(text))
