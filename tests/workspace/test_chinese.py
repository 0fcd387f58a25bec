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
    is_simplified,
    is_traditional,
    simple_character,
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
    assert simplified(other) == simplified(simple) == simple
    assert traditional(simple) == other


@pytest.mark.parametrize("text", ["", "How are you?", "你好", "乾隆皇帝是谁", "退款を確認", "환불 100%"])
def test_what_is_not_traditional_chinese_stays_as_it_is(text: str) -> None:
    assert simplified(text) == text


def test_single_characters() -> None:
    assert simple_character("轉") == "转"
    assert simple_character("转") == "转"
    assert simple_character("x") == "x"


def test_what_both_scripts_write_tells_nothing() -> None:
    """Held against OpenCC's own way back, which changes what Traditional Chinese has no use for."""
    back = OpenCC("s2t")
    assert _IN_BOTH
    assert all(back.convert(character) == character for character in _IN_BOTH)
    _, only_simplified = _tables()
    usual = {character for character in only_simplified if "\u3400" <= character <= "\u9fff"}
    assert len(usual) > 2_600
    assert {character for character in usual if back.convert(character) == character} == set()


@pytest.mark.parametrize(
    ("tag", "served"),
    [("zh", "zh-hans"), ("zh-CN", "zh-hans"), ("zh-Hans", "zh-hans"), ("zh_TW", "zh-hant"), ("zh-Hant", "zh-hant"),
     ("zh-Hant-HK", "zh-hant"), ("zh-HK", "zh-hant"), ("en-GB", "en"), ("fr", "en"), ("", "en")],
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
