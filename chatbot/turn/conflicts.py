"""Passages that speak of the same thing and give different figures for it: noticed before an answer is drawn from them."""

import re
from collections.abc import Sequence
from itertools import combinations, pairwise

from chatbot.turn.sentences import split_sentences
from chatbot.turn.values import Passage
from workspace.chinese import simplified

ALIKE = 0.6  # of two sentences' words are the same: they say the same thing
LEAST_WORDS = 4
_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"[\u3400-\u9fff]+|[^\W\d_\u3400-\u9fff]{2,}")
_NEGATED = re.compile(
    r"\b(?:not|no|never|cannot|can't|don't|doesn't|isn't|aren't|won't)\b|不|没有|无法|未|勿", re.IGNORECASE
)


def conflicts(passages: Sequence[Passage]) -> tuple[tuple[int, int], ...]:
    """Pairs of passage numbers (from 1) that contradict each other: alike sentences with other figures, or with a *not*."""
    told = [_statements(passage.text) for passage in passages]
    return tuple(
        (a + 1, b + 1)
        for a, b in combinations(range(len(passages)), 2)
        if passages[a].id != passages[b].id and any(_contradict(x, y) for x in told[a] for y in told[b])
    )


_Statement = tuple[frozenset[str], frozenset[str], bool]


def _statements(text: str) -> list[_Statement]:
    """By sentence that could clash: its words without figures, its figures, whether it denies."""
    found = []
    for sentence in split_sentences(simplified(text)):
        denies = _NEGATED.search(sentence) is not None
        figures = frozenset(figure.replace(",", "") for figure in _FIGURE.findall(sentence))
        words = _words(_NEGATED.sub(" ", sentence))
        if len(words) >= LEAST_WORDS:
            found.append((words, figures, denies))
    return found


def _contradict(one: _Statement, other: _Statement) -> bool:
    (words, figures, denies), (other_words, other_figures, other_denies) = one, other
    if denies == other_denies and (figures <= other_figures or other_figures <= figures):
        return False
    return len(words & other_words) >= ALIKE * len(words | other_words)


def _words(text: str) -> frozenset[str]:
    words: set[str] = set()
    for run in _WORD.findall(text.lower()):
        if "\u3400" <= run[0] <= "\u9fff":
            words.update(a + b for a, b in pairwise(run))
        else:
            words.add(run[:5])
    return frozenset(words)
