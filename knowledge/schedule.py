"""What knowledge does by the clock: each live collection is reconciled every few hours, by a leased job.

And what it does when a process starts: an encoder that was changed is noticed at once, not at the next reconcile.
"""

import datetime as dt
import hashlib

from django.db.models import F, Q
from django.utils import timezone

from knowledge.embedding import EncoderUnavailable, fingerprint_at_hand
from knowledge.models import Collection, Version
from knowledge.publishing import PUBLISH_JOB
from knowledge.reconcile import RECONCILE_JOB
from knowledge.segment import CUT_AS
from workspace import leases
from workspace.models import Job

RECONCILE_EVERY = dt.timedelta(hours=4)
LOOK_EVERY_S = 60.0


class Clock:
    """Called often by whoever sweeps; looks once a minute. Any number of processes may: a job has one key a period."""

    def __init__(self) -> None:
        self._looked_at: dt.datetime | None = None
        self._knows_encoder = False

    def __call__(self) -> None:
        now = timezone.now()
        if self._looked_at is None or (now - self._looked_at).total_seconds() >= LOOK_EVERY_S:
            self._looked_at = now
            enqueue_due(now)
            self._knows_encoder = self._knows_encoder or _asked_once()


def enqueue_due(now: dt.datetime) -> None:
    """Write the jobs of this period that are not written yet."""
    period = int(now.timestamp() // RECONCILE_EVERY.total_seconds())
    for collection in Collection.every.filter(version__gt=0).only("pk", "public_id", "workspace_id"):
        leases.enqueue(
            workspace=collection.workspace_id,
            kind=RECONCILE_JOB,
            payload={"collection": collection.public_id},
            key=f"{collection.public_id}:{period}",
        )


def request_reencoding() -> bool:
    """See that live versions and drafts of another encoder than this process's, or of texts cut otherwise, are built anew: one
    job for each, however many processes ask. Until it is done those of another encoder are searched by words alone.

    False: only loading its weights would tell which encoder this process has. Raises `EncoderUnavailable`.

    To be called when a process starts, and not again: while old and new processes run beside each other, each would have
    what the other made built anew.
    """
    made_by = fingerprint_at_hand()
    if made_by is None:
        return False
    pointed = Q(number=F("collection__version")) | Q(number=F("collection__draft"))
    others = Version.every.filter(pointed).exclude(encoder=made_by, cut_as=CUT_AS)
    for collection in Collection.every.filter(pk__in=others.values("collection")):
        payload = {"collection": collection.public_id}
        jobs = Job.objects.of(collection.workspace_id).filter(kind=PUBLISH_JOB, payload=payload)
        if not jobs.filter(status=Job.Status.QUEUED).exists():
            made = hashlib.sha256(f"{made_by} {CUT_AS}".encode()).hexdigest()[:16]
            state = f"{collection.version}.{collection.draft}:{made}"
            leases.enqueue(
                workspace=collection.workspace_id,
                kind=PUBLISH_JOB,
                payload=payload,
                key=f"{collection.public_id}:{state}",
            )
    return True


def _asked_once() -> bool:
    try:
        return request_reencoding()
    except EncoderUnavailable:
        return False
