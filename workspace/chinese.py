"""The two scripts of Chinese: which one a text is in, and the one for the other.

What we look up (words, rules, questions of a FAQ) is looked up in Simplified characters, so that neither who asks nor what
was fed in has to be in them. The conversion is OpenCC's, with Taiwan's words for things: 網路 becomes 网络 and back.
"""

import re
from functools import lru_cache

from opencc import OpenCC

_FIRST, _LAST = 0x3400, 0x9FFF
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
    to_simple, to_traditional = _tables()
    return sum((c in to_simple) - (c in to_traditional) for c in text)


@lru_cache(maxsize=1024)  # a question is looked at from many sides
def _to_simplified(text: str) -> str:
    return str(_converter("tw2sp").convert(text))


@lru_cache(maxsize=1)
def _tables() -> tuple[dict[str, str], dict[str, str]]:
    """The characters that one script has and the other writes otherwise, with how it writes them."""
    every = [chr(code) for code in range(_FIRST, _LAST + 1)]
    lines = "\n".join(every)  # one a line, so that none is read as part of a word
    simple, other = _converter("t2s").convert(lines).split("\n"), _converter("s2t").convert(lines).split("\n")
    return (
        {c: to for c, to in zip(every, simple, strict=True) if to != c},
        {c: to for c, to in zip(every, other, strict=True) if to != c},
    )


@lru_cache(maxsize=4)
def _converter(name: str) -> OpenCC:
    return OpenCC(name)
