"""Leased jobs: work that survives a killed worker.

`enqueue` writes a row in the caller's transaction and rings whoever can work; `run_next` takes the oldest free row under
a lease of a few seconds, keeps renewing it while the handler runs, and marks it done. A worker that dies stops renewing:
the row is free again when its lease ends, and the next `run_next` takes it. Handlers must be safe to run twice.
"""

import datetime as dt
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.db import InterfaceError, OperationalError, close_old_connections, connection, transaction
from django.utils import timezone

from workspace.holders import is_dead, new_holder
from workspace.models import Job, Workspace

logger = logging.getLogger(__name__)

LEASE_S = 7.0  # with a sweep each second, a killed worker's job is free in eight; a database may be away for five
RENEWALS = 4  # in the time of a lease
MAX_FAILURES = 8
MAX_DEATHS = 25  # a job that kills its worker, or the database, takes others with it, who are not to blame
RETRY_CAP_S = 300.0
OUTAGE_S = 2.0  # for each attempt so far
TIMED_OUT = "57014"  # a statement that takes too long does so every time
OUTAGE_STATES = (
    "08",
    "40",
    "53",
    "55",
    "57",
)  # classes of SQLSTATE: connection, rollback, resources, not ready, operator
AGAIN_S, AWAY_S = 0.5, 30.0  # how often, and how long, a database that is away is tried

Handler = Callable[[Job], None]
_bells: list[Callable[[], None]] = []
_mourners: dict[str, Callable[[Job], None]] = {}


class RetryLater(Exception):
    """Raised by a handler: not now, try again after `after_s` seconds. Does not count as a failure in the log."""

    def __init__(self, after_s: float, reason: str) -> None:
        self.after_s = after_s
        super().__init__(reason)


class GiveUp(Exception):
    """Raised by a handler: this can never succeed."""


def enqueue(
    *,
    workspace: Workspace | int,
    kind: str,
    payload: Mapping[str, Any],
    key: str | None = None,
    run_at: dt.datetime | None = None,
) -> Job:
    """Write a job. With a `key`, a second call with the same kind and key returns the first job instead."""
    jobs = Job.objects.of(workspace)
    run_at = run_at or timezone.now()
    if key is None:
        job = jobs.create(kind=kind, payload=dict(payload), run_at=run_at)
    else:
        job, _ = jobs.get_or_create(kind=kind, key=key, defaults={"payload": dict(payload), "run_at": run_at})
    transaction.on_commit(ring)
    return job


def on_enqueue(bell: Callable[[], None]) -> None:
    """Register what wakes a worker of this process, or of others, when there is something to do."""
    if bell not in _bells:
        _bells.append(bell)


def on_given_up(kind: str, tell: Callable[[Job], None]) -> None:
    """Register what is to be done when a job of that kind is given up without its handler having had a say: every worker that
    took it died, or the database with it."""
    _mourners[kind] = tell


def ring() -> None:
    for bell in _bells:
        bell()


def run_next(handlers: Mapping[str, Handler], *, worker: str | None = None, lease_s: float = LEASE_S) -> bool:
    """Take and run one job, if there is one. Returns whether there was."""
    job = _claim(list(handlers), f"{worker[:60]}:{uuid.uuid4().hex[:12]}" if worker else new_holder(), lease_s)
    if job is None:
        return False
    if job.attempts > MAX_DEATHS:
        _end(job, Job.Status.DEAD, error=job.error or "its worker died every time")
        if tell := _mourners.get(job.kind):
            tell(job)
        return True
    with Renewing(_renewal(job, lease_s), lease_s / RENEWALS, job.public_id):
        _run(job, handlers[job.kind])
    return True


def is_anything_due(kinds: Iterable[str]) -> bool:
    """Whether a `run_next` would find something now."""
    now = timezone.now()
    _free_from_dead(now)
    return Job.every.claimable(now).filter(kind__in=list(kinds)).exists()


def report_progress(job: Job, progress: Mapping[str, Any]) -> None:
    """Store what a person may see of a running job."""
    job.progress = dict(progress)
    _surely(lambda: Job.every.filter(pk=job.pk, leased_by=job.leased_by).update(progress=job.progress))


def _claim(kinds: list[str], holder: str, lease_s: float) -> Job | None:
    now = timezone.now()
    _free_from_dead(now)
    with transaction.atomic():
        free = Job.every.claimable(now).filter(kind__in=kinds)
        if connection.features.has_select_for_update_skip_locked:
            free = free.select_for_update(skip_locked=True, of=("self",))
        job = free.first()
        if job is None:
            return None
        taken = (
            Job.every.claimable(now)
            .filter(pk=job.pk)
            .update(
                status=Job.Status.RUNNING,
                leased_by=holder,
                lease_until=now + dt.timedelta(seconds=lease_s),
                attempts=job.attempts + 1,
            )
        )
        if not taken:
            return None
    job.refresh_from_db()
    return job


