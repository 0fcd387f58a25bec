"""``manage.py evaluate_retrieval DIR [--lang zh] --json``: how good the search is, on a set with known answers."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from chatbot.management.progress import ProgressLine, no_progress
from knowledge.embedding import EncoderUnavailable
from knowledge.evaluate import BadSet, evaluate


class Command(BaseCommand):
    help = "Score the search on a folder with corpus.jsonl (or .jsonl.gz), queries.jsonl and qrels.tsv."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--lang", default="", help="for sets whose files carry a language: corpus.zh.jsonl")
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        parser.add_argument("--no-progress", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.PRODUCTION:
            call_command("migrate", verbosity=0)
        show = no_progress if options["no_progress"] else ProgressLine()
        try:
            scores = evaluate(options["folder"], options["lang"], progress=show).as_dict()
        except (BadSet, EncoderUnavailable) as problem:
            raise CommandError(str(problem)) from problem
        if options["json"]:
            self.stdout.write(json.dumps(scores))
        else:
            for name, value in scores.items():
                self.stdout.write(f"{name:12} {value}")
