"""The verbs of sources: watch a web address, look at it now, stop watching it.

The schedule is made of leased jobs: a run, when it begins, writes the job of the next one, so whoever does jobs (Celery by
its beat, the server's own thread in the trial) also keeps the schedule, and a run that fails does not end it.
"""

import datetime as dt

from django.db import transaction
from django.utils import timezone

from knowledge import services
from knowledge.models import Collection, Document, Source
from knowledge.visit import NotTaken, tidy
from workspace import audit, leases
from workspace.fetch import FetchRefused, check_url
from workspace.models import Job

SYNC_JOB = "sync_source"
EVERY_HOURS = (0, 6, 24, 168)


def add_source(*, collection: Collection, url: str, kind: str, every_hours: int = 24, actor: str) -> Source:
    """Watch an address from now on; one that is watched already is looked at again.

    Raises `NotTaken`: an address that is never fetched.
    """
    url = tidy(url)
    try:
        check_url(url)
    except FetchRefused as problem:
        raise NotTaken("address_refused", str(problem)) from None
    with transaction.atomic():
        source, is_new = Source.objects.of(collection.workspace_id).get_or_create(
            collection=collection, url=url, defaults={"kind": kind, "every_hours": every_hours}
        )
        if not is_new:
            Source.objects.of(source.workspace_id).filter(pk=source.pk).update(kind=kind, every_hours=every_hours)
            source.refresh_from_db()
        request_sync(source=source)
        audit.record(workspace_id=collection.workspace_id, actor=actor, action="source.add", target=source.public_id)
    return source


def request_sync(*, source: Source) -> None:
    """Look at a source now. A run that is under way will do."""
    with transaction.atomic():
        source = Source.objects.of(source.workspace_id).select_for_update(of=("self",)).get(pk=source.pk)
        if job := job_of(source, source.run):
            if job.status != Job.Status.QUEUED or job.progress:
                return
        else:
            source.run += 1
            source.save(update_fields=["run"])
        job = leases.enqueue(
            workspace=source.workspace_id,
            kind=SYNC_JOB,
            payload=_payload(source, source.run),
            key=_key(source, source.run),
        )
        Job.objects.of(source.workspace_id).filter(pk=job.pk, status=Job.Status.QUEUED).update(run_at=timezone.now())


def schedule_next(source: Source) -> None:
    """Write the job of the run after this one, if it is to be looked at again by itself."""
    if source.every_hours:
        leases.enqueue(
            workspace=source.workspace_id,
            kind=SYNC_JOB,
            payload=_payload(source, source.run + 1),
            key=_key(source, source.run + 1),
            run_at=timezone.now() + dt.timedelta(hours=source.every_hours),
        )


def remove_source(*, source: Source, with_documents: bool, actor: str) -> None:
    """Stop watching an address. `with_documents`: what came from it can no longer be found from this moment."""
    with transaction.atomic():
        taken = source.pages.filter(document__isnull=False).values_list("document_id", flat=True)
        kept = Document.objects.of(source.workspace_id).kept().filter(pk__in=list(taken)) if with_documents else ()
        for document in kept:
            services.delete_document(document=document, actor=actor)
        Job.objects.of(source.workspace_id).filter(
            kind=SYNC_JOB, payload__source=source.public_id, status=Job.Status.QUEUED
        ).delete()
        audit.record(workspace_id=source.workspace_id, actor=actor, action="source.remove", target=source.public_id)
        source.delete()


def job_of(source: Source, run: int) -> Job | None:
    """The job of a run that is not over."""
    jobs = Job.objects.of(source.workspace_id).filter(kind=SYNC_JOB, key=_key(source, run))
    return jobs.filter(status__in=[Job.Status.QUEUED, Job.Status.RUNNING]).first()


def _payload(source: Source, run: int) -> dict[str, object]:
    return {"source": source.public_id, "run": run}


def _key(source: Source, run: int) -> str:
    return f"{source.public_id}:{run}"
