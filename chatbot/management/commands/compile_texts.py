"""``manage.py compile_texts``: make the .mo files from the .po files, with Babel, so that no gettext program is needed.

Texts in Traditional Chinese are made of the Simplified ones (`workspace.chinese`): nobody has to write them twice.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from django.conf import settings
from django.core.management.base import BaseCommand

from workspace.chinese import traditional

SIMPLIFIED, TRADITIONAL = "zh_Hans", "zh_Hant"


class Command(BaseCommand):
    help = "Compile the translations where they are missing or older than their source."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        for folder in map(Path, settings.LOCALE_PATHS):
            for source in folder.rglob("*.po"):
                inside = source.with_suffix(".mo").relative_to(folder)
                compile_catalog(source, folder / inside, str)
                if inside.parts[0] == SIMPLIFIED:
                    compile_catalog(source, folder.joinpath(TRADITIONAL, *inside.parts[1:]), traditional)


def compile_catalog(source: Path, target: Path, write: Callable[[str], str]) -> None:
    """The texts of a .po file, each as `write` has it, in a .mo file, where that is missing or older."""
    if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
        return
    with source.open("rb") as file:
        catalog = read_po(file)
    for message in catalog:
        if message.id:  # the first is the head, which is data
            forms = (message.string,) if isinstance(message.string, str) else tuple(message.string or ())
            written = tuple(map(write, forms))
            message.string = written[0] if isinstance(message.string, str) else written
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        write_mo(file, catalog)
