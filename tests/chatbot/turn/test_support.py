"""Whether a sentence of an answer has a source: figures, addresses, and words."""

import time
from collections.abc import Callable
from string import ascii_lowercase

import pytest

from chatbot.turn.support import CLAIM_WORDS, SHARED, SHARED_UNSPACED, Sources

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


@pytest.mark.parametrize(
    ("sources", "sentence"),
    [
        (ENGLISH, "You earn **8** points with each order."),
        (ENGLISH, "There are **6** ways to return it."),
        (ENGLISH, "| Gold | 7 | points |"),
        (CHINESE, "| 退货方式 | 45 |"),
        (CHINESE, "有 **5** 种退货方式。"),
    ],
)
def test_marks_set_a_figure_apart_from_what_it_would_only_count(sources: Sources, sentence: str) -> None:
    assert not sources.support(sentence)


def test_chinese_is_judged_by_pairs_of_characters_and_spelled_numbers() -> None:
    assert CHINESE.support("退款一般 7 个工作日到账。")
    assert CHINESE.support("未拆封的磨豆机 30 天内都可以退，运费我们承担。")
    assert CHINESE.support("抱歉，我没有找到关于礼品包装的相关资料。")
    assert not CHINESE.support("退款需要 15 个工作日到账。")
    assert not CHINESE.support("本店的旗舰咖啡机采用钛合金锅炉，并支持蓝牙连接手机应用。")


def test_traditional_chinese_is_held_against_simplified_sources() -> None:
    assert CHINESE.share("未拆封的磨豆機在收到後可以退貨。") == CHINESE.share("未拆封的磨豆机在收到后可以退货。") > 0.9
    assert CHINESE.support("對不起，禮品包裝與蝕刻服務暫無任何資料。")
    assert not CHINESE.support("本店的旗艦咖啡機採用鈦合金鍋爐，並支援藍牙連接手機應用。")


def words(count: int) -> str:
    return " ".join([letter * length for length in (3, 4) for letter in ascii_lowercase][:count])


def pairs(count: int) -> str:
    return "".join(chr(0x3041 + n) for n in range(count + 1))


@pytest.mark.parametrize(("text", "limit"), [(words, SHARED), (pairs, SHARED_UNSPACED)])
def test_a_source_has_as_many_of_a_sentences_words_as_the_limit_says(text: Callable[[int], str], limit: float) -> None:
    least = round(50 * limit)
    for count in (least - 1, least):
        sources = Sources([text(count)])
        assert sources.share(text(50)) == count / 50
        assert sources.support(text(50)) is (count >= least)


def test_what_sources_share_with_a_sentence_is_not_added_up() -> None:
    sources = Sources(words(50).split())
    assert sources.share(words(10)) == 1 / 10
    assert not sources.support(words(10))


def test_a_short_sentence_is_not_judged_by_its_words() -> None:
    assert Sources(["refunds"]).support(words(CLAIM_WORDS - 1))
    assert not Sources(["refunds"]).support(words(CLAIM_WORDS))


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("Refunds take fifteen days.", "Refunds take 15 days."),
        ("It weighs twenty-four kilos.", "It weighs 24 kilos."),
        ("Up to two hundred guests.", "Up to 200 guests."),
        ("退款需要十五个工作日，最多三十天。", "退款需要 15 个工作日，最多 30 天。"),
        ("本店成立于二〇一八年，有一百二十名员工。", "本店成立于 2018 年，有 120 名员工。"),
        ("兩三天內出貨", "2 到 3 天內出貨"),
        ("Versand 4,90 €, ab 1.500 € frei.", "Shipping is 4.90 euros, free from 1,500 euros."),
        ("The fee is $30.", "The fee is $30.00."),
        ("Unpaid is 12.580,20.", "Unpaid is 12,580.20."),
        ("Open until 31 December 2026.", "营业至 2026.12.31。"),
        ("It ends on 5th of May.", "It ends on 05/5."),
        ("From 9 am to 5 pm.", "From 9:00 to 17:00."),
        ("周一至周五 9:00-18:30", "Monday to Friday, 9 am to 6:30 pm"),
        ("续航 10,000 公里", "续航 1 万公里"),
        ("about 1.5 million users", "about 1.5 million users, or 1,500,000"),
        ("The flat has 57 square metres.", "The flat has 57 m²."),
        ("57 m²", "57 m2"),
    ],
)
def test_a_figure_may_be_written_in_another_way(source: str, sentence: str) -> None:
    assert Sources([source]).support(sentence)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("Refunds take fifteen days.", "Refunds take 50 days."),
        ("退款需要十五天。", "退款需要 5 天。"),
        ("三十天", "3 天"),
        ("Shipping is 4.90.", "Shipping is 490."),
        ("It costs 1.50.", "It costs 150."),
        ("续航 1 万公里", "续航 100 公里"),
        ("From 9 am to 5 pm.", "From 9:00 to 18:00."),
        ("You may return it.", "You may return it 5 times."),
    ],
)
def test_another_figure_is_another_figure(source: str, sentence: str) -> None:
    assert not Sources([source]).support(sentence)


