"""Finding listed words in text, also while the text is still being written.

Chinese terms are looked for in the text's Chinese characters and letters alone, so that spaces, dots and invisible
characters put between them do not hide a term. Alphabetic terms match whole words, a single space standing for any run
of separators.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

WORDS = Path(__file__).parent / "words"
_HAN = re.compile(r"[\u3400-\u9fff]")
_LONGEST_GAP = 3  # separators between two characters of a Chinese term


@dataclass(frozen=True)
class Hit:
    """A listed term in a text, from `start` to `end` in its characters."""

    start: int
    end: int
    category: str


@dataclass(frozen=True)
class _Folded:
    """A text's letters, digits and ideographs, folded, each with its place; and whether a separator stands before it."""

    letters: str
    places: tuple[int, ...]
    breaks: tuple[bool, ...]
    gaps: tuple[int, ...]


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

    def find(self, text: str, before: str = "") -> list[Hit]:
        """All listed terms in `text`, first to last. `before` is what stands in front of it (for word boundaries)."""
        folded = _fold(text)
        found = (self._longest_at(folded, at, text, before) for at in range(len(folded.letters)))
        return [hit for hit in found if hit]

    def safe_length(self, text: str, before: str = "") -> int:
        """How many of the first characters of `text` no term can touch any more, whatever is appended."""
        folded = _fold(text)
        for at in range(max(0, len(folded.letters) - self._longest), len(folded.letters)):
            rest = self._join(folded, at, len(folded.letters))
            if rest in self._beginnings and self._may_begin(folded, at, text, before):
                return folded.places[at]
        return len(text)

    def _longest_at(self, folded: _Folded, at: int, text: str, before: str) -> Hit | None:
        if not self._may_begin(folded, at, text, before):
            return None
        found = None
        end = at
        while end < len(folded.letters):
            end += 1
            key = self._join(folded, at, end)
            if key not in self._beginnings:
                break
            if (category := self._category.get(key)) and self._may_end(folded, end, text, key):
                found = Hit(folded.places[at], folded.places[end - 1] + 1, category)
        return found

    def _join(self, folded: _Folded, start: int, end: int) -> str:
        """The folded letters with a space at each word break between alphabetic letters."""
        parts = []
        for at in range(start, end):
            if (
                at > start
                and folded.breaks[at]
                and not (_is_han(folded.letters[at]) or _is_han(folded.letters[at - 1]))
            ):
                parts.append(" ")
            elif at > start and folded.gaps[at] > _LONGEST_GAP:
                parts.append("\n")  # too far apart to be one term
            parts.append(folded.letters[at])
        return "".join(parts)

    def _may_begin(self, folded: _Folded, at: int, text: str, before: str) -> bool:
        """An alphabetic term begins where a word begins."""
        if _is_han(folded.letters[at]):
            return True
        if at:
            return folded.breaks[at] or _is_han(folded.letters[at - 1])
        place = folded.places[0]
        last = text[place - 1] if place else before[-1:]
        return not (last.isalnum() and not _is_han(last))

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


def _fold(text: str) -> _Folded:
    letters: list[str] = []
    places: list[int] = []
    breaks: list[bool] = []
    gaps: list[int] = []
    gap = 0
    for place, character in enumerate(text):
        if unicodedata.category(character) in {"Cf", "Mn"}:
            continue  # invisible, or an accent on what came before
        plain = [part for part in unicodedata.normalize("NFKD", character).casefold() if part.isalnum()]
        if not plain:
            gap += 1
            continue
        for part in plain:
            letters.append(part)
            places.append(place)
            breaks.append(gap > 0)
            gaps.append(gap)
            gap = 0
    return _Folded("".join(letters), tuple(places), tuple(breaks), tuple(gaps))


def _key(term: str) -> str:
    folded = _fold(term)
    return WordRules({})._join(folded, 0, len(folded.letters)) if folded.letters else ""


@lru_cache(maxsize=4096)
def _is_han(character: str) -> bool:
    return bool(character) and _HAN.match(character) is not None
