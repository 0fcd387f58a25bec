"""Whether a sentence of an answer says what its sources say, judged by the words and the figures they share.

Two things give an invented sentence away: a figure or an address that no source holds, and words of which no source has
enough. Both are cheap enough to look at while the answer streams. A sentence in another script than the sources is judged by
its figures alone. The limits are measured: ``benchmarks/support.py`` shows what they stop, and what they stop wrongly.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache
from itertools import pairwise

from workspace.chinese import in_mainland_words, simplified

SHARED, SHARED_UNSPACED = 0.22, 0.1  # of a sentence's own words, at least; of Chinese and Japanese
LONGEST_SCALED = 20  # digits of a figure that is multiplied
CLAIM_WORDS = 6  # a sentence with fewer is too short to tell

# What is no claim, though figures stand in it. Each begins with what is searched for quickly: a sentence is read as it streams.
_LISTED = r"(?:(?:[^\S\n]|[>*_#+-]){0,12}\(?\d{1,2}(?:[)、]|\.(?!\d))|[^\S\n]{0,12}[-+>#]{1,6}(?=\s|$))"
_FIRST_LISTED, _NEXT_LISTED = re.compile(_LISTED), re.compile(rf"\n{_LISTED}")
_MARKUP = re.compile(
    r"""\[\^?\d{1,3}\] | \* | _ | ` | \| | step(?<!\wstep)\s+\d{1,2}\b
    | option(?<!\woption)\s+\d{1,2}(?=[^\S\n]*(?:[:,.;)]|$)) | method(?<!\wmethod)\s+\d{1,2}(?=[^\S\n]*(?:[:,.;)]|$))""",
    re.MULTILINE | re.VERBOSE,
)
_COUNTABLE = ("steps", "ways", "options", "things", "points", "methods")
_COUNTED = re.compile(rf"\d(?<!\w\d)\s+(?:{'|'.join(_COUNTABLE)})\b")
_CHINESE_MARKUP = re.compile(
    r"""第\s*\d{1,2}\s*步 | 步骤\s*\d{1,2}(?!\d) | (?:方法|方式|选项|方案)\s*\d{1,2}(?=[^\S\n]*(?:[:,.;)、。]|$))
    | (?<!\d)\d\s*(?:种|个(?:步骤|方法|方式|选项))""",
    re.MULTILINE | re.VERBOSE,
)
_ADDRESS = re.compile(r"(?:https?://|www\.)[^\s()<>\]，。；、）]+|[\w.+-]+@[\w-]+\.[\w.-]+", re.ASCII)
_MAY_HOLD_ADDRESS = re.compile(r"://|www\.|@(?<=[\w.+-]@)\w", re.ASCII)
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]+|[^\W\d_\u3040-\u30ff\u3400-\u9fff]+")
_ASCII_WORD = re.compile(r"[a-z]+")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_NO_CLAIM = re.compile(
    r"""[?？]['"”’)）\s]*$ | \b(?:sorry|apolog|no\s+source|not?\s+(?:have|find|sure|mention|state|say|contain)|unable\s+to|
    happy\s+to|would\s+you\s+like|let\s+me\s+know|please\s+(?:tell|ask|contact)|talk\s+to\s+a\s+person|feel\s+free)
    | 抱歉|对不起|没有(?:找到|来源|提到|说明|相关)|未(?:找到|提及|说明)|无法(?:确认|回答|确定)|不(?:确定|清楚)|
    很高兴|请(?:告诉|联系|问)|人工|如(?:果)?(?:您|你)?(?:需要|想)|欢迎""",
    re.IGNORECASE | re.VERBOSE,
)
_COMMON = frozenset(
    """the and for you your are was were with this that these those from have has had can may will would should could not
    but our their its they them than then there here when where which who how what why all any some also into only just more
    most very please such been being does did about after before within""".split()  # noqa: SIM905 - reads as prose
)
STEM = 5  # the letters of a word that count: "refund", "refunds" and "refunded" are one

_FIGURE = re.compile(r"(\d+(?:[.,]\d+)*)(?::00\b)?(?:\s*(thousand|million|billion|[万亿]))?")
_GROUPED = r"[1-9]\d{0,2}(?:[.,]\d{2,3})*[.,]\d{3}"
_WHOLE, _DECIMAL = re.compile(_GROUPED), re.compile(rf"({_GROUPED}|\d+)[.,](\d+)")
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "万": 10**4, "亿": 10**8}
_HOUR = re.compile(r"(\d{1,2})(?::\d\d)?\s*(?:pm\b|p\.m)|(?:下午|晚上)\s*(\d{1,2})|\b(1[3-9]|2[0-3]):\d\d")
_MAY_HOLD_HOUR = re.compile(r"p\.?m|下午|晚上|:\d\d(?<=\d:\d\d)")
_SPACED = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?: \d{3})+(?!\d|[.,]\d)")
_TIME = re.compile(r"(?<![\d.:,])([01]?\d|2[0-3])[.:]([0-5]\d)(?!\d|[.:,]\d)")
_MAY_BE_SPACED, _MAY_BE_TIME = re.compile(r" \d\d\d(?<=\d \d\d\d)"), re.compile(r"[.:]\d\d(?<=\d[.:]\d\d)")
_RAISED = re.compile(r"[⁰¹²³⁴-⁹①-⑳]")
_NUMBERS = (
    *("zero", "one once first january jan", "two twice second february feb", "three third march mar"),
    *("four fourth april apr", "five fifth", "six sixth june jun", "seven seventh july jul", "eight eighth august aug"),
    *("nine ninth september sep sept", "ten tenth october oct", "eleven november nov", "twelve dozen december dec"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred")
_SPELLED = {word: number for number, words in enumerate(_NUMBERS) for word in words.split()} | {
    **{word: 10 * tens for tens, word in enumerate(_TENS, 2)},
    "thousand": 1_000,
}
_MAY = re.compile(r"\bmay\s+\d|\d(?:st|nd|rd|th)?\s+(?:of\s+)?may\b")
_NUMERAL = re.compile(r"[零〇一二两三四五六七八九十百千万]{1,20}")
_DIGITS = {"零": 0, "〇": 0, "两": 2} | {digit: n for n, digit in enumerate("一二三四五六七八九", 1)}
_PLACES = {"十": 10, "百": 100, "千": 1_000}


@dataclass(frozen=True)
class _Read:
    """A text of the sources: without markup, its words, and its figures, however they are written."""

    text: str
    words: frozenset[str]
    figures: frozenset[str]


class Sources:
    """What an answer may be drawn from: the texts of its passages, and what the visitor said."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = tuple(texts)

    def support(self, sentence: str) -> bool:
        """Whether nothing speaks against `sentence`. Cheap: some tens of microseconds once the sources are read."""
        bare = _bare(sentence)
        for address in _ADDRESS.findall(bare) if _MAY_HOLD_ADDRESS.search(bare) else ():
            if not any(address.rstrip(".,;:!/") in read.text for read in self._read):
                return False
        if not self._figures.issuperset(_figures(bare)) and not (
            _may_be_spaced(bare) and self._figures.issuperset(_figures(_closed_up(bare)))
        ):
            return False
        return self._share(bare) >= (SHARED_UNSPACED if self._unspaced else SHARED)

    def share(self, sentence: str) -> float:
        """How much of the sentence's own words the source has that has most of them; all, where words cannot tell."""
        return self._share(_bare(sentence))

    def _share(self, bare: str) -> float:
        words = _words(bare)
        if len(words) < CLAIM_WORDS or _NO_CLAIM.search(bare) or _is_unspaced(bare) != self._unspaced:
            return 1.0
        return max((len(words & read.words) for read in self._read), default=0) / len(words)

    @cached_property
    def _read(self) -> list[_Read]:
        """Read when the first sentence is to be judged."""
        return [_read(text) for text in self._texts]

    @cached_property
    def _figures(self) -> frozenset[str]:
        return frozenset().union(*(read.figures for read in self._read))

    @cached_property
    def _unspaced(self) -> bool:
        return _is_unspaced(" ".join(read.text for read in self._read))


@lru_cache(maxsize=512)  # the same passages are the sources of many answers
def _read(text: str) -> _Read:
    folded = _fold(text)
    bare = _without_markup(folded)
    figures = _figures(folded)  # also what only looks like a list's number
    if any(scale in folded for scale in _SCALES):
        figures |= _figures(folded, scaled=False)
    if _may_be_spaced(folded):
        figures |= _figures(_closed_up(folded))
    figures |= _clock(folded)
    figures.update(str(number) for number in _told(bare))
    figures.update(str(int(unicodedata.numeric(mark))) for mark in _RAISED.findall(text))
    return _Read(bare, frozenset(_words(bare)), frozenset(figures))


def _bare(text: str) -> str:
    return _without_markup(_fold(text))


def _without_markup(text: str) -> str:
    """Without what only orders or decorates: marks of sources, bold, bullets, numbers of a list and of steps."""
    if listed := _FIRST_LISTED.match(text):
        text = f" {text[listed.end() :]}"
    if "\n" in text:
        text = _NEXT_LISTED.sub("\n ", text)
    if any(
        word in text for word in _COUNTABLE
    ):  # before the marks go, which set a figure apart from what it does not count
        text = _COUNTED.sub(" ", text)
    if not text.isascii():
        text = _CHINESE_MARKUP.sub(" ", text)
    return _MARKUP.sub(" ", text)


def _fold(text: str) -> str:
    """In one width, case and script; what is raised (a footnote, a square metre, a circled list number) is no figure."""
    return simplified(in_mainland_words(unicodedata.normalize("NFKC", _RAISED.sub(" ", text)))).lower()


def _figures(text: str, *, scaled: bool = True) -> set[str]:
    """Figures as digits, however they are grouped; a date is three of them. `scaled`: 1.5 million is 1500000."""
    found: set[str] = set()
    for figure, scale in _FIGURE.findall(text):
        if not scale and figure.isdecimal():
            found.add(_integer(figure))
            continue
        values = {_integer(figure)} if figure.isdecimal() else _values(figure)
        if scale and scaled and len(values) == 1 and len(figure) <= LONGEST_SCALED:
            values = {str(int(Decimal(values.pop()) * _SCALES[scale]))}
        found |= values
    return found


def _may_be_spaced(text: str) -> bool:
    return _MAY_BE_SPACED.search(text) is not None


def _closed_up(text: str) -> str:
    """Thousands that a space sets apart, as some write them, without it."""
    return _SPACED.sub(lambda figure: figure[0].replace(" ", ""), text)


def _clock(text: str) -> set[str]:
    """What a time may be written as, too: 9:30 as 9.30, and 9.30 as 9:30."""
    found: set[str] = set()
    for hour, minute in _TIME.findall(text) if _MAY_BE_TIME.search(text) else ():
        minutes = minute.rstrip("0")
        found |= {_integer(hour), _integer(minute), f"{_integer(hour)}.{minutes}" if minutes else _integer(hour)}
    return found


def _values(figure: str) -> set[str]:
    """What a figure with marks in it stands for: 1,500 and 1.500 are 1500, 4.90 and 4,9 are 4.9, 31.12.2026 is a date."""
    if _WHOLE.fullmatch(figure):
        return {re.sub(r"\D", "", figure)}
    if decimal := _DECIMAL.fullmatch(figure):
        whole, rest = _integer(re.sub(r"\D", "", decimal[1])), decimal[2].rstrip("0")
        return {f"{whole}.{rest}" if rest else whole}
    return {_integer(part) for part in re.split(r"\D", figure)}


def _integer(digits: str) -> str:
    return digits.lstrip("0") or "0"


def _told(text: str) -> set[int]:
    """The numbers of a text that are not in its digits: those in words, months, and hours by the other clock."""
    words = _ASCII_WORD.findall(text)
    found = set() if _SPELLED.keys().isdisjoint(words) else _english(words)
    if "may" in text and _MAY.search(text):
        found.add(5)
    if not text.isascii():
        for numeral in _NUMERAL.findall(text):
            found |= _chinese(numeral)
    if _MAY_HOLD_HOUR.search(text):
        for later, late, clock in _HOUR.findall(text):
            found.add(int(clock) - 12 if clock else int(later or late) + 12)
    return found


def _english(words: Sequence[str]) -> set[int]:
    """Each number word by itself, and what those that follow each other make: two hundred and fifty is 250, too."""
    found: set[int] = set()
    whole = part = 0
    for word in words:
        number = _SPELLED.get(word)
        if number is None:
            if word != "and":
                whole = part = 0
            continue
        if number == 100:
            part = max(part, 1) * number
        elif number == 1_000:
            whole, part = whole + max(part, 1) * number, 0
        elif part % 100 == 0 or (part % 10 == 0 and part % 100 >= 20 and 0 < number < 10):
            part += number
        else:  # another one begins
            whole, part = 0, number
        found |= {number, whole + part}
    return found


def _chinese(numeral: str) -> set[int]:
    """三十五 is 35; 二〇二六 is 2026, but 三五 may be three or five."""
    if _DIGITS.keys() >= set(numeral):
        digits = [_DIGITS[character] for character in numeral]
        return {*digits, int("".join(map(str, digits)))}
    whole = part = digit = 0
    for character in numeral:
        if character in _DIGITS:
            digit = _DIGITS[character]
        elif character in _PLACES:
            part, digit = part + (digit or 1) * _PLACES[character], 0
        else:
            whole, part, digit = (part + digit or 1) * 10_000, 0, 0
    return {whole + part + digit}


def _words(text: str) -> set[str]:
    """Words by their first letters; Chinese and Japanese by pairs of characters."""
    words: set[str] = set()
    for run in (_ASCII_WORD if text.isascii() else _WORD).findall(text):
        if _UNSPACED.match(run):
            words.update(a + b for a, b in pairwise(run))
        elif len(run) > 2 and run not in _COMMON:
            words.add(run[:STEM])
    return words


def _is_unspaced(text: str) -> bool:
    unspaced = len(_UNSPACED.findall(text, 0, 4_000))
    return unspaced > 0 and 3 * unspaced > sum(map(str.isalpha, text[:4_000]))
