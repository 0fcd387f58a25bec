"""Which language a message is in, from its script. A text without letters does not tell."""

import re
from collections import Counter

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

    def detect(self, text: str, fallback: str) -> str:
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
