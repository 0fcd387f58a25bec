"""The two scripts of Chinese, and the wording a reader gets."""

import pytest
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from django.conf import settings
from django.utils.translation import gettext, override
from opencc import OpenCC

from workspace.chinese import (
    _IN_BOTH,
    _tables,
    in_mainland_words,
    is_simplified,
    is_traditional,
    simplified,
    traditional,
)
from workspace.wordings import pick, texts_in

PAIRS = [
    ("退款多久到账？", "退款多久到賬？"),
    ("网络断线怎么办", "網路斷線怎麼辦"),
    ("软件更新以后，文件找不到了", "軟體更新以後，檔案找不到了"),
    ("请问退货运费由谁负担？", "請問退貨運費由誰負擔？"),
]


@pytest.mark.parametrize(("simple", "other"), PAIRS)
def test_the_scripts_are_told_apart_and_put_into_each_other(simple: str, other: str) -> None:
    assert is_simplified(simple)
    assert not is_traditional(simple)
    assert is_traditional(other)
    assert not is_simplified(other)
    assert in_mainland_words(other) == in_mainland_words(simple) == simplified(simple) == simple
    assert len(simplified(other)) == len(other)
    assert traditional(simple) == other


@pytest.mark.parametrize("text", ["", "How are you?", "你好", "乾隆皇帝是谁", "退款を確認", "환불 確認"])
def test_what_is_not_traditional_chinese_keeps_its_words(text: str) -> None:
    assert not is_traditional(text)
    assert in_mainland_words(text) == text


@pytest.mark.parametrize(
    ("text", "simple"),
    [
        ("轉人工，谢谢", "转人工，谢谢"),
        ("網路", "网路"),
        ("確認する", "确认する"),
        ("轉\0人工", "转\0人工"),
        ("x 转", "x 转"),
    ],
)
def test_each_character_is_simplified_whatever_stands_around_it(text: str, simple: str) -> None:
    assert simplified(text) == simple


@pytest.mark.parametrize("text", ["台北門市", "寄到台灣", "我在台南買的", "我要吃粽子嗎", "郁小姐訂的", "這裡有灶嗎"])
def test_what_is_written_so_in_taiwan_is_no_sign_of_simplified_chinese(text: str) -> None:
    assert is_traditional(text)


def test_what_both_scripts_write_tells_nothing() -> None:
    """Held against OpenCC's own ways back, which change what Traditional Chinese has no use for."""
    ways = OpenCC("s2t"), OpenCC("s2tw")
    _, only_simplified = _tables()
    usual = {character for character in only_simplified if "\u3400" <= character <= "\u9fff"}
    assert len(usual) > 2_500
    assert {character for character in usual if any(way.convert(character) == character for way in ways)} == set()
    people = set("台后里游于余范云几干征郁")
    assert {character for character in _IN_BOTH if all(way.convert(character) != character for way in ways)} == people


@pytest.mark.parametrize(
    ("tag", "served"),
    [("zh", "zh-hans"), ("zh-CN", "zh-hans"), ("zh-Hans", "zh-hans"), ("zh_TW", "zh-hant"), ("zh-Hant", "zh-hant"),
     ("zh-Hant-HK", "zh-hant"),
     ("zh-Hans-HK", "zh-hans"), ("zh-Hant-US", "zh-hant"), ("zh-MO", "zh-hant"),
     ("zh-HK", "zh-hant"), ("en-GB", "en"), ("fr", "en"), ("", "en")],
)  # fmt: skip
def test_who_is_served_in_which_language(tag: str, served: str) -> None:
    assert texts_in(tag) == served


def test_the_owners_words_come_in_the_readers_script() -> None:
    wordings = {"en": "Hello!", "zh": "欢迎光临"}
    assert pick(wordings, "zh-hant") == "歡迎光臨"
    assert pick(wordings, "zh-hans") == pick(wordings, "zh") == "欢迎光临"
    assert pick(wordings | {"zh-hant": "您好"}, "zh-Hant") == "您好", "who has written it is not corrected"
    assert pick(wordings, "ja") == "Hello!"
    assert pick({}, "zh-hant") == ""


def first_of(text: str | list[str] | tuple[str, ...]) -> str:
    """The singular of a text that has a plural."""
    return text if isinstance(text, str) else text[0]


def test_every_text_is_there_in_traditional_chinese_too() -> None:
    folder = settings.LOCALE_PATHS[0]
    with open(f"{folder}/zh_Hans/LC_MESSAGES/django.po", "rb") as file:
        written = {str(first_of(message.id)) for message in read_po(file)}
    with open(f"{folder}/zh_Hant/LC_MESSAGES/django.mo", "rb") as file:
        made = {str(first_of(message.id)) for message in read_mo(file)}
    assert written == made
    with override("zh-hant"):
        assert gettext("Connection lost. Trying again…") == "連線已斷開，正在重試…"
        assert gettext("Talk to a person") == "轉人工客服"
    with override("zh-hans"):
        assert gettext("Talk to a person") == "转人工客服"
