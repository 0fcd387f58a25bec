"""The pool of database connections, when the server was restarted or a connection was cut."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import OperationalError, connection

from chatbot import crossing
from tests.environment import PRODUCTION
from tests.serving import database_url
from workspace import leases
from workspace.models import Job, Workspace
from workspace.postgresql.base import lives

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not PRODUCTION, reason="needs BATON_TEST_STACK=production"),
]


def backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def cut(*backends: int) -> None:
    with psycopg.connect(database_url(), autocommit=True) as other:
        for each in backends:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [each])


def test_a_connection_that_died_in_the_pool_is_not_given_out() -> None:
    first = backend()
    connection.close()  # back into the pool
    cut(first)
    assert Workspace.objects.count() == 0
    assert backend() != first


def test_a_connection_that_dies_in_use_fails_and_the_next_one_works() -> None:
    cut(backend())
    with pytest.raises(OperationalError):
        Workspace.objects.count()
    connection.close()
    assert Workspace.objects.count() == 0


def test_a_job_whose_database_went_away_while_it_ran_is_done_once(workspace: Workspace) -> None:
    done = []

    def work(job: Job) -> None:
        done.append(job.pk)
        cut(backend())

    leases.enqueue(workspace=workspace, kind="test", payload={})
    assert leases.run_next({"test": work})
    assert not leases.run_next({"test": work})
    row = Job.objects.of(workspace).get()
    assert (row.status, row.attempts, len(done)) == (Job.Status.DONE, 1, 1)


def test_a_notice_from_the_server_does_not_cost_the_connection_and_its_end_does() -> None:
    with psycopg.connect(database_url(), autocommit=True) as line:
        line.execute("LISTEN news")
        with psycopg.connect(database_url(), autocommit=True) as other:
            other.execute("NOTIFY news")
        assert lives(line)
        cut(line.info.backend_pid)
        assert not lives(line)


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads
        threads.submit(lambda: connection.close()).result()


def across(thread: ThreadPoolExecutor) -> int:
    return thread.submit(crossing._tidy, backend).result()


def test_a_thread_that_crosses_keeps_its_connection(thread: ThreadPoolExecutor) -> None:
    assert across(thread) == across(thread)


def test_a_thread_whose_connection_was_cut_takes_another_unnoticed(thread: ThreadPoolExecutor) -> None:
    first = across(thread)
    cut(first)
    assert across(thread) != first


def test_a_connection_goes_back_after_its_time(thread: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    thread.submit(lambda: connection.close()).result()
    across(thread)
    pooled = thread.submit(lambda: connection.connection).result()
    monkeypatch.setattr(crossing, "KEPT_S", 0.0)
    kept = thread.submit(crossing._tidy, lambda: connection.connection).result()
    assert kept is None
    assert not pooled.closed


def test_a_connection_goes_back_after_a_failure(thread: ThreadPoolExecutor) -> None:
    def fail() -> None:
        backend()
        raise ValueError

    with pytest.raises(ValueError):
        thread.submit(crossing._tidy, fail).result()
    assert thread.submit(lambda: connection.connection).result() is None
