"""Where sentences end, in Chinese and in alphabetic scripts."""

import re
from itertools import pairwise

_END = re.compile(r"[。！？!?…]+[”’」』）)\"']*|\.(?=\s|$)[”’)\"']*|\n+")
_MARKS = frozenset("。！？!?….”’」』）)\"'\n")  # whatever `_END` may hold


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, each with its end mark and the white space after it."""
    cuts = [0]
    for end in _END.finditer(text):
        at = end.end()
        while at < len(text) and text[at].isspace():
            at += 1
        if at > cuts[-1]:
            cuts.append(at)
    if cuts[-1] < len(text):
        cuts.append(len(text))
    return [text[a:b] for a, b in pairwise(cuts)]


def finished_at(text: str, *, whole: bool, since: int = 0) -> list[int]:
    """Where sentences of a text that is still being written have certainly ended; `whole`: nothing follows any more.

    What stands at the very end may go on: a full stop is a decimal point when a digit comes next. `since`: so much of the
    text was looked at before, and no sentence had ended in it.
    """
    start = min(since, len(text))
    while start and text[start - 1] in _MARKS:
        start -= 1  # an end mark stood at the very end, and could not be told then
    ends = [end.end() for end in _END.finditer(text, start) if whole or end.end() < len(text)]
    return [*ends, len(text)] if whole and text and (not ends or ends[-1] < len(text)) else ends


def finished_part(text: str) -> str:
    """A text that was cut, without what had not certainly ended: so much of it the gate has judged."""
    ends = finished_at(text, whole=False)
    return text[: ends[-1]] if ends else ""


def up_to_last_sentence(text: str) -> str:
    """The text without the sentence that was never finished."""
    ends = [end.end() for end in _END.finditer(text)]
    return text[: ends[-1]].rstrip() if ends else ""
