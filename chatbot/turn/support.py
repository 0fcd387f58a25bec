"""Whether a sentence of an answer says what its sources say, judged by the words and the figures they share.

Two things give an invented sentence away: a figure or an address that no source holds, and words that hardly any source
uses. Both are cheap enough to look at while the answer streams. A sentence in another script than the sources is judged by
its figures alone. The limit on shared words was chosen by hand: it is meant to catch what shares hardly any.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

SHARED = 0.25  # of a sentence's own words, at least
CLAIM_WORDS = 6  # a sentence with fewer is too short to tell

_MARKUP = re.compile(
    r"""\[\^?\d{1,3}\] | ^\s*(?:[-*+>\#]+|\d{1,2}[.)、])(?:\s+|$) | [*_`|]+
    | \bstep\s+\d{1,2}\b | 第\s*\d{1,2}\s*步
    | \b\d\s+(?:steps|ways|options|things|points|methods)\b | \d\s*(?:种|个(?:步骤|方法|方式|选项))""",
    re.MULTILINE | re.VERBOSE,
)
_ADDRESS = re.compile(r"(?:https?://|www\.)[^\s()<>\]，。；、）]+|[\w.+-]+@[\w-]+\.[\w.-]+", re.ASCII)
_MAY_HOLD_ADDRESS = re.compile(r"://|www\.|@(?<=[\w.+-]@)\w", re.ASCII)
_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]+|[^\W\d_\u3040-\u30ff\u3400-\u9fff]+")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_NO_CLAIM = re.compile(
    r"""[?？]['"”’)）\s]*$ | \b(?:sorry|apolog|no\s+source|not?\s+(?:have|find|sure|mention|state|say|contain)|unable\s+to|
    happy\s+to|would\s+you\s+like|let\s+me\s+know|please\s+(?:tell|ask|contact)|talk\s+to\s+a\s+person|feel\s+free)
    | 抱歉|对不起|没有(?:找到|来源|提到|说明|相关)|未(?:找到|提及|说明)|无法(?:确认|回答|确定)|不(?:确定|清楚)|
    很高兴|请(?:告诉|联系|问)|人工|如(?:果)?(?:您|你)?(?:需要|想)|欢迎""",
    re.IGNORECASE | re.VERBOSE,
)
_NUMBERS = (
    *("zero 零", "one 一", "two 二 两", "three 三", "four 四", "five 五", "six 六", "seven 七", "eight 八"),
    *("nine 九", "ten 十", "eleven 十一", "twelve 十二"),
)
_SPELLED = {word: str(number) for number, words in enumerate(_NUMBERS) for word in words.split()} | {
    "once": "1",
    "twice": "2",
}
_SPELLING = re.compile(r"[a-z]+|十[一二]|[零一二两三四五六七八九十]")
_COMMON = frozenset(
    """the and for you your are was were with this that these those from have has had can may will would should could not
    but our their its they them than then there here when where which who how what why all any some also into only just more
    most very please such been being does did about after before within""".split()  # noqa: SIM905 - reads as prose
)
STEM = 5  # the letters of a word that count: "refund", "refunds" and "refunded" are one


@dataclass(frozen=True)
class _Read:
    """A text of the sources: without markup, its words, and its figures, those included that are written as words."""

    text: str
    words: frozenset[str]
    figures: frozenset[str]


class Sources:
    """What an answer may be drawn from: the texts of its passages, and what the visitor said."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = tuple(texts)

    def support(self, sentence: str) -> bool:
        """Whether nothing speaks against `sentence`. Cheap: some ten microseconds once the sources are read."""
        bare = _bare(sentence)
        for address in _ADDRESS.findall(bare) if _MAY_HOLD_ADDRESS.search(bare) else ():
            if not any(address.rstrip(".,;:!/") in read.text for read in self._read):
                return False
        if not self._figures.issuperset(_figures(bare)):
            return False
        words = _words(bare)
        if len(words) < CLAIM_WORDS or _NO_CLAIM.search(sentence) or _is_unspaced(bare) != self._unspaced:
            return True
        return len(words & self._words) >= SHARED * len(words)

    @cached_property
    def _read(self) -> list[_Read]:
        """Read when the first sentence is to be judged."""
        return [_read(text) for text in self._texts]

    @cached_property
    def _words(self) -> frozenset[str]:
        return frozenset().union(*(read.words for read in self._read))

    @cached_property
    def _figures(self) -> frozenset[str]:
        return frozenset().union(*(read.figures for read in self._read))

    @cached_property
    def _unspaced(self) -> bool:
        return _is_unspaced(" ".join(read.text for read in self._read))


@lru_cache(maxsize=512)  # the same passages are the sources of many answers
def _read(text: str) -> _Read:
    bare = _bare(text)
    spelled = {_SPELLED[word] for word in _SPELLING.findall(bare) if word in _SPELLED}
    return _Read(bare, frozenset(_words(bare)), frozenset(_figures(bare) | spelled))


def _bare(text: str) -> str:
    return _MARKUP.sub(" ", _fold(text))


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()


def _figures(text: str) -> set[str]:
    """Figures as digits, thousands' commas dropped; a date is three of them."""
    return {figure.replace(",", "") for figure in _FIGURE.findall(text)}


def _words(text: str) -> set[str]:
    """Words by their first letters; Chinese and Japanese by pairs of characters."""
    words: set[str] = set()
    for run in _WORD.findall(text):
        if _UNSPACED.match(run):
            words.update(a + b for a, b in pairwise(run))
        elif len(run) > 2 and run not in _COMMON:
            words.add(run[:STEM])
    return words


def _is_unspaced(text: str) -> bool:
    letters = [character for character in text[:4_000] if character.isalpha()]
    return 3 * sum(1 for character in letters if _UNSPACED.match(character)) > len(letters)
