"""``manage.py new_key [NAME]``: a line for BATON_KEYS."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from workspace.keys import new_key_line


class Command(BaseCommand):
    help = "Print a new AES-256 key. For rotation put it in front: BATON_KEYS=k2:…,k1:…,index:…"
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="?", default="k1")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(new_key_line(options["name"]))
