"""What knowledge does by the clock: each live collection is reconciled every few hours, by a leased job."""

import datetime as dt

from django.utils import timezone

from knowledge.models import Collection
from knowledge.reconcile import RECONCILE_JOB
from workspace import leases

RECONCILE_EVERY = dt.timedelta(hours=4)
LOOK_EVERY_S = 60.0


class Clock:
    """Called often by whoever sweeps; looks once a minute. Any number of processes may: a job has one key a period."""

    def __init__(self) -> None:
        self._looked_at: dt.datetime | None = None

    def __call__(self) -> None:
        now = timezone.now()
        if self._looked_at is None or (now - self._looked_at).total_seconds() >= LOOK_EVERY_S:
            self._looked_at = now
            enqueue_due(now)


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
