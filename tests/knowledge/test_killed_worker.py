"""A Celery worker killed with -9 while it indexes: another takes the job over, and nothing is lost or there twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from knowledge import services
from knowledge.index import engine
from knowledge.models import Chunk, Collection, Document, Vector
from knowledge.publishing import PUBLISH_JOB
from tests.environment import PRODUCTION
from tests.serving import ROOT, database_url
from workspace.models import Job, Workspace

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not PRODUCTION, reason="there is no Celery in the trial"),
]

PIECES = 3_000
RETAKEN_WITHIN_S = 15.0
PATIENCE_S = 240.0


@contextmanager
def celery(folder: Path, *programs: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Programs of Celery on the test's database and broker, each a process of its own."""
    running = []
    with (folder / "celery.log").open("ab") as log:
        for number, program in enumerate(programs):
            command = [sys.executable, "-m", "celery", "-A", "chatbot", *program.split(), "-l", "ERROR"]
            if program == "beat":
                command += ["-s", str(folder / "schedule")]
            else:
                command += ["-n", f"w{number}@%h"]
            environment = os.environ | {"DATABASE_URL": database_url(), "OMP_NUM_THREADS": "1"}
            running.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log))
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait(10)


def wait_until(said: Callable[[], object], why: str, patience_s: float = PATIENCE_S) -> None:
    until = time.monotonic() + patience_s
    while not said():
        assert time.monotonic() < until, why
        time.sleep(0.1)


def test_a_version_whose_builder_was_killed_is_built_by_another(workspace: Workspace, tmp_path: Path) -> None:
    shop = services.find_or_create_collection(workspace=workspace, name="shop")
    rows = [
        {"id": at, "text": f"Part number {at} fits model {at * 7} and costs {at % 90} euro."} for at in range(PIECES)
    ]
    services.add_file(collection=shop, name="parts.jsonl", data="\n".join(map(json.dumps, rows)).encode())

    def building() -> Job | None:
        return Job.objects.of(workspace).filter(kind=PUBLISH_JOB, status=Job.Status.RUNNING).first()

    def holder() -> int:
        job = building()
        return int(job.leased_by.split(":")[1]) if job else 0

    with celery(tmp_path, "worker --pool solo", "worker --pool solo", "beat") as processes:
        wait_until(lambda: (job := building()) and job.progress.get("done", 0) > 0, "no worker began to index")
        job, killed = building(), holder()
        assert job is not None
        assert 0 < job.progress["done"] < job.progress["total"] == PIECES
        assert killed in {process.pid for process in processes}
        os.kill(killed, signal.SIGKILL)
        began = time.monotonic()
        wait_until(lambda: holder() not in {0, killed}, "nobody took the job over", RETAKEN_WITHIN_S)
        assert time.monotonic() - began < RETAKEN_WITHIN_S

        wait_until(lambda: Collection.every.get(pk=shop.pk).version, "no version became live")
        wait_until(
            lambda: not Job.objects.of(workspace).exclude(status=Job.Status.DONE).exclude(run_at__gt=job.run_at), ""
        )

    shop.refresh_from_db()
    version = shop.versions.get(number=shop.version)
    document = Document.objects.of(workspace).get()
    assert document.status == Document.Status.LIVE
    assert Chunk.objects.of(workspace).count() == version.chunks == PIECES
    index = engine().open(version.index_name)
    found = index.nearest(np.ones(384, np.float32) / 384**0.5, PIECES * 2)
    assert sorted(found) == list(range(PIECES))
    assert Vector.objects.of(workspace).count() == PIECES
    assert shop.versions.filter(number__gt=shop.version).count() == 0
