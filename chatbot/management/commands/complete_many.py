"""``manage.py complete_many IN.jsonl OUT.jsonl --purpose NAME``: ask a model many things, pay for each once."""

import json
import os
import threading
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.utils import timezone

from chatbot import batches
from chatbot.batch_run import run_batch
from chatbot.batches import MAX_NAME, RUN_JOB, BadBatch
from chatbot.llm.errors import Failure
from chatbot.llm.request import SYSTEM, USER, ChatMessage, Request
from chatbot.management.progress import ProgressLine, no_progress
from chatbot.management.workspaces import add_workspace_argument, chosen_workspace
from chatbot.models import Batch, Provider
from workspace import leases
from workspace.crypto import fingerprint
from workspace.models import Job, Workspace

LOOK_EVERY_S = 0.2
MAX_TOKENS = 393_216
SHOWN_PROBLEMS = 20
KNOWN = {"id", "system", "prompt", "max_tokens", "json"}
AGAIN = "Run the same command again to go on; what is done is not paid for again."
LATER = f"Where a server or worker runs, it goes on by itself. {AGAIN}"


class Command(BaseCommand):
    help = (
        "Have a model answer each line of a JSONL file: {id, prompt} and perhaps system, max_tokens, json. Called again "
        "with the same lines it goes on where it stopped, or writes the same answers once more."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("source", type=Path, metavar="IN.jsonl")
        parser.add_argument("target", type=Path, metavar="OUT.jsonl")
        parser.add_argument("--purpose", required=True, help="what it is for; the ledger shows it")
        parser.add_argument("--provider", default="", help="name or public id; else the first that is active")
        parser.add_argument(
            "--off-peak", action="store_true", help="wait for the hours at which the provider is cheaper"
        )
        parser.add_argument("--at-once", type=int, default=8, help="requests at the same time (8)")
        parser.add_argument("--fresh", action="store_true", help="ask everything anew, and pay for it")
        parser.add_argument("--no-progress", action="store_true")
        add_workspace_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        workspace = chosen_workspace(options["workspace"])
        source, target = options["source"], options["target"]
        requests = _read(source)
        _check_target(source, target)
        batch = self._batch(workspace, requests, options)
        self._work(batch, no_progress if options["no_progress"] else ProgressLine())
        failed = _write(batch, target)
        self.stdout.write(f"{target}: {len(requests):,} lines, {failed:,} of them without an answer.")
        if failed:
            raise CommandError(f"{failed:,} of {len(requests):,} requests failed; their lines say why.")

    def _batch(self, workspace: Workspace, requests: list[tuple[str, Request]], options: dict[str, Any]) -> Batch:
        """That of an earlier call with the same lines, or a new one."""
        purpose, off_peak, at_once = options["purpose"].strip(), options["off_peak"], options["at_once"]
        provider = _provider(workspace, options["provider"])
        lines = [
            [name, *((message.role, message.text) for message in r.messages), r.max_tokens, r.json]
            for name, r in requests
        ]
        key = fingerprint(workspace.pk, json.dumps([purpose, provider and provider.public_id, lines]))
        if options["fresh"]:
            batches.forget(workspace=workspace, key=key)
        try:
            batch = batches.complete_many(
                workspace=workspace,
                purpose=purpose,
                requests=requests,
                provider=provider,
                off_peak=off_peak,
                at_once=at_once,
                key=key,
            )
        except BadBatch as problem:
            raise CommandError(str(problem)) from None
        held = batches.progress_of(batch)
        if batch.status == Batch.Status.DONE:
            self.stdout.write(f"Asked before, on {batch.ended_at:%Y-%m-%d %H:%M} UTC; --fresh asks anew.")
        elif held.done:
            self.stdout.write(f"Going on: {held.done:,} of {held.of:,} were answered before.")
        batches.resume(batch, off_peak=off_peak, at_once=at_once)
        return batch

    def _work(self, batch: Batch, show: Any) -> None:
        """Until the batch has ended. A server that runs beside may take the job; then this watches."""
        over = threading.Event()
        worker = threading.Thread(target=_run_jobs, args=(over,), name="batch")
        worker.start()
        stopped = False
        try:
            self._watch(batch, worker, show)
        except KeyboardInterrupt:
            stopped = True
            self.stderr.write("Stopping: what is under way is still waited for.")
        finally:
            over.set()
            worker.join()
        if stopped:
            here = batches.hold(batch)
            raise CommandError(f"Stopped. {AGAIN}" if here else "A server that runs beside has it and goes on.")

    def _watch(self, batch: Batch, worker: threading.Thread, show: Any) -> None:
        said = ""
        while True:
            batch.refresh_from_db()
            held = batches.progress_of(batch)
            show("answers", held.done + held.failed, held.of)
            if batch.status == Batch.Status.DONE:
                return
            if batch.status == Batch.Status.CANCELLED:
                raise CommandError(f"Cancelled: {held.done:,} of {held.of:,} are answered. {AGAIN}")
            if not worker.is_alive():
                raise CommandError(f"The database was away: {held.done:,} of {held.of:,} are answered. {AGAIN}")
            said = self._waits(batch, held, said)
            time.sleep(LOOK_EVERY_S)

    def _waits(self, batch: Batch, held: batches.Progress, said: str) -> str:
        """Say once what is waited for; end where waiting is not enough. Raises `CommandError`."""
        job = Job.objects.of(batch.workspace_id).get(kind=RUN_JOB, key=batch.public_id)
        if job.status == Job.Status.DEAD:
            raise CommandError(f"{job.error} {held.done:,} of {held.of:,} are answered. {AGAIN}")
        if job.status != Job.Status.QUEUED or job.run_at <= timezone.now():
            return said
        if job.progress.get("waits") in {"budget", "owner"}:
            raise CommandError(f"{job.error}: {held.done:,} of {held.of:,} are answered. {LATER}")
        if job.error != said and (job.run_at - timezone.now()).total_seconds() > 1:
            self.stderr.write(f"Waiting until {job.run_at:%Y-%m-%d %H:%M:%S} UTC: {job.error}.")
        return job.error


def _run_jobs(over: threading.Event) -> None:
    try:
        while not over.is_set():
            if not leases.run_next({RUN_JOB: partial(run_batch, over=over)}):
                over.wait(LOOK_EVERY_S)
    finally:
        connection.close()


def _read(source: Path) -> list[tuple[str, Request]]:
    """Every line or none. Raises `CommandError` with the number of each line that is wrong."""
    try:
        data = source.read_bytes()
    except OSError as problem:
        raise CommandError(f"{source} cannot be read: {problem.strerror}.") from None
    found: list[tuple[str, Request]] = []
    problems: list[str] = []
    first: dict[str, int] = {}
    for number, line in _lines(data):
        try:
            name, request = _request(line)
        except ValueError as problem:
            problems.append(f"line {number}: {problem}")
            continue
        if name in first:
            problems.append(f"line {number}: the id {name!r} is that of line {first[name]} too")
        first.setdefault(name, number)
        found.append((name, request))
    if problems:
        more = f"\n… and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
        raise CommandError(f"{source}: nothing was asked.\n" + "\n".join(problems[:SHOWN_PROBLEMS]) + more)
    if not found:
        raise CommandError(f"{source} has no lines.")
    return found


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if line.strip():
            yield number, line


def _request(line: bytes) -> tuple[str, Request]:
    """Raises `ValueError` in words for the owner of the file."""
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except (json.JSONDecodeError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(row, dict):
        raise ValueError("not an object")
    if unknown := sorted(set(row) - KNOWN):
        raise ValueError(f"unknown: {', '.join(unknown)} (known: {', '.join(sorted(KNOWN))})")
    name, system, prompt = row.get("id"), row.get("system", ""), row.get("prompt")
    max_tokens, as_json = row.get("max_tokens", 0), row.get("json", False)
    if not isinstance(name, str) or not name.isprintable() or not 1 <= len(name) <= MAX_NAME:
        raise ValueError(f"id must be a text of 1 to {MAX_NAME} printable characters")
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError("prompt must be a text")
    if not isinstance(system, str):
        raise ValueError("system must be a text")
    if not isinstance(max_tokens, int) or isinstance(max_tokens, bool) or not 0 <= max_tokens <= MAX_TOKENS:
        raise ValueError(f"max_tokens must be a number from 1 to {MAX_TOKENS}")
    if not isinstance(as_json, bool):
        raise ValueError("json must be true or false")
    messages = [ChatMessage(SYSTEM, system)] if system.strip() else []
    request = Request((*messages, ChatMessage(USER, prompt)), max_tokens=max_tokens, json=as_json)
    if problem := batches.why_not(request):
        raise ValueError(problem)
    return name, request


def _check_target(source: Path, target: Path) -> None:
    """Before anything is paid for."""
    if target.exists() and target.samefile(source):
        raise CommandError("The answers cannot go into the file of the questions.")
    if target.is_dir() or not os.access(target.parent, os.W_OK):
        raise CommandError(f"{target} cannot be written.")


def _provider(workspace: Workspace, name: str) -> Provider | None:
    if not name:
        return None
    rows = list(Provider.objects.of(workspace))
    for row in rows:
        if name in {row.name, row.public_id}:
            return row
    raise CommandError(f"There is no provider {name!r}. There is: {', '.join(row.name for row in rows) or 'none'}.")


def _write(batch: Batch, target: Path) -> int:
    """All at once, so that a file that is there is whole. Returns how many lines are failures."""
    failed = 0
    part = target.with_name(f"{target.name}.part")
    with part.open("w", encoding="utf-8") as file:
        for name, result in batches.results(batch):
            if isinstance(result, Failure):
                failed += 1
                row: dict[str, Any] = {"id": name, "error": result.code}
            else:
                usage = result.usage
                counts: Sequence[str] = ("prompt", "completion", "cached", "reasoning", "estimated")
                row = {
                    "id": name,
                    "text": result.text,
                    "finish": result.finish,
                    "model": result.model,
                    "usage": {count: getattr(usage, count) for count in counts} if usage else None,
                }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    part.replace(target)
    return failed
