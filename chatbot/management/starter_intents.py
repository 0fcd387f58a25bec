"""The intents every workspace begins with, in both languages; the owner edits them in the admin."""

import csv
from pathlib import Path

from chatbot.models import Intent, IntentExample
from workspace.models import Workspace

FOLDER = Path(__file__).parents[1] / "intents" / "starter"
LANGUAGES = ("en", "zh")


def load_starter_intents(workspace: Workspace) -> int:
    """Give a workspace the starter set. Intents whose key it has already are left alone. Returns how many were added."""
    known = set(Intent.objects.of(workspace).values_list("key", flat=True))
    added = {
        row["key"]: Intent.objects.of(workspace).create(
            key=row["key"],
            name_en=row["name_en"],
            name_zh=row["name_zh"],
            action=row["action"],
            reply_en=row["reply_en"],
            reply_zh=row["reply_zh"],
        )
        for row in _rows("intents.csv")
        if row["key"] not in known
    }
    examples = [
        IntentExample(workspace=workspace, intent=added[row["intent"]], text=row["text"], language=language)
        for language in LANGUAGES
        for row in _rows(f"examples.{language}.csv")
        if row["intent"] in added
    ]
    if not known:
        examples += [
            IntentExample(workspace=workspace, intent=None, text=row["text"], language=language)
            for language in LANGUAGES
            for row in _rows(f"out_of_scope.{language}.csv")
        ]
    IntentExample.every.bulk_create(examples)
    return len(added)


def _rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
