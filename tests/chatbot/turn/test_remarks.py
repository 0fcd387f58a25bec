"""What visitors tell about themselves, told apart from what they ask."""

import pytest

from chatbot.turn.remarks import Weight, heaviest, remarks, weigh


@pytest.mark.parametrize(
    ("sentence", "weight"),
    [
        ("Thanks, got it!", Weight.NOTHING),
        ("好的，谢谢。", Weight.NOTHING),
        ("🙏", Weight.NOTHING),
        ("How do I clean it", Weight.QUESTION),
        ("And what does shipping cost?", Weight.QUESTION),
        ("运费多少", Weight.QUESTION),
        ("你们几点营业？", Weight.QUESTION),
        ("The lid is cracked.", Weight.STATEMENT),
        ("盖子是裂的。", Weight.STATEMENT),
        ("My lid is cracked.", Weight.ABOUT_THEMSELVES),
        ("我对榛子过敏。", Weight.ABOUT_THEMSELVES),
        ("NW-48213", Weight.ABOUT_THEMSELVES),
        ("13812345678", Weight.ABOUT_THEMSELVES),
        ("The display shows E7.", Weight.ABOUT_THEMSELVES),
    ],
)
def test_a_sentence_weighs_what_would_be_lost_with_it(sentence: str, weight: Weight) -> None:
    assert weigh(sentence) is weight


def test_of_a_message_only_what_it_states_is_a_remark() -> None:
    text = "Hello! I bought the kettle in Rotterdam. Is it still under warranty? The lid is cracked. Thanks"
    assert remarks(text) == ["I bought the kettle in Rotterdam.", "The lid is cracked."]
    assert heaviest(text) is Weight.ABOUT_THEMSELVES
    assert heaviest("") is Weight.NOTHING


@pytest.mark.parametrize("text", ["嗯" * 5000 + "x", "ok " * 5000 + "x", "好的" * 4000 + "y", "谢谢，" * 3000 + "a"])
def test_a_long_text_of_empty_words_is_weighed_without_backtracking_for_ever(text: str) -> None:
    assert weigh(text) is Weight.STATEMENT
