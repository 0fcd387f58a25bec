"""Where sentences end, in Chinese and in alphabetic scripts."""

import re
from itertools import pairwise

_END = re.compile(r"[。！？!?…]+[”’」』）)\"']*|\.(?=\s|$)[”’)\"']*|\n+")


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


def up_to_last_sentence(text: str) -> str:
    """The text without the sentence that was never finished."""
    ends = [end.end() for end in _END.finditer(text)]
    return text[: ends[-1]].rstrip() if ends else ""
