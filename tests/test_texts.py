"""Every text a person sees exists in Chinese, and says the same."""

import re
from pathlib import Path

from babel.messages.pofile import read_po

ROOT = Path(__file__).parent.parent
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w+\}")
MARKED = re.compile(r"""\{%\s*translate\s+(?:"([^"]+)"|'([^']+)')""")


def catalogue():
    with (ROOT / "locale/zh_Hans/LC_MESSAGES/django.po").open("rb") as file:
        return read_po(file)


def one_or_more(text) -> tuple[str, ...]:
    return text if isinstance(text, tuple) else (text,)


def test_every_text_is_translated_with_the_same_placeholders() -> None:
    missing, different = [], []
    for message in catalogue():
        if not message.id:
            continue
        if message.fuzzy or not all(one_or_more(message.string)):
            missing.append(message.id)
        wanted = set(PLACEHOLDER.findall(one_or_more(message.id)[-1]))
        if any(set(PLACEHOLDER.findall(text)) != wanted for text in one_or_more(message.string)):
            different.append(message.id)
    assert not missing
    assert not different


def test_every_text_of_a_template_is_in_the_catalogue() -> None:
    known = {one_or_more(message.id)[0] for message in catalogue() if message.id}
    used = {
        first or second
        for path in (ROOT / "templates").rglob("*.html")
        for first, second in MARKED.findall(path.read_text())
    }
    assert used
    assert not used - known
