import datetime as dt
import subprocess
import sys
import threading
import time

import psycopg
import pytest
from django.db import InterfaceError, OperationalError, ProgrammingError, connection, transaction
from django.utils import timezone

from workspace import leases
from workspace.holders import is_dead, new_holder
from workspace.leases import GiveUp, RetryLater
from workspace.models import Job, Workspace


def enqueue(workspace: Workspace, **fields) -> Job:
    return leases.enqueue(workspace=workspace, kind="test", payload={"n": 1}, **fields)


@pytest.mark.django_db
def test_a_job_runs_once_and_is_done(workspace: Workspace) -> None:
    job, ran = enqueue(workspace), []
    assert leases.run_next({"test": ran.append})
    assert not leases.run_next({"test": ran.append})
    job.refresh_from_db()
    assert [done.pk for done in ran] == [job.pk]
    assert job.status == Job.Status.DONE
    assert job.lease_until is None


@pytest.mark.django_db
def test_what_is_due_is_what_would_be_taken(workspace: Workspace) -> None:
    assert not leases.is_anything_due({"test"})
    enqueue(workspace, run_at=timezone.now() + dt.timedelta(hours=1))
    assert not leases.is_anything_due({"test"})
    enqueue(workspace)
    assert leases.is_anything_due({"test"})
    assert not leases.is_anything_due({"other"})


@pytest.mark.django_db
def test_the_same_key_is_one_job(workspace: Workspace) -> None:
    assert enqueue(workspace, key="a").pk == enqueue(workspace, key="a").pk
    assert enqueue(workspace, key="b").pk != enqueue(workspace, key="a").pk
    assert enqueue(workspace).pk != enqueue(workspace).pk


@pytest.mark.django_db(transaction=True)
def test_a_job_of_a_transaction_that_failed_does_not_exist_and_rings_nobody(workspace: Workspace) -> None:
    rings: list[int] = []

    @transaction.atomic
    def fail_after_enqueueing() -> None:
        enqueue(workspace)
        raise ZeroDivisionError

    leases.on_enqueue(bell := lambda: rings.append(1))
    try:
        with pytest.raises(ZeroDivisionError):
            fail_after_enqueueing()
        assert not Job.every.exists()
        assert not rings
        enqueue(workspace)
        assert rings
    finally:
        leases._bells.remove(bell)


@pytest.mark.django_db
def test_a_failing_job_is_tried_again_later_with_its_reason(workspace: Workspace) -> None:
    job = enqueue(workspace)

    def fail(_: Job) -> None:
        raise ValueError("no luck")

    assert leases.run_next({"test": fail})
    job.refresh_from_db()
    assert (job.status, job.attempts) == (Job.Status.QUEUED, 1)
    assert "no luck" in job.error
    assert job.run_at > timezone.now()
    assert not leases.run_next({"test": fail})


@pytest.mark.django_db
def test_a_job_that_keeps_failing_is_given_up_and_kept(workspace: Workspace) -> None:
    job = enqueue(workspace)

    def fail(_: Job) -> None:
        raise ValueError("no luck")

    for _ in range(leases.MAX_FAILURES):
        Job.every.update(run_at=timezone.now())
        assert leases.run_next({"test": fail})
    job.refresh_from_db()
    assert job.status == Job.Status.DEAD


@pytest.mark.django_db
def test_waiting_is_not_failing(workspace: Workspace) -> None:
    job = enqueue(workspace)

    def later(_: Job) -> None:
        raise RetryLater(0, "busy")

    for _ in range(leases.MAX_FAILURES + 3):
        assert leases.run_next({"test": later})
    job.refresh_from_db()
    assert (job.status, job.attempts) == (Job.Status.QUEUED, 0)


def outage(state: str | None) -> OperationalError:
    """As Django raises what psycopg says."""
    problem = OperationalError("terminating connection")
    problem.__cause__ = psycopg.OperationalError()
    problem.__cause__.sqlstate = state
    return problem


@pytest.mark.django_db
@pytest.mark.parametrize(
    "problem", [outage(None), outage("57P01"), outage("53300"), outage("40001"), InterfaceError("closed")]
)
def test_a_database_that_fails_is_no_failure_of_the_job(workspace: Workspace, problem: Exception) -> None:
    job = enqueue(workspace)

    def hit(_: Job) -> None:
        raise problem

    for times in range(1, leases.MAX_FAILURES + 3):
        Job.every.update(run_at=timezone.now())
        assert leases.run_next({"test": hit})
        job.refresh_from_db()
        assert (job.status, job.failures, job.attempts) == (Job.Status.QUEUED, 0, times)
        assert job.run_at > timezone.now()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "problem", [ProgrammingError("no such column"), outage("42P01"), outage("57014"), ConnectionError("not ours")]
)
def test_what_was_asked_of_it_is(workspace: Workspace, problem: Exception) -> None:
    job = enqueue(workspace)

    def fail(_: Job) -> None:
        raise problem

    assert leases.run_next({"test": fail})
    job.refresh_from_db()
    assert job.failures == 1


