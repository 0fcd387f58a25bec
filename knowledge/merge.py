"""Three-way merge of one edit with what its source says now: pure, no database.

Pieces are plain dicts: ``{"heading", "text"}`` for passages, ``{"question", "phrasings", "answers"}`` for FAQ entries.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any

from knowledge.segment import fold, legs

Piece = dict[str, Any]

ALIKE = 0.5  # of the words are the same: the old piece, changed
SAME_PLACE = 0.15  # what the same heading or question is worth on top
LONGEST_RUN = 4  # pieces over which an old one may have been spread by a new cut


@dataclass(frozen=True)
class Place:
    """Where the old piece is now: in `pieces` (numbers of the new ones; none: nowhere), with what stands around it there.

    `changed`: it is not there word for word.
    """

    pieces: tuple[int, ...] = ()
    before: str = ""
    after: str = ""
    changed: bool = False


@dataclass(frozen=True)
class Merged:
    """What an edit says after the merge; `clash`: a person and the source changed the same thing differently."""

    piece: Piece
    clash: bool = False


def find_passage(base: Piece, pieces: Sequence[Piece], free: set[int], old: set[str]) -> Place:
    """Look for `base` among the new `pieces` that are still `free`. `old`: the words of other pieces that were there before."""
    same = [at for at in sorted(free) if _plain(pieces[at]["text"]) == _plain(base["text"])]
    if same:
        return Place((next((at for at in same if pieces[at]["heading"] == base["heading"]), same[0]),))
    if spread := _spread(base, pieces, free):
        return spread
    fresh = [at for at in sorted(free) if pieces[at]["text"] not in old]
    best = max(fresh, key=lambda at: _likeness(base, pieces[at]), default=None)
    if best is not None and _likeness(base, pieces[best]) >= ALIKE:
        return Place((best,), changed=True)
    return Place()


def find_entry(base: Piece, pieces: Sequence[Piece], free: set[int], old: set[str]) -> Place:
    """As `find_passage`, for FAQ entries; `old` are folded questions."""
    asked = fold(base["question"])
    same = [at for at in sorted(free) if fold(pieces[at]["question"]) == asked]
    if same:
        at = next((at for at in same if pieces[at]["answers"] == base["answers"]), same[0])
        return Place((at,), changed=pieces[at] != base)
    fresh = [at for at in sorted(free) if fold(pieces[at]["question"]) not in old]
    for at in fresh:
        if pieces[at]["answers"] == base["answers"]:
            return Place((at,), changed=True)
    words = base["question"] + "\n" + "\n".join(base["answers"])
    scores = {at: overlap(words, pieces[at]["question"] + "\n" + "\n".join(pieces[at]["answers"])) for at in fresh}
    best = max(scores, key=lambda at: scores[at], default=None)
    if best is not None and scores[best] >= ALIKE:
        return Place((best,), changed=True)
    return Place()


def merge(base: Piece, mine: Piece, theirs: Piece) -> Merged:
    """Field by field: whoever changed it is right; both changed it, differently: mine stands, and it clashes."""
    merged, clash = dict(mine), False
    for name in base:
        if mine[name] == base[name]:
            merged[name] = theirs[name]
        elif theirs[name] not in (base[name], mine[name]):
            clash = True
    return Merged(merged, clash)


def overlap(one: str, other: str) -> float:
    """The share of the words of two texts that both have (Dice), 0 to 1; in any language."""
    mine, yours = Counter(legs(one).pairs), Counter(legs(other).pairs)
    total = mine.total() + yours.total()
    return 2 * (mine & yours).total() / total if total else 0.0


def differences(old: str, new: str) -> list[tuple[str, str]]:
    """`new` against `old` as runs of ("same" | "gone" | "new", text), cut at words."""
    before, after = _words(old), _words(new)
    runs: list[tuple[str, str]] = []
    for kind, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            runs.append(("same", "".join(before[a:b])))
            continue
        if b > a:
            runs.append(("gone", "".join(before[a:b])))
        if d > c:
            runs.append(("new", "".join(after[c:d])))
    return runs


def _spread(base: Piece, pieces: Sequence[Piece], free: set[int]) -> Place | None:
    """The words are all there, but cut elsewhere: within one piece or over a run of neighbours under one heading."""
    for start in sorted(free):
        run = [start]
        while True:
            joined = "\n\n".join(pieces[at]["text"] for at in run)
            found = joined.find(base["text"])
            if found >= 0:
                after = joined[found + len(base["text"]) :]
                return Place(tuple(run), joined[:found].strip(), after.strip())
            following = run[-1] + 1
            if len(run) == LONGEST_RUN or following not in free:
                break
            if pieces[following]["heading"] != pieces[start]["heading"]:
                break
            run.append(following)
    return None


def _likeness(base: Piece, piece: Piece) -> float:
    same_place = SAME_PLACE if piece["heading"] == base["heading"] else 0.0
    return overlap(base["text"], piece["text"]) + same_place


def _plain(text: str) -> str:
    return " ".join(text.split())


def _words(text: str) -> list[str]:
    """Words and the space between them; Chinese by character."""
    cuts = [0]
    for at, (a, b) in enumerate(pairwise(text), 1):
        if a.isspace() != b.isspace() or "\u3400" <= a <= "\u9fff" or "\u3400" <= b <= "\u9fff":
            cuts.append(at)
    return [text[start:end] for start, end in pairwise([*cuts, len(text)]) if end > start]