@pytest.mark.parametrize(
    "mark",
    ["3. ", "**3.** ", "### 3. ", "- 3) ", "3.", "3、", "（3）", "③ ", "Step 3: ", "步骤 3：", "方法3：", "Option 3: "],
)
def test_the_number_of_a_list_item_is_no_figure(mark: str) -> None:
    assert ENGLISH.support(f"{mark}Print it")
    assert not ENGLISH.support(f"{mark}Print 77")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("基础方案99元每月。", "基础方案每月只要99元。"),
        ("快递方式9天，平邮方式20天。", "快递方式9天，平邮方式20天。"),
        ("Phone: \n(02) 2345-6789", "Please call (02) 2345-6789."),
        ("12.Nov\n13.Nov closed", "We are closed on 12 Nov and 13 Nov."),
        ("24. Dezember: geschlossen", "24. Dezember: geschlossen"),
        ("共有15种颜色", "共有15种颜色。"),
        ("option 15 euros", "Each option 15 euros."),
        ("It costs two hundred and fifty euros.", "It costs 250 euros."),
        ("one thousand two hundred pieces", "There are 1,200 pieces, or 1200."),
        ("from one thousand pieces on", "From 1000 pieces on."),
        ("twenty-five or thirty days", "Within 25 or 30 days."),
        ("It costs 1,500 euros.", "It costs 1 500 euros."),
        ("It costs 12 500 euros.", "It costs 12,500 euros or 12500."),
        ("We open at 9.30 in the morning.", "We open at 9:30."),
        ("We open at 9:30.", "We open at 9.30 in the morning."),
    ],
)
def test_a_figure_that_looks_like_a_lists_number_is_one(source: str, sentence: str) -> None:
    assert Sources([source]).support(sentence)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("基础方案99元每月。", "基础方案59元每月。"),
        ("共有15种颜色", "共有17种颜色。"),
        ("option 15 euros", "Each option 25 euros."),
        ("It costs two hundred and fifty euros.", "It costs 350 euros."),
        ("It costs 1 500 euros.", "It costs 2 500 euros."),
        ("twenty, five", "Within 35 days."),
        ("We open at 9.30 in the morning.", "We open at 9:45."),
    ],
)
def test_and_must_be_in_a_source(source: str, sentence: str) -> None:
    assert not Sources([source]).support(sentence)


@pytest.mark.parametrize(
    "text",
    [
        "一" * 5_000,
        "9" * 5_000,
        "9" * 310 + "万",
        "9" * 310 + " million",
        "٣" * 500,
        "1." * 4_000,
        "²" * 500,
        "万" * 5_000,
    ],
)
def test_odd_figures_break_nothing(text: str) -> None:
    assert Sources(["Refunds take 7 days.", text]).support("Refunds take 7 days.")
    Sources(["Refunds take 7 days."]).support(f"Refunds take {text} days.")


@pytest.mark.parametrize(
    "text", ["a" + "\n" * 20_000 + "b", "a" + "\n-" * 20_000, "> " * 20_000, "-" * 40_000, "(" * 40_000]
)
def test_hostile_white_space_and_marks_cost_what_their_length_costs(text: str) -> None:
    def took(some: str) -> float:
        began = time.process_time()
        Sources([some]).support("Refunds take 7 days.")
        return time.process_time() - began

    took(text[:1_000])
    short, long = (
        min(took(text[: len(text) // 8] + str(n)) for n in range(3)),
        min(took(text + str(n)) for n in range(3)),
    )
    assert long < 40 * short + 0.05  # eight times the text; by squares it would be 64