def _free_from_dead(now: dt.datetime) -> None:
    """End the leases of processes of this machine that are gone: what they held is older than what waits behind it, and
    must not wait until whoever came in their place is through with that."""
    held = Job.every.filter(status=Job.Status.RUNNING, lease_until__gte=now)
    for key, holder in held.values_list("pk", "leased_by"):
        if is_dead(holder):
            held.filter(pk=key, leased_by=holder).update(lease_until=now - dt.timedelta(milliseconds=1))


def _run(job: Job, handler: Handler) -> None:
    try:
        handler(job)
    except RetryLater as later:
        _retry(job, later.after_s, str(later), attempts=job.attempts - 1, failures=job.failures)
    except GiveUp as reason:
        logger.warning("job given up", extra={"job": job.public_id, "kind": job.kind})
        _end(job, Job.Status.DEAD, error=str(reason))
    except Exception as problem:  # the last line of every task: the row must say what happened
        words = f"{type(problem).__name__}: {problem}"
        if is_outage(problem):  # no fault of the job's: only `MAX_DEATHS` counts it
            logger.warning("job put off", extra={"job": job.public_id, "kind": job.kind, "problem": words})
            _retry(job, min(RETRY_CAP_S, OUTAGE_S * job.attempts), words, attempts=job.attempts, failures=job.failures)
            return
        logger.exception("job failed", extra={"job": job.public_id, "kind": job.kind, "failure": job.failures + 1})
        if is_last_failure(job):
            _end(job, Job.Status.DEAD, error=words)
        else:
            after_s = min(RETRY_CAP_S, 2.0 ** (job.failures + 1))
            _retry(job, after_s, words, attempts=job.attempts, failures=job.failures + 1)
    else:
        _end(job, Job.Status.DONE)


def is_last_failure(job: Job) -> bool:
    """Whether a failure now is one too many: the job is given up."""
    return job.failures + 1 >= MAX_FAILURES


def is_outage(problem: BaseException) -> bool:
    """Whether it is the database that failed, and not what was asked of it: away, restarting, full, or in others' way."""
    if not isinstance(problem, (OperationalError, InterfaceError)):
        return False
    state = getattr(problem.__cause__, "sqlstate", None)  # SQLite has none, nor has a connection that broke off
    return state is None or (state.startswith(OUTAGE_STATES) and state != TIMED_OUT)


def _end(job: Job, status: Job.Status, error: str = "") -> None:
    _surely(
        lambda: Job.every.filter(pk=job.pk, leased_by=job.leased_by, status=Job.Status.RUNNING).update(
            status=status, ended_at=timezone.now(), lease_until=None, error=error
        )
    )


def _retry(job: Job, after_s: float, error: str, *, attempts: int, failures: int) -> None:
    _surely(
        lambda: Job.every.filter(pk=job.pk, leased_by=job.leased_by, status=Job.Status.RUNNING).update(
            status=Job.Status.QUEUED,
            run_at=timezone.now() + dt.timedelta(seconds=after_s),
            lease_until=None,
            leased_by="",
            attempts=attempts,
            failures=failures,
            error=error,
        )
    )


def _surely(write: Callable[[], object]) -> None:
    """Tell the row what happened, though the database was away for a while: what is not told would be done twice."""
    until = time.monotonic() + AWAY_S
    while True:
        try:
            write()
        except (OperationalError, InterfaceError):
            if connection.in_atomic_block or time.monotonic() > until:
                raise
            connection.close()
            time.sleep(AGAIN_S)
        else:
            return


class Renewing:
    """Renews a lease from a thread of its own while the body runs: calls `renew` every `every_s` seconds."""

    def __init__(self, renew: Callable[[], None], every_s: float, name: str) -> None:
        self._renew, self._every_s, self._name = renew, every_s, name
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease {name}", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _keep(self) -> None:
        try:
            while not self._over.wait(self._every_s):
                try:
                    self._renew()
                except Exception:  # a database away for a moment: the next round tries again, or the lease runs out
                    logger.warning("could not renew a lease", extra={"lease": self._name})
                    close_old_connections()
        finally:
            connection.close()


def _renewal(job: Job, lease_s: float) -> Callable[[], None]:
    def renew() -> None:
        until = timezone.now() + dt.timedelta(seconds=lease_s)
        Job.every.filter(pk=job.pk, leased_by=job.leased_by).update(lease_until=until)

    return renew
