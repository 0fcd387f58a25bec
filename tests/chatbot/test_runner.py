"""What a runner adds to an answer that ends otherwise than it was written."""

import pytest

from chatbot.results import rest_of


@pytest.mark.parametrize(
    ("text", "written", "rest"),
    [
        ("Five days. Ask us.", "Five days. ", "Ask us."),
        ("Five days.\n\nI cannot say more.", "Five days. ", "\n\nI cannot say more."),
        ("Five days.", "Five days. ", ""),
        ("No source.", "", "No source."),
        ("Something else.", "Five days. ", ""),
    ],
)
def test_nothing_is_shown_twice_where_an_answer_was_cut(text: str, written: str, rest: str) -> None:
    assert rest_of(text, written) == rest
