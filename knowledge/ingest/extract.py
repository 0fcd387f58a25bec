"""What is in a file, found out by a process with limits: a file that makes its reader fail costs that process, never a worker.

A fresh interpreter a file, isolated from the environment and from ours, with bounds on memory, processor time and
patience. What comes back is checked like any word from outside.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from django.conf import settings

from knowledge.ingest.found import MAX_ENTRIES, MAX_TEXT, Extracted, FaqEntry, Unreadable
from knowledge.ingest.readers import check
from knowledge.ingest.verdicts import WORDS

ROOT = Path(__file__).parents[2]
PARSER = Path(__file__).with_name("parser.py")
MAX_ANSWER_BYTES = 256 * 1024 * 1024
_ENVIRONMENT = {"PATH": "", "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def extract(name: str, data: bytes) -> Extracted:
    """Read a file by its bytes and name. Raises `Unreadable`."""
    check(name, data)
    answer, code, is_late = _ask_parser(name, data)
    if is_late or code == -24:  # SIGXCPU
        raise Unreadable("too_slow", f"{settings.PARSER_SECONDS} s")
    try:
        said = json.loads(answer)
        if "refused" in said:
            problem = str(said["refused"])
            raise Unreadable(problem if problem in WORDS else "reader_failed", _clean(str(said["detail"])))
        found = _extracted(said["found"])
    except (ValueError, KeyError, TypeError, RecursionError, UnicodeError):
        raise Unreadable("reader_failed", f"signal {-code}" if code < 0 else f"exit {code}") from None
    if found.is_empty:
        raise Unreadable("empty")
    return found


def _ask_parser(name: str, data: bytes) -> tuple[bytes, int, bool]:
    """What the parser answered, how it ended, and whether it was stopped for taking too long."""
    command = [
        sys.executable, "-I", "-B", str(PARSER), str(ROOT),
        _argument(name), str(settings.PARSER_SECONDS), str(settings.PARSER_MEMORY_BYTES),
    ]  # fmt: skip
    late = threading.Event()
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        process = subprocess.Popen(  # noqa: S603 - our own program; the name it is given is an argument and stays one
            command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=_ENVIRONMENT, cwd="/", start_new_session=True,
        )  # fmt: skip

    def stop() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(settings.PARSER_SECONDS * 2.0, stop)
    timer.start()
    assert process.stdout is not None
    try:
        answer = process.stdout.read(MAX_ANSWER_BYTES)
        if len(answer) == MAX_ANSWER_BYTES:
            process.kill()
        code = process.wait()
    finally:
        timer.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
    return answer, code, late.is_set()


def _argument(name: str) -> str:
    """A file's name as an argument: bounded, without what no argument can hold."""
    cleaned = os.fsencode(_clean(name).replace("\x00", ""))[-400:]
    return cleaned.decode("utf-8", "ignore") or "file"


def _extracted(said: dict[str, Any], depth: int = 0) -> Extracted:
    text = str(said["markdown"])
    entries = said["entries"][:MAX_ENTRIES]
    if len(text) > MAX_TEXT or depth > 1:
        raise ValueError
    return Extracted(
        title=_clean(str(said["title"])),
        media_type=_clean(str(said["media_type"]))[:80],
        markdown=_clean(text),
        entries=tuple(
            FaqEntry(
                _clean(str(entry["question"])),
                tuple(_clean(str(answer)) for answer in entry["answers"]),
                tuple(_clean(str(phrasing)) for phrasing in entry["phrasings"]),
            )
            for entry in entries
        ),
        parts=tuple(_extracted(part, depth + 1) for part in said["parts"]),
        note=_clean(str(said["note"]))[:40],
        note_detail=_clean(str(said["note_detail"]))[:200],
    )


def _clean(text: str) -> str:
    """Without what no database keeps: NUL, halves of surrogate pairs."""
    return text.replace("\x00", "").encode("utf-8", "ignore").decode()
