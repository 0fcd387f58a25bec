"""The leased jobs of this package, by kind; whoever works (Celery or the server's own thread) calls them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from knowledge import archives, findings, gold, publishing, reconcile, services, sources, sync, versions
from knowledge.embedding import EncoderUnavailable
from knowledge.models import Collection, Document, GoldSet, Source
from workspace import leases
from workspace.leases import GiveUp, Handler, RetryLater
from workspace.models import Job

REPORT_EVERY_S = 0.5


def read_document(job: Job) -> None:
    document = Document.objects.of(job.workspace_id).filter(public_id=job.payload["document"]).first()
    if document is None or document.deleted_at is not None:
        return
    if archives.is_archive(document):
        archives.unpack(document=document)
    else:
        services.read_document(document=document)


def publish_collection(job: Job) -> None:
    if collection := _collection(job):
        with _building_errors():
            publishing.refresh(collection=collection, progress=_progress(job))
            gold.request_runs(collection)


def restore_version(job: Job) -> None:
    if collection := _collection(job):
        with _building_errors():
            versions.restore(
                collection=collection,
                number=job.payload["number"],
                actor=job.payload["actor"],
                progress=_progress(job),
            )


def reconcile_collection(job: Job) -> None:
    if collection := _collection(job):
        with _building_errors():
            reconcile.reconcile(collection=collection)


def run_gold_set(job: Job) -> None:
    gold_set = GoldSet.objects.of(job.workspace_id).filter(public_id=job.payload["set"]).first()
    if gold_set is not None:
        gold.run_set(gold_set=gold_set)


def look_for_findings(job: Job) -> None:
    if collection := _collection(job):
        findings.look_for_findings(collection=collection, progress=_progress(job))


def _collection(job: Job) -> Collection | None:
    return Collection.objects.of(job.workspace_id).filter(public_id=job.payload["collection"]).first()


def _progress(job: Job) -> publishing.Progress:
    reported = 0.0
    began: dict[str, float] = {}  # by stage, on the clock, for whoever tells how long the rest takes

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal reported
        began.setdefault(stage, time.time())
        if done == total or time.monotonic() - reported > REPORT_EVERY_S:
            reported = time.monotonic()
            leases.report_progress(job, {"stage": stage, "done": done, "total": total, "began": began[stage]})

    return progress


@contextmanager
def _building_errors() -> Iterator[None]:
    """What stands in the way of building, as what the job is to do about it."""
    try:
        yield
    except publishing.BeingBuilt:
        raise RetryLater(1.0, "another worker is building this collection") from None
    except EncoderUnavailable as problem:
        raise RetryLater(30.0, str(problem)) from problem
    except versions.UnknownVersion as problem:
        raise GiveUp(f"version {problem} is no longer kept") from None


def sync_source(job: Job) -> None:
    source = Source.objects.of(job.workspace_id).filter(public_id=job.payload["source"]).first()
    run = int(job.payload["run"])
    if source is None or run < source.run:
        return
    source.run = run
    source.save(update_fields=["run"])
    sources.schedule_next(source)
    began = job.progress.get("began") or time.time()

    def report(done: int, total: int) -> None:
        leases.report_progress(job, {"stage": "pages", "done": done, "total": total, "began": began})

    again_s = sync.run_part(source=source, run=run, report=report)
    if again_s is not None:
        raise RetryLater(again_s, "more pages to look at")


HANDLERS: dict[str, Handler] = {
    services.READ_JOB: read_document,
    publishing.PUBLISH_JOB: publish_collection,
    versions.RESTORE_JOB: restore_version,
    reconcile.RECONCILE_JOB: reconcile_collection,
    gold.GOLD_JOB: run_gold_set,
    findings.FINDINGS_JOB: look_for_findings,
    sources.SYNC_JOB: sync_source,
}
