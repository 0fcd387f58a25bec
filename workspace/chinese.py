"""The two scripts of Chinese: which one a text is in, and the one for the other.

What we look up (words, rules, questions of a FAQ) is looked up in Simplified characters, so that neither who asks nor what
was fed in has to be in them. The tables and the conversion of whole texts are OpenCC's, with Taiwan's words for things (網路
for 网络).
"""

import re
from functools import lru_cache

from opencc import OpenCC

_FIRST, _LAST = 0x3400, 0x9FFF
# What Traditional Chinese writes, too, if otherwise in some words. OpenCC knows, by 26 MB of words that no process needs else;
# but not that people in Taiwan write 台 and 里, and family names 于, 余, 范, 云, 郁.
_IN_BOTH = frozenset(
    "于云余佛俊修僵克冢冬凌几出刮制千升卜即卷只台吃合吊同后向呆周咽哄唇喂噪回困埼奸姜娘家局峰巨布席干幸床庵弦彩征御志念恤愈戚扇才扎托扣折抬抵拐拼挨挲"
    "挽捆捍搜教旋旗既昆暗曲札朱杆杯松板查栗核梁棋棱欲污沈沾泄泛注游溪溯漓灶狸玩璇症痴皂真矩私秋秘粽糊糖系累群胄胡致舍芸苔范蒙蓑蔑表谷踊逾郁酸里雕面飧"
)
_HAN = re.compile(r"[\u3400-\u9fff]")
_NOT_CHINESE = re.compile(r"[\u3040-\u30ff\u1100-\u11ff\uac00-\ud7af]")  # Japanese and Korean know such characters, too


def is_traditional(text: str) -> bool:
    """Whether more of its characters are found only in Traditional Chinese than only in Simplified."""
    return _leaning(text) > 0


def is_simplified(text: str) -> bool:
    """Whether more of its characters are found only in Simplified Chinese than only in Traditional."""
    return _leaning(text) < 0


def simplified(text: str) -> str:
    """Each character as Simplified Chinese writes it, whatever the others are: what is compared is written alike, also a name in
    a text of the other script, and every character keeps its place."""
    return text.translate(_tables()[0]) if not text.isascii() and _HAN.search(text) else text


def in_mainland_words(text: str) -> str:
    """A Traditional Chinese text in Simplified characters and with the Mainland's words for Taiwan's; any other as it is."""
    return str(_converter("tw2sp").convert(text.replace("\0", ""))) if is_traditional(text) else text


def traditional(text: str) -> str:
    """A Simplified Chinese text as it is written in Taiwan; what is in no Chinese stays as it is."""
    return text if text.isascii() else str(_converter("s2twp").convert(text.replace("\0", "")))


def _leaning(text: str) -> int:
    """By how many characters it is rather Traditional; below 0, Simplified."""
    if text.isascii() or _NOT_CHINESE.search(text):
        return 0
    only_traditional, only_simplified = _tables()
    return sum((ord(c) in only_traditional) - (c in only_simplified) for c in _HAN.findall(text))


@lru_cache(maxsize=1)
def _tables() -> tuple[dict[int, str], frozenset[str]]:
    """How Simplified Chinese writes the characters that only Traditional has (as `str.translate` wants it), and the characters
    that only Simplified has."""
    every = [chr(code) for code in range(_FIRST, _LAST + 1)]  # one a line, so that none is read as part of a word
    simple = _converter("t2s").convert("\n".join(every)).split("\n")
    to_simple = {ord(character): to for character, to in zip(every, simple, strict=True) if to != character}
    return to_simple, frozenset(to_simple.values()) - set(map(chr, to_simple)) - _IN_BOTH


@lru_cache(maxsize=4)
def _converter(name: str) -> OpenCC:
    return OpenCC(name)
