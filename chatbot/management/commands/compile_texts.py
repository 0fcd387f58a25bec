"""``manage.py compile_texts``: make the .mo files from the .po files, with Babel, so that no gettext program is needed."""

from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from django.conf import settings
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Compile the translations where they are missing or older than their source."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        for folder in settings.LOCALE_PATHS:
            for source in Path(folder).rglob("*.po"):
                target = source.with_suffix(".mo")
                if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
                    with source.open("rb") as file:
                        catalog = read_po(file)
                    with target.open("wb") as file:
                        write_mo(file, catalog)