@pytest.mark.django_db
def test_an_outage_that_lasts_is_waited_for_longer_each_time(workspace: Workspace) -> None:
    job = enqueue(workspace)

    def hit(_: Job) -> None:
        raise outage(None)

    waits = []
    for _ in range(3):
        Job.every.update(run_at=timezone.now())
        assert leases.run_next({"test": hit})
        job.refresh_from_db()
        waits.append((job.run_at - timezone.now()).total_seconds())
    assert waits == pytest.approx([2, 4, 6], abs=1)


@pytest.mark.django_db
def test_who_has_to_know_is_told_of_a_job_that_was_given_up_unasked(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, told = enqueue(workspace), []
    monkeypatch.setitem(leases._mourners, "test", told.append)
    Job.every.filter(pk=job.pk).update(status="running", attempts=leases.MAX_DEATHS, lease_until=timezone.now())
    assert leases.run_next({"test": told.append})
    assert [each.pk for each in told] == [job.pk]
    job.refresh_from_db()
    assert job.status == Job.Status.DEAD


@pytest.mark.django_db
def test_deaths_of_workers_are_no_failures(workspace: Workspace) -> None:
    job = enqueue(workspace)
    Job.every.filter(pk=job.pk).update(status="running", attempts=leases.MAX_FAILURES + 5, lease_until=timezone.now())

    def fail(_: Job) -> None:
        raise ValueError("no luck")

    assert leases.run_next({"test": fail})
    job.refresh_from_db()
    assert (job.status, job.failures) == (Job.Status.QUEUED, 1)


@pytest.mark.django_db
def test_what_cannot_succeed_is_not_tried_again(workspace: Workspace) -> None:
    job = enqueue(workspace)

    def never(_: Job) -> None:
        raise GiveUp("blocked by the user")

    assert leases.run_next({"test": never})
    job.refresh_from_db()
    assert (job.status, job.error) == (Job.Status.DEAD, "blocked by the user")


@pytest.mark.django_db
def test_a_job_whose_worker_died_is_taken_again_when_its_lease_ends(workspace: Workspace) -> None:
    enqueue(workspace)
    assert leases._claim(["test"], "a worker that dies", 10.0)
    ran: list[Job] = []
    assert not leases.run_next({"test": ran.append})

    Job.every.update(lease_until=timezone.now() - dt.timedelta(seconds=1))
    assert leases.run_next({"test": ran.append})
    assert ran[0].attempts == 2


@pytest.mark.django_db(transaction=True)
def test_a_job_whose_process_is_gone_is_free_before_its_lease_ends(workspace: Workspace) -> None:
    here = new_holder().split(":")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        holder = f"{here[0]}:{other.pid}:{here[2]}"
        assert not is_dead(holder)
        job = enqueue(workspace)
        until = timezone.now() + dt.timedelta(minutes=5)
        Job.every.filter(pk=job.pk).update(status="running", attempts=1, leased_by=holder, lease_until=until)
        ran: list[Job] = []
        assert not leases.run_next({"test": ran.append})
        other.kill()
        until_dead = time.monotonic() + 5
        while not is_dead(holder) and time.monotonic() < until_dead:
            time.sleep(0.01)
        assert is_dead(holder)  # nobody has waited for it yet
        assert leases.run_next({"test": ran.append})
    assert is_dead(holder)
    assert [(each.pk, each.attempts) for each in ran] == [(job.pk, 2)]


@pytest.mark.parametrize(
    "holder",
    ["", "elsewhere:1:abc", "elsewhere:999999999:abc", f"{new_holder().split(':')[0]}:nobody:abc", new_holder()],
)
def test_only_a_process_of_this_machine_can_be_known_to_be_gone(holder: str) -> None:
    assert not is_dead(holder)


@pytest.mark.django_db
def test_a_job_that_kills_whoever_takes_it_is_given_up(workspace: Workspace) -> None:
    job, ran = enqueue(workspace), []
    for attempts, status in ((leases.MAX_DEATHS - 1, Job.Status.DONE), (leases.MAX_DEATHS, Job.Status.DEAD)):
        Job.every.filter(pk=job.pk).update(status="running", attempts=attempts, lease_until=timezone.now())
        assert leases.run_next({"test": ran.append})
        job.refresh_from_db()
        assert job.status == status
    assert len(ran) == 1


@pytest.mark.django_db
def test_a_worker_that_lost_its_lease_cannot_end_the_job(workspace: Workspace) -> None:
    job = enqueue(workspace)

    def slow(held: Job) -> None:
        Job.every.filter(pk=held.pk).update(leased_by="another")

    assert leases.run_next({"test": slow})
    job.refresh_from_db()
    assert job.status == Job.Status.RUNNING


@pytest.mark.django_db(transaction=True)
def test_the_lease_is_renewed_while_the_handler_runs(workspace: Workspace) -> None:
    enqueue(workspace)
    taken_by_other = []

    def slow(_: Job) -> None:
        time.sleep(1.2)
        taken_by_other.append(leases._claim(["test"], "another", 10.0))

    assert leases.run_next({"test": slow}, lease_s=0.6)
    assert taken_by_other == [None]


@pytest.mark.django_db(transaction=True)
def test_workers_at_the_same_time_never_take_the_same_job(workspace: Workspace) -> None:
    for _ in range(40):
        enqueue(workspace)
    ran: list[int] = []

    def work() -> None:
        try:
            while leases.run_next({"test": lambda job: ran.append(job.pk)}):
                pass
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(ran) == 40
    assert len(set(ran)) == 40
