"""The leased jobs of this package, by kind; whoever works (Celery or the server's own thread) calls them."""

import time

from knowledge import archives, services
from knowledge.embedding import EncoderUnavailable
from knowledge.models import Collection, Document
from workspace import leases
from workspace.leases import Handler, RetryLater
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
    collection = Collection.objects.of(job.workspace_id).filter(public_id=job.payload["collection"]).first()
    if collection is None:
        return
    reported = 0.0

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal reported
        if done == total or time.monotonic() - reported > REPORT_EVERY_S:
            reported = time.monotonic()
            leases.report_progress(job, {"stage": stage, "done": done, "total": total})

    try:
        services.publish(collection=collection, progress=progress)
    except services.BeingBuilt:
        raise RetryLater(1.0, "another worker is building this collection") from None
    except EncoderUnavailable as problem:
        raise RetryLater(30.0, str(problem)) from problem


HANDLERS: dict[str, Handler] = {
    services.READ_JOB: read_document,
    services.PUBLISH_JOB: publish_collection,
}
