"""The text of a file in whatever encoding it was saved; what is no text is refused, whatever its bytes can be read as."""

import unicodedata
from collections import Counter

from charset_normalizer import from_bytes

from knowledge.ingest.found import Unreadable

_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def decode(data: bytes) -> str:
    """Raises `Unreadable`: not_what_it_says for a binary file, unknown_encoding."""
    text = _decoded(data)
    if not _is_printable(text) or (data.startswith(_UTF_16_MARKS) and not _is_in_few_scripts(text)):
        raise Unreadable("not_what_it_says", "binary")
    return text


def _is_printable(text: str) -> bool:
    return sum(1 for character in text if not (character.isprintable() or character.isspace())) <= len(text) / 5


def _is_in_few_scripts(text: str) -> bool:
    """Chance bytes read as UTF-16 give letters of many scripts, and rare ones; what people write has one or two of them."""
    letters = [character for character in text if ord(character) > 127 and unicodedata.category(character)[0] in "LM"]
    scripts = Counter(_script(character) for character in letters if not "\ufe00" <= character <= "\ufe0f")
    rare = scripts.pop("rare", 0)
    return sum(count for _, count in scripts.most_common(2)) >= (scripts.total() + rare) * 0.8


def _script(letter: str) -> str:
    if "\u3400" <= letter <= "\u4dbf":
        return "rare"
    name = unicodedata.name(letter, "rare").split()[0].split("-")[0]
    return "CJK" if name in {"HIRAGANA", "KATAKANA", "HALFWIDTH", "FULLWIDTH"} else name


def _decoded(data: bytes) -> str:
    if b"\x00" in data and not data.startswith(_UTF_16_MARKS):
        raise Unreadable("not_what_it_says", "binary")
    if data.startswith((b"%PDF-", b"PK\x03\x04")):
        raise Unreadable("not_what_it_says", "PDF" if data.startswith(b"%") else "ZIP")
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding == "utf-8-sig" or _reads_as_chinese(text):
            return text
    best = from_bytes(data).best()
    if best is None:
        raise Unreadable("unknown_encoding")
    return str(best)


def _reads_as_chinese(text: str) -> bool:
    """Whether GB18030, which decodes nearly anything, decoded something: mostly common characters and ASCII."""
    outside = [character for character in text if ord(character) > 127]
    common = sum(
        1 for character in outside if "\u4e00" <= character <= "\u9fa5" or character in "，。？！：；、“”（）《》￥…—　"
    )
    return bool(outside) and common / len(outside) > 0.9
