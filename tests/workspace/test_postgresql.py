"""The pool of database connections, when the server was restarted or a connection was cut."""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import psycopg
import pytest
from django.db import DataError, OperationalError, ProgrammingError, connection, transaction

from chatbot import crossing, store
from conversations import services
from conversations.models import Conversation, Turn
from tests.environment import PRODUCTION
from tests.serving import database_url
from workspace import leases
from workspace.models import Job, Workspace
from workspace.postgresql.base import lives
from workspace.prepared import Rows, fetch_each, update

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


class Trips:
    """How often this thread has waited for the server."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.number, wait = 0, psycopg.Connection.wait

        def counted(here: Any, steps: Any, *args: Any, **options: Any) -> Any:
            return wait(here, self._counted(steps), *args, **options)

        monkeypatch.setattr(psycopg.Connection, "wait", counted)

    def _counted(self, steps: Any) -> Generator[Any, Any, Any]:
        try:
            waits = next(steps)
            self.number += 1
            while True:
                waits = steps.send((yield waits))
        except StopIteration as over:
            return over.value


def rename(workspace: Workspace, name: str) -> None:
    workspace.name = name
    update(workspace, ("name",))


def name_of(workspace: Workspace) -> str:
    return Workspace.objects.get(pk=workspace.pk).name


def undo(work: Callable[[], None]) -> None:
    """Do `work` in a transaction, or within a savepoint of one, that is rolled back."""

    def fail() -> None:
        with transaction.atomic():
            work()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()


class TestWhatWaitsForTheNextStatement:
    def test_goes_with_it_and_with_the_commit(self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        trips = Trips(monkeypatch)
        with transaction.atomic():
            rename(workspace, "100 % %s")
            assert trips.number == 0
            assert name_of(workspace) == "100 % %s"  # BEGIN, the change and the look at it
            assert trips.number == 1
            rename(workspace, "Southwind")
            rename(workspace, "Eastwind")
        assert trips.number == 2
        assert name_of(workspace) == "Eastwind"

    def test_outside_of_a_transaction_it_goes_at_once(self, workspace: Workspace) -> None:
        connection.close()
        rename(workspace, "Southwind")
        connection.close()
        assert name_of(workspace) == "Southwind"

    def test_a_transaction_without_a_statement_costs_nothing(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trips = Trips(monkeypatch)
        with transaction.atomic(), transaction.atomic(savepoint=False):
            pass
        assert trips.number == 0
        assert name_of(workspace) == "Northwind"

    @pytest.mark.parametrize("looked_at", [True, False])
    def test_is_gone_with_its_transaction(self, workspace: Workspace, looked_at: bool) -> None:
        def work() -> None:
            rename(workspace, "Southwind")
            if looked_at:
                assert name_of(workspace) == "Southwind"
                rename(workspace, "Eastwind")

        undo(work)
        assert name_of(workspace) == "Northwind"

    @pytest.mark.parametrize("name", ["Eastwind", "x" * 300])
    def test_is_gone_with_its_savepoint_and_what_was_before_stays(self, workspace: Workspace, name: str) -> None:
        with transaction.atomic():
            rename(workspace, "Southwind")
            undo(partial(rename, workspace, name))
        assert name_of(workspace) == "Southwind"

    def test_fails_with_the_next_one_and_nothing_of_the_transaction_stays(self, workspace: Workspace) -> None:
        def fail(*, look: bool) -> None:
            with transaction.atomic():
                rename(workspace, "Southwind")
                rename(workspace, "x" * 300)
                if look:
                    name_of(workspace)

        with pytest.raises(DataError):
            fail(look=True)
        with pytest.raises(DataError):
            fail(look=False)  # with the COMMIT
        assert name_of(workspace) == "Northwind"
        with transaction.atomic():
            with pytest.raises(DataError):
                fail(look=False)  # with the end of the savepoint
            rename(workspace, "Eastwind")
        assert name_of(workspace) == "Eastwind"

    def test_stays_a_transaction_where_the_first_statement_cannot_be_read(self, workspace: Workspace) -> None:
        def work() -> None:
            with connection.cursor() as cursor, pytest.raises(ProgrammingError):
                cursor.execute("SELEC 1")
            rename(workspace, "Southwind")
            assert name_of(workspace) == "Southwind"

        undo(work)
        assert name_of(workspace) == "Northwind"

    def test_is_seen_by_statements_that_go_another_way(self, workspace: Workspace) -> None:
        others = [Workspace(name="One"), Workspace(name="Two")]
        with transaction.atomic():
            rename(workspace, "Southwind")
            assert [row.name for row in Workspace.objects.filter(pk=workspace.pk).iterator()] == ["Southwind"]
            rename(workspace, "Eastwind")
            Workspace.objects.bulk_create(others)
            locked = Workspace.objects.filter(pk=workspace.pk).select_for_update().iterator()
            assert [row.name for row in locked] == ["Eastwind"]
            rename(workspace, "Westwind")
            with connection.cursor() as cursor:
                assert list(
                    cursor.cursor.stream("SELECT name FROM workspace_workspace WHERE id = %s", [workspace.pk])
                ) == [("Westwind",)]
                cursor.executemany("UPDATE workspace_workspace SET name = name || %s", [("!",), ("?",)])
        assert name_of(workspace) == "Westwind!?"

    def test_the_next_one_counts_its_own_rows(self, workspace: Workspace) -> None:
        rows = Workspace.objects.filter(pk=workspace.pk)
        with transaction.atomic():
            rename(workspace, "Southwind")
            assert rows.update(name="Eastwind") == 1
            rename(workspace, "Southwind")
            assert rows.filter(name="Eastwind").update(name="Westwind") == 0
            rename(workspace, "Northwind")
            assert rows.exists()
            rename(workspace, "Southwind")
            assert rows.delete()[0] == 1

    @pytest.mark.parametrize("bad", ["\x00", "\ud800"])
    def test_what_cannot_be_sent_is_told_at_once(self, workspace: Workspace, bad: str) -> None:
        def fail() -> None:
            with transaction.atomic():
                rename(workspace, "Southwind")
                rename(workspace, bad)
                pytest.fail("it was kept")

        with pytest.raises((DataError, ValueError)):
            fail()
        assert name_of(workspace) == "Northwind"

    def test_several_are_fetched_in_one_round_trip(self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        rows = Rows(lambda key: Workspace.objects.filter(pk=key), key=int)
        rows.all(key=0)
        trips = Trips(monkeypatch)
        with transaction.atomic():
            rename(workspace, "Southwind")
            found = fetch_each(rows.asked(key=workspace.pk), rows.asked(key=0), rows.asked(key=workspace.pk))
            assert trips.number == 1
        assert [[row.name for row in each] for each in found] == [["Southwind"], [], ["Southwind"]]

    def test_a_connection_that_died_takes_it_along_and_the_next_one_works(self, workspace: Workspace) -> None:
        here = backend()

        def fail() -> None:
            with transaction.atomic():
                rename(workspace, "Southwind")
                cut(here)

        with pytest.raises(OperationalError):
            fail()
        connection.close()
        with transaction.atomic():
            assert name_of(workspace) == "Northwind"


def test_a_question_is_stored_and_read_in_six_round_trips(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(number: int) -> Turn:
        say = partial(
            services.add_visitor_message, conversation_id=conversation.pk, text=f"{number}?", client_id=str(number)
        )
        added, loaded = store._add_and_load(say, True)
        assert loaded is not None
        assert added.turn is not None
        return added.turn

    def finish(turn: Turn) -> None:
        services.finish_turn(turn_id=turn.pk, result=services.TurnResult(Turn.Outcome.ANSWERED, "Seven days."))

    finish(ask(1))
    trips = Trips(monkeypatch)
    turn = ask(2)
    assert trips.number == 6
    trips.number = 0
    finish(turn)
    assert trips.number == 4
