"""Where sentences end while they are being written: looking only at what is new finds what looking at all of it finds."""

from hypothesis import example, given
from hypothesis import strategies as st

from chatbot.turn.sentences import finished_at, finished_part

PIECES = st.lists(st.text("ab 1.。!?”)\"'\n…", max_size=6), max_size=12)


@given(PIECES)
@example(["It costs 3", ".", "50 a day", ". ", "Yes"])
@example(["真的", "。", "”", "他"])
def test_an_end_is_found_as_soon_as_it_is_certain_and_never_twice(pieces: list[str]) -> None:
    sentence, found, start = "", [], 0
    for piece in pieces:
        begun, sentence = len(sentence), sentence + piece
        ends = finished_at(sentence, whole=False, since=begun)
        assert ends == finished_at(sentence, whole=False)
        found += [start + end for end in ends]
        cut = ends[-1] if ends else 0
        sentence, start = sentence[cut:], start + cut
    text = "".join(pieces)
    assert text[start:] == sentence
    assert found == sorted(set(found))
    assert not found or found[-1] < len(text)


def test_of_a_text_that_was_cut_only_what_has_certainly_ended_counts() -> None:
    assert finished_part("Refunds take seven days. It costs 30 dollars") == "Refunds take seven days."
    assert finished_part("Refunds take seven days. It costs 3.") == "Refunds take seven days."
    assert finished_part("It costs") == ""
