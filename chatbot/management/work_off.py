"""Do a workspace's knowledge jobs from a command, or watch whoever was faster do them."""

import threading
import time
from collections.abc import Callable

from django.db import connection

from knowledge.sources import SYNC_JOB
from knowledge.tasks import HANDLERS
from workspace import leases
from workspace.models import Job, Workspace

LOOK_EVERY_S = 0.3
LATER = {SYNC_JOB}  # its next run waits in the queue for days


def work_off(workspace: Workspace, *, progress: Callable[[str, int, int], None]) -> None:
    """Return when nothing is queued or running. A server that runs beside may take some of the jobs."""
    over = threading.Event()

    def work() -> None:
        try:
            while not over.is_set():
                if not leases.run_next(HANDLERS):
                    over.wait(LOOK_EVERY_S)
        finally:
            connection.close()

    worker = threading.Thread(target=work, name="ingest")
    worker.start()
    try:
        while True:
            open_jobs = Job.objects.of(workspace).filter(
                kind__in=set(HANDLERS) - LATER, status__in=[Job.Status.QUEUED, Job.Status.RUNNING]
            )
            rows = list(open_jobs)
            if not rows:
                return
            for job in rows:
                if job.progress:
                    progress(job.progress["stage"], job.progress["done"], job.progress["total"])
            time.sleep(LOOK_EVERY_S)
    finally:
        over.set()
        worker.join()
