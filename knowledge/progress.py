"""How far a collection's files are: each one's own state, and about how long the rest will take. Read from rows, so it
survives a reload, and a worker that was killed: what its successor does shows in the same rows.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count
from django.utils import timezone

from knowledge.models import Collection, Document
from knowledge.publishing import PUBLISH_JOB
from knowledge.services import READ_JOB
from workspace.models import Job

PACE_FROM = 20  # of the files read last, for how long one takes
PACE_WITHIN = dt.timedelta(minutes=10)


@dataclass(frozen=True)
class FileProgress:
    """`stage`: waiting, reading, retrying (its worker or its reader failed, another try comes), indexing. `done` of `total`
    pieces while indexing; `ahead`: files before it while waiting.
    """

    stage: str
    ahead: int = 0
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class CollectionProgress:
    """`left_s`: about how many seconds until everything can be found; None: not known yet. `building` is the job's state."""

    files_left: int
    stage: str
    done: int
    total: int
    left_s: float | None
    building: Job | None
    files: dict[int, FileProgress]

    @property
    def is_under_way(self) -> bool:
        return self.files_left > 0 or (self.building is not None and self.building.status != Job.Status.DEAD)


def progress_of(*, collection: Collection, documents: Sequence[Document]) -> CollectionProgress:
    """The state of the collection, with `files` by primary key for those of `documents` that are not live."""
    workspace, now = collection.workspace_id, timezone.now()
    kept = Document.objects.of(workspace).kept().filter(collection=collection).defer("content")
    queued = list(kept.filter(status=Document.Status.QUEUED).order_by("pk").values_list("pk", "public_id"))
    read = list(
        kept.filter(status=Document.Status.READ).order_by("pk").annotate(n=Count("chunks")).values_list("pk", "n")
    )
    building = (
        Job.objects.of(workspace)
        .filter(kind=PUBLISH_JOB, payload={"collection": collection.public_id})
        .exclude(status=Job.Status.DONE)
        .order_by("-status", "-pk")  # the running one before one that waits behind it
        .first()
    )
    at = building.progress if building is not None and building.status == Job.Status.RUNNING else {}
    files = _waiting(workspace, queued, {document.pk for document in documents})
    files |= _indexing(read, at, {document.pk for document in documents})
    reading_s = _pace(workspace, now) * len(queued) if queued else 0.0
    return CollectionProgress(
        files_left=len(queued),
        stage=str(at.get("stage", "reading" if queued else "")),
        done=int(at.get("done", 0)),
        total=int(at.get("total", 0)),
        left_s=_sum(reading_s or (None if queued else 0.0), _left(at, now) if building or read else 0.0),
        building=building,
        files=files,
    )


def _waiting(workspace: int, queued: list[tuple[int, str]], wanted: set[int]) -> dict[int, FileProgress]:
    jobs = Job.objects.of(workspace).filter(kind=READ_JOB, payload__document__in=[name for _, name in queued])
    by_document = {job.payload["document"]: job for job in jobs.exclude(status=Job.Status.DONE)}
    files: dict[int, FileProgress] = {}
    ahead = 0
    for key, name in queued:
        job = by_document.get(name)
        is_running = job is not None and job.status == Job.Status.RUNNING
        is_another_try = job is not None and (job.attempts > 1 or bool(job.error))
        if key in wanted:
            stage = "retrying" if is_another_try else "reading" if is_running else "waiting"
            files[key] = FileProgress(stage, ahead=ahead)
        ahead += not is_running
    return files


def _indexing(read: list[tuple[int, int]], at: dict[str, object], wanted: set[int]) -> dict[int, FileProgress]:
    """Pieces are encoded in the order of their documents; what was encoded before is not done again, so this is a share."""
    pieces = sum(count for _, count in read)
    done, total = float(str(at.get("done", 0))), float(str(at.get("total", 0)))
    encoded = (
        pieces * (done / total) if at.get("stage") == "encode" and total else pieces * (at.get("stage") == "index")
    )
    files: dict[int, FileProgress] = {}
    for key, count in read:
        if key in wanted:
            files[key] = FileProgress("indexing", done=int(min(count, max(0.0, encoded))), total=count)
        encoded -= count
    return files


def _pace(workspace: int, now: dt.datetime) -> float:
    """Seconds between two files that were read lately; 0: nothing to tell it from."""
    ended = list(
        Job.objects.of(workspace)
        .filter(kind=READ_JOB, status=Job.Status.DONE, ended_at__gt=now - PACE_WITHIN)
        .order_by("-ended_at")
        .values_list("ended_at", flat=True)[:PACE_FROM]
    )
    if len(ended) < 2 or ended[0] is None or ended[-1] is None:
        return 0.0
    return (ended[0] - ended[-1]).total_seconds() / (len(ended) - 1)


def _left(at: dict[str, object], now: dt.datetime) -> float | None:
    """Of the encoding, which is nearly all of building a version: by its speed so far."""
    began, done, total = (float(str(at.get(name) or 0.0)) for name in ("began", "done", "total"))
    if at.get("stage") == "index":
        return 1.0
    gone_s = now.timestamp() - began
    return (total - done) * gone_s / done if began and done and gone_s > 0 else None


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other
