"""``manage.py new_key [NAME]``: a first setting of BATON_KEYS or, with a name, one more key for it."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from workspace.keys import first_setting, new_key_line


class Command(BaseCommand):
    help = "Print a first BATON_KEYS or, with a name, one more AES-256 key: BATON_KEYS=k2:…,k1:…,index:…"
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="?", default="", help="of a further key, to be put in front of the others")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        if name and not name.isidentifier():
            raise CommandError(f"{name!r} is no name for a key: letters, digits and _ only, such as k2.")
        self.stdout.write(new_key_line(name) if name else f"BATON_KEYS={first_setting()}")
