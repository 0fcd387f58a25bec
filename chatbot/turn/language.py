"""Which language a message is in, from its script, and which one to answer in. A text without letters does not tell."""

import re
from collections import Counter
from collections.abc import Iterable

from chatbot.turn.values import VISITOR, Question
from workspace.chinese import is_simplified, is_traditional
from workspace.wordings import texts_in

TRADITIONAL = "zh-hant"  # "zh" is Chinese in Simplified characters, or in words that look the same in both

_SCRIPTS = (
    ("zh", re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")),
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af\u1100-\u11ff]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("en", re.compile(r"[A-Za-z\u00c0-\u024f]")),
)
_CHARACTERS_A_WORD = {"zh": 1.6, "ja": 2.0, "th": 4.0}  # so that "怎么用 AeroPress" is Chinese, not English


class ByScript:
    """Tells Chinese, Japanese, Korean, Cyrillic, Arabic, Thai, Hebrew, Greek and Devanagari from the Latin script.

    All Latin-script text is called ``en``: texts and prompts then name "the language of the question".
    """

    def answers_in(self, question: Question) -> str:
        """The language of the question; its script, where the words do not tell, is that of what was said before."""
        said = (before.text for before in reversed(question.history) if before.author == VISITOR)
        return answer_language(question.text, said, question.inbox.language)

    def detect(self, text: str, fallback: str) -> str:
        """The language of `text` as an ISO 639 code ("zh", "en", …); that of `fallback` when the text does not tell."""
        words: Counter[str] = Counter()
        for code, script in _SCRIPTS:
            found = script.findall(text)
            if found:
                words[code] = max(1, round(len(found) / _CHARACTERS_A_WORD.get(code, 5.0)))
        if not words:
            return fallback.split("-")[0]
        if words["ja"]:
            return "ja"
        if words["zh"] and words["zh"] >= words["en"]:
            return "zh"
        return words.most_common(1)[0][0]


def answer_language(text: str, said: Iterable[str], fallback: str) -> str:
    """What `text` is to be answered in: "zh-hant", or as `ByScript.detect`. `said`: what else the visitor wrote, newest first."""
    if (language := ByScript().detect(text, fallback)) != "zh":
        return language
    for words in (text, *said):
        if is_traditional(words):
            return TRADITIONAL
        if is_simplified(words):
            return language
    return TRADITIONAL if texts_in(fallback) == TRADITIONAL else language
