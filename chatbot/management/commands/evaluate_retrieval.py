"""``manage.py evaluate_retrieval DIR [--lang zh] --json``: how good the search is, on a set with known answers.

It runs in a process with a database and a folder of its own, which are thrown away: nothing of an evaluation, finished or
killed, is ever seen by the chat, and the scores depend on nothing but the set, the encoder and the code.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from chatbot.management.progress import ProgressLine, no_progress
from chatbot.retriever import look_up
from chatbot.turn.query import WithContext
from chatbot.turn.values import InboxView, Question, Utterance
from knowledge.embedding import EncoderUnavailable
from knowledge.evaluate import BadSet, Said, evaluate
from knowledge.search import Found
from workspace.models import Workspace

LEFT_OUT = ("BATON_PRODUCTION", "BATON_KEYS", "DATABASE_URL", "REDIS_URL", "QDRANT_URL")  # the child's are the trial's


class Command(BaseCommand):
    help = "Score the search on a folder with corpus.jsonl (or .jsonl.gz), queries.jsonl or conversations.jsonl, and qrels.tsv."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--lang", default="", help="for sets whose files carry a language: corpus.zh.jsonl")
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        parser.add_argument("--legs", action="store_true", help="score each of the two legs by itself, too")
        parser.add_argument("--no-progress", action="store_true")
        parser.add_argument("--thrown-away", action="store_true", help=argparse.SUPPRESS)  # the child's

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["thrown_away"]:
            self.stdout.write(_in_a_home_of_its_own(options), ending="")
            return
        call_command("migrate", verbosity=0)
        show = no_progress if options["no_progress"] else ProgressLine()
        try:
            legs = ("dense", "lexical") if options["legs"] else ()
            found = evaluate(options["folder"], options["lang"], ask=ask_as_the_chat_does, legs=legs, progress=show)
            scores = found.as_dict()
        except (BadSet, EncoderUnavailable) as problem:
            raise CommandError(str(problem)) from problem
        if options["json"]:
            self.stdout.write(json.dumps(scores))
        else:
            for name, value in scores.items():
                self.stdout.write(f"{name:12} {value}")


def ask_as_the_chat_does(workspace: Workspace, question: str, before: Sequence[Said], limit: int, leg: str) -> Found:
    """Form the query, and let earlier questions join in, by the functions that the chat uses (without a model)."""
    inbox = InboxView(id="", workspace=workspace.pk, business="", language="en")
    history = tuple(Utterance(said.author, said.text) for said in before)
    query = WithContext().form(Question("", "", question, inbox, history))
    return look_up(inbox, query, limit=limit, leg=leg)


def _in_a_home_of_its_own(options: dict[str, Any]) -> str:
    """What the child printed. Its errors and its progress go where ours go."""
    words = [str(options["folder"].resolve()), "--lang", options["lang"], "--thrown-away"]
    words += [
        f"--{name.replace('_', '-')}" for name in ("json", "no_progress", "no_color", "legs") if options.get(name)
    ]
    with tempfile.TemporaryDirectory(prefix="baton-evaluation-") as home:
        (Path(home) / "encoders").symlink_to(settings.HOME.resolve() / "encoders")  # a prepared encoder is used, too
        environment = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
        environment |= {
            "BATON_HOME": home,
            "BATON_ENCODER": settings.ENCODER,
            "BATON_RERANKER": settings.RERANKER,
            "BATON_RERANKER_TIMEOUT": "600",  # scores must not depend on how busy the machine is
            "DJANGO_SETTINGS_MODULE": "chatbot.settings",
            "PYTHONPATH": os.pathsep.join(filter(None, (str(settings.BASE_DIR), os.environ.get("PYTHONPATH")))),
        }
        child = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-m", "django", "evaluate_retrieval", *words],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    if child.returncode:
        raise SystemExit(child.returncode)
    return child.stdout
