"""The two scripts of Chinese: which one a text is in, and the one for the other.

What we look up (words, rules, questions of a FAQ) is looked up in Simplified characters, so that neither who asks nor what
was fed in has to be in them. The conversion is OpenCC's, with Taiwan's words for things: 網路 becomes 网络 and back.
"""

import re
from functools import lru_cache

from opencc import OpenCC

_FIRST, _LAST = 0x3400, 0x9FFF
# What Traditional Chinese writes otherwise in some words only. OpenCC knows, by 26 MB of words that no process needs else.
_IN_BOTH = frozenset(
    "佛俊修僵克冢冬凌出刮制千升卜即卷只合吊同向呆周咽哄喂噪回困埼奸姜娘家局巨布席幸庵弦彩御志念恤愈戚扇才扎托扣折抬抵拐拼挨挲挽"
    "捆捍搜教旋旗既昆暗曲札朱杆杯松板查栗核梁棋棱欲污沈沾泄泛注溪溯漓狸玩璇症真矩私秋糊糖系累胄胡致舍芸苔蒙蓑蔑表谷踊逾酸雕面飧"
)
_NOT_CHINESE = re.compile(r"[\u3040-\u30ff\u1100-\u11ff\uac00-\ud7af]")  # Japanese and Korean know such characters, too


def is_traditional(text: str) -> bool:
    """Whether more of its characters are found only in Traditional Chinese than only in Simplified."""
    return _leaning(text) > 0


def is_simplified(text: str) -> bool:
    """Whether more of its characters are found only in Simplified Chinese than only in Traditional."""
    return _leaning(text) < 0


def simplified(text: str) -> str:
    """A Traditional Chinese text in Simplified characters; any other as it is."""
    return _to_simplified(text) if is_traditional(text) else text


def traditional(text: str) -> str:
    """A Simplified Chinese text as it is written in Taiwan; what is in no Chinese stays as it is."""
    return text if text.isascii() else str(_converter("s2twp").convert(text))


def simple_character(character: str) -> str:
    """One character by itself, in Simplified Chinese."""
    return _tables()[0].get(character, character)


def _leaning(text: str) -> int:
    """By how many characters it is rather Traditional; below 0, Simplified."""
    if text.isascii() or _NOT_CHINESE.search(text):
        return 0
    only_traditional, only_simplified = _tables()
    return sum((c in only_traditional) - (c in only_simplified) for c in text)


@lru_cache(maxsize=1024)  # a question is looked at from many sides
def _to_simplified(text: str) -> str:
    return str(_converter("tw2sp").convert(text))


@lru_cache(maxsize=1)
def _tables() -> tuple[dict[str, str], frozenset[str]]:
    """How Simplified Chinese writes the characters that only Traditional has, and those that only Simplified has."""
    every = [chr(code) for code in range(_FIRST, _LAST + 1)]
    simple = (
        _converter("t2s").convert("\n".join(every)).split("\n")
    )  # one a line, so that none is read as part of a word
    to_simple = {character: to for character, to in zip(every, simple, strict=True) if to != character}
    return to_simple, frozenset(to_simple.values()) - to_simple.keys() - _IN_BOTH


@lru_cache(maxsize=4)
def _converter(name: str) -> OpenCC:
    return OpenCC(name)
