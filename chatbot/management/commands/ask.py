"""``manage.py ask "…" [--collection NAME]``: an answer with its sources, in the terminal, by the turn the chat uses."""

import asyncio
import sys
import textwrap
from argparse import ArgumentParser
from contextlib import aclosing
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import override

from chatbot.management.workspaces import add_workspace_argument, chosen_workspace
from chatbot.provider_check import explain
from chatbot.providers import close_providers
from chatbot.trial_question import stream_question
from chatbot.turn.values import Answered, Delta, Outcome, TurnFailed
from chatbot.web.errors import sentence
from chatbot.wiring import READING_PACE, Record
from conversations.services import MAX_TEXT
from knowledge import services
from workspace.models import Workspace
from workspace.wordings import pick, texts_in

LABELS = {
    "extractive": {"en": "Quoted from the documents", "zh": "摘自文档原文"},
    "generated": {"en": "Written by AI from the documents", "zh": "由 AI 根据文档生成"},
}
FAILED = {
    "extractive": {
        "en": "The language model could not be reached: {codes}. Quoted from the documents",
        "zh": "语言模型无法使用：{codes}。摘自文档原文",
    },
    "generated": {
        "en": "Written by AI from the documents, after another model failed: {codes}",
        "zh": "由 AI 根据文档生成；此前另一模型失败：{codes}",
    },
}
SOURCES = {"en": "Sources", "zh": "来源"}


class Command(BaseCommand):
    help = "Ask a question and watch the answer come, with its sources."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("question")
        parser.add_argument("--collection", default="", help="name or public id; all of them without it")
        add_workspace_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        question = options["question"].strip()
        if not question:
            raise CommandError(sentence("empty"))
        if len(question) > MAX_TEXT:
            raise CommandError(sentence("too_long"))
        workspace = chosen_workspace(options["workspace"])
        collections = [self._collection(workspace, options["collection"])] if options["collection"] else []
        try:
            asyncio.run(self._ask(workspace, question, collections))
        except TurnFailed as problem:
            raise CommandError(f"{sentence('internal')} ({problem.code})") from problem

    def _collection(self, workspace: Workspace, name: str) -> str:
        try:
            return services.find_collection(workspace=workspace, name=name).public_id
        except services.UnknownCollection as unknown:
            known = ", ".join(unknown.names) or "none yet"
            raise CommandError(f"There is no collection {unknown.name!r}. Collections: {known}.") from None

    async def _ask(self, workspace: Workspace, question: str, collections: list[str]) -> None:
        record = Record()
        pace = READING_PACE * 3 if sys.stdout.isatty() else 0
        said = ""
        stream = stream_question(
            workspace=workspace, question=question, collections=collections, record=record, pace=pace
        )
        try:
            async with aclosing(stream) as items:
                async for item in items:
                    if isinstance(item, Delta):
                        said += item.text
                        self._write(item.text)
                    else:
                        self._write(item.text.removeprefix(said) + "\n")
                        self._sources(item, record)
        finally:
            await close_providers()

    def _sources(self, outcome: Outcome, record: Record) -> None:
        language = record.language
        if outcome.citations:
            self._write(f"\n{pick(SOURCES, language)}:\n")
            for citation in outcome.citations:
                about = " › ".join(filter(None, (citation.title, citation.heading)))
                self._write(f"  [{citation.n}] {about}{f' <{citation.url}>' if citation.url else ''}\n")
        if isinstance(outcome, Answered) and outcome.source in LABELS:
            codes = list(dict.fromkeys(record.failures))
            labels = FAILED if codes else LABELS
            self._write(f"({pick(labels[outcome.source], language).format(codes=', '.join(codes))})\n")
            self._explain(codes, language)

    def _explain(self, codes: list[str], language: str) -> None:
        """What was wrong with the models that were asked in vain."""
        with override(texts_in(language)):
            for code in codes:
                self._write(textwrap.fill(f"{code}: {explain(code)}", 100, initial_indent="  ", subsequent_indent="  "))
                self._write("\n")

    def _write(self, text: str) -> None:
        self.stdout.write(text, ending="")
        self.stdout.flush()
