"""Finding listed words in text, also while the text is still being written.

Chinese terms are looked for in the text's Chinese characters and letters alone, so that spaces, dots and invisible
characters put between them do not hide a term; Traditional ones are looked for as Simplified ones. Alphabetic terms match
whole words, a single space standing for any run of separators.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from workspace.chinese import simplified

WORDS = Path(__file__).parent / "words"
_HAN = re.compile(r"[\u3400-\u9fff]")
_PLAIN_WORD = re.compile(r"[A-Za-z0-9]+")
_LONGEST_GAP = 3  # separators between two characters of a Chinese term


@dataclass(frozen=True)
class Hit:
    """A listed term in a text, from `start` to `end` in its characters."""

    start: int
    end: int
    category: str


@dataclass(frozen=True)
class _Folded:
    """A text's letters, digits and ideographs, folded, each with its place in the text.

    `line` is what terms are looked up in: the letters, with a space at each word break between alphabetic ones and a line
    end where they are too far apart to be one term. `at` tells where in it each letter stands, `begins` which of them a
    term may begin with, as far as the text itself says.
    """

    letters: str
    places: list[int]
    line: str
    at: list[int]
    begins: list[bool]


class WordRules:
    """The terms of some categories, ready to be looked for."""

    def __init__(self, terms: Mapping[str, Iterable[str]]) -> None:
        self._category: dict[str, str] = {}
        for category, listed in terms.items():
            for term in listed:
                if key := _key(term):
                    self._category.setdefault(key, category)
        self._beginnings = {key[:length] for key in self._category for length in range(1, len(key) + 1)}
        self._longest = max(map(len, self._category), default=0)
        self._starts = {key[:length].split(" ")[0] for key in self._category for length in (1, 2)}

    def find(self, text: str, before: str = "") -> list[Hit]:
        """All listed terms in `text`, first to last. `before` is what stands in front of it (for word boundaries)."""
        if self._has_no_start(text):
            return []
        folded = _fold(text)
        found = (self._longest_at(folded, at, text) for at in self._beginning(folded, 0, text, before))
        return [hit for hit in found if hit]

    def safe_length(self, text: str, before: str = "") -> int:
        """How many of the first characters of `text` no term can touch any more, whatever is appended."""
        if self._has_no_start(text):
            return len(text)
        folded = _fold(text)
        for at in self._beginning(folded, len(folded.letters) - self._longest, text, before):
            if folded.line[folded.at[at] :] in self._beginnings:
                return folded.places[at]
        return len(text)

    def _has_no_start(self, text: str) -> bool:
        """Whether no word of a plain text, nor what it may become, begins as a term does: true of most, and soon told."""
        return text.isascii() and self._starts.isdisjoint(word[:2] for word in _PLAIN_WORD.findall(text.lower()))

    def _beginning(self, folded: _Folded, start: int, text: str, before: str) -> Iterator[int]:
        """The letters from `start` on that a term may begin with: an alphabetic term begins where a word begins."""
        if start <= 0 and folded.letters and (_is_han(folded.letters[0]) or not _ends_in_word(text, folded, before)):
            yield 0
        begins = folded.begins
        for at in range(max(1, start), len(begins)):
            if begins[at]:
                yield at

    def _longest_at(self, folded: _Folded, at: int, text: str) -> Hit | None:
        found = None
        start, end = folded.at[at], at
        while end < len(folded.letters):
            end += 1
            key = folded.line[start : folded.at[end - 1] + 1]
            if key not in self._beginnings:
                break
            if (category := self._category.get(key)) and self._may_end(folded, end, text, key):
                found = Hit(folded.places[at], folded.places[end - 1] + 1, category)
        return found

    def _may_end(self, folded: _Folded, end: int, text: str, key: str) -> bool:
        """And ends where a word ends."""
        if _is_han(key[-1]):
            return True
        after = text[folded.places[end - 1] + 1 : folded.places[end - 1] + 2]
        return not (after.isalnum() and not _is_han(after))


@lru_cache(maxsize=1)
def shipped_terms() -> dict[str, tuple[str, ...]]:
    """The lists of `words/`, by category, all languages together."""
    found: dict[str, list[str]] = {}
    for path in sorted(WORDS.glob("*.txt")):
        lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
        found.setdefault(path.name.split(".")[0], []).extend(filter(None, lines))
    return {category: tuple(terms) for category, terms in found.items()}


@lru_cache(maxsize=4)  # the gate asks twice about the same few words: what is safe, and what offends
def _fold(text: str) -> _Folded:
    return _fold_plain(text) if text.isascii() else _fold_any(text)


def _fold_plain(text: str) -> _Folded:
    """As `_fold_any`, a word at a time."""
    words: list[str] = []
    places: list[int] = []
    at: list[int] = []
    begins: list[bool] = []
    length = 0
    for found in _PLAIN_WORD.finditer(text):
        start, end = found.span()
        words.append(found.group().lower())
        places += range(start, end)
        at += range(length, length + end - start)
        begins += [True, *[False] * (end - start - 1)]
        length += end - start + 1
    return _Folded("".join(words), places, " ".join(words), at, begins)


def _fold_any(text: str) -> _Folded:
    letters: list[str] = []
    places: list[int] = []
    line: list[str] = []
    at: list[int] = []
    begins: list[bool] = []
    gap, after_han = 0, True
    for place, character in enumerate(text):
        plain = _fold_character(character)
        if not plain:
            gap += plain is not None
            continue
        for part in plain:
            han = _is_han(part)
            if letters and gap and not (han or after_han):
                line.append(" ")
            elif letters and gap > _LONGEST_GAP:
                line.append("\n")  # too far apart to be one term
            begins.append(han or after_han or gap > 0)
            letters.append(part)
            places.append(place)
            at.append(len(line))
            line.append(part)
            gap, after_han = 0, han
    return _Folded("".join(letters), places, "".join(line), at, begins)


@lru_cache(maxsize=8192)
def _fold_character(character: str) -> str | None:
    """The letters, digits and ideographs a character stands for; "": a separator; None: it is as if it were not there."""
    if unicodedata.category(character) in {"Cf", "Mn"}:
        return None  # invisible, or an accent on what came before
    return "".join(part for part in unicodedata.normalize("NFKD", simplified(character)).casefold() if part.isalnum())


def _ends_in_word(text: str, folded: _Folded, before: str) -> bool:
    """Whether the first letter of a text goes on with a word that began before it."""
    place = folded.places[0]
    last = text[place - 1] if place else before[-1:]
    return last.isalnum() and not _is_han(last)


def _key(term: str) -> str:
    return _fold(term).line


@lru_cache(maxsize=4096)
def _is_han(character: str) -> bool:
    return bool(character) and _HAN.match(character) is not None
