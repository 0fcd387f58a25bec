"""Whether a sentence of an answer has a source: figures, addresses, and words."""

import pytest

from chatbot.turn.support import Sources

ENGLISH = Sources(
    (
        "[1] Returns\nYou may return an unopened grinder within 30 days. Shipping costs 4.90 euros; from 1,500 euros it is free. "
        "Write to returns@northwind.example or see https://northwind.example/returns.",
        "[2] Warranty\nThe motor is covered for five years from the day of purchase.",
        "my order is 88123",
    )
)
CHINESE = Sources(("[1] 退货\n未拆封的磨豆机在收到后 30 天内可以退货，运费由我们承担。退款需要七个工作日到账。",))


@pytest.mark.parametrize(
    "sentence",
    [
        "You can send an unopened grinder back within 30 days. [1]",
        "1. Shipping costs 4.90 euros, and it is free from 1500 euros.",
        "The motor has a warranty of 5 years from the day you purchase it.",
        "Your order 88123 can be returned.",
        "Please write to returns@northwind.example.",
        "There are 2 ways to return it:",
        "Step 3: print the label",
        "I am sorry, but I do not have any information about gift wrapping or engraving.",
        "Would you like me to tell you anything else about espresso machines and their accessories?",
        "未拆封的磨豆机可以在 30 天内退货。",
    ],
)
def test_a_sentence_that_says_what_the_sources_say_is_supported(sentence: str) -> None:
    assert ENGLISH.support(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "You can send it back within 60 days. [1]",
        "Shipping costs 9.90 euros.",
        "Write to help@northwind.example.",
        "See https://evil.example/refund for the form.",
        "Our flagship espresso machine features a titanium boiler and bluetooth connectivity for mobile phones.",
        "您可以在 45 天内退货。",
    ],
)
def test_a_figure_an_address_or_words_of_its_own_give_an_invented_sentence_away(sentence: str) -> None:
    assert not ENGLISH.support(sentence)


def test_chinese_is_judged_by_pairs_of_characters_and_spelled_numbers() -> None:
    assert CHINESE.support("退款一般 7 个工作日到账。")
    assert CHINESE.support("未拆封的磨豆机 30 天内都可以退，运费我们承担。")
    assert CHINESE.support("抱歉，我没有找到关于礼品包装的相关资料。")
    assert not CHINESE.support("退款需要 15 个工作日到账。")
    assert not CHINESE.support("本店的旗舰咖啡机采用钛合金锅炉，并支持蓝牙连接手机应用。")
