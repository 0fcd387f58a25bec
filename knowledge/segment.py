"""How text becomes tokens for lexical search, in any language.

Chinese is cut three ways at once: into words (jieba's search mode), into pairs of characters and into single ones. No
way of cutting wins everywhere, so each is a leg of its own and the legs' scores are summed. Words of alphabetic scripts
are stemmed and count in every leg.
"""

import logging
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import Stemmer

from workspace.chinese import simplified

UNSPACED = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0e7f"
_RUN = re.compile(rf"(?P<unspaced>[{UNSPACED}]+)|(?P<word>[^\W_{UNSPACED}]+)")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")

STOP_WORDS = frozenset(
    """a about am an and any are as at be been but by can could did do does for from had has have he her his how i if in
    into is it its just me my no not of on or our she should so than that the their them then there these they this to
    us was we were what when where which who why will with would you your""".split()  # noqa: SIM905 - reads as prose
)

CHINESE_STOP_WORDS = frozenset(
    """的 了 吗 呢 吧 啊 是 在 和 与 或 有 我 你 您 我们 你们 他 它 这 那 这个 那个 哪些 哪个 什么 怎么 怎样 如何 怎么办
    为什么 为何 是否 能否 可以 会 能 要 请 请问 多少 几 么 怎 何 哪 谁 被 把 对 从
    到 就 都 也 还 又 而 及 等 应该 应当 需要 想""".split()  # noqa: SIM905
)


CUT_AS = 1  # whoever has texts cut otherwise adds one, so that what was published before is built anew


class Legs(NamedTuple):
    """The same text, cut three ways."""

    words: list[str]
    pairs: list[str]
    singles: list[str]


def legs(text: str) -> Legs:
    """Cut `text` for search; the same cut serves documents and questions, in both scripts of Chinese."""
    cut = Legs([], [], [])
    for run, unspaced in _runs(simplified(fold(text))):
        if unspaced:
            pieces = (_words(run), [a + b for a, b in pairwise(run)] or [run], run)
            for leg, tokens in zip(cut, pieces, strict=True):
                leg.extend(token for token in tokens if token not in CHINESE_STOP_WORDS)
        elif run not in STOP_WORDS:
            stem = _stemmer().stemWord(run)
            for leg in cut:
                leg.append(stem)
    return cut


def fold(text: str) -> str:
    """Full-width to half-width, compatibility forms to plain ones, lower case."""
    return unicodedata.normalize("NFKC", text).lower()


def chinese_share(text: str) -> float:
    """The share of a text's letters that are Chinese characters, 0 to 1."""
    letters = [character for character in text if character.isalpha()]
    return sum(1 for character in letters if _HAN.match(character)) / len(letters) if letters else 0.0


def is_chinese(token: str) -> bool:
    """Whether a token begins with a Chinese character."""
    return _HAN.match(token) is not None


def share_of_chinese(word: str) -> float:
    """The share that a word has in Chinese texts of all kinds; 0 where jieba's dictionary does not hold it."""
    return float(_jieba().dt.FREQ.get(word, 0) / _jieba().dt.total)


def _runs(text: str) -> Iterator[tuple[str, bool]]:
    for found in _RUN.finditer(text):
        yield found.group(), found.lastgroup == "unspaced"


def _words(run: str) -> list[str]:
    return list(_jieba().cut_for_search(run)) if _HAN.search(run) else [run]


@lru_cache(maxsize=1)
def _jieba() -> Any:
    import jieba  # its dictionary takes a second to load: only where Chinese is met

    jieba.setLogLevel(logging.WARNING)
    jieba.initialize()
    return jieba


@lru_cache(maxsize=1)
def _stemmer() -> Stemmer.Stemmer:
    return Stemmer.Stemmer("english")
