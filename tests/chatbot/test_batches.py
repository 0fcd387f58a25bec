"""Many requests, each paid for once: real rows, a real socket to the simulator, a real process that is killed."""

import contextlib
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from chatbot import batch_run, batches
from chatbot.batch_run import run_batch
from chatbot.batches import RUN_JOB, BadBatch, cancel, complete_many, progress_of, results, resume
from chatbot.llm import provider as provider_module
from chatbot.llm.errors import Failure
from chatbot.llm.provider import Completion
from chatbot.llm.request import ChatMessage, Image, Request, Tool
from chatbot.llm.simulator.app import Simulator
from chatbot.llm.simulator.faults import FAULTS
from chatbot.llm.simulator.wording import ChatWording, reply
from chatbot.models import Batch, BatchItem, Budget, ModelCall, Notice, Provider
from chatbot.tasks import HANDLERS
from tests.chatbot.test_tasks import celery_worker, eventually, only_with_celery
from tests.environment import PRODUCTION
from tests.serving import serving
from workspace import leases
from workspace.models import Job, Workspace

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-of-at-least-thirty-two-bytes"
PEAK = dt.datetime(2026, 11, 25, 2, tzinfo=dt.UTC)  # a Wednesday, ten in the morning in Beijing
SAID = "Simulated answer."


class Watched(Simulator):
    """Also knows how many answers were ever under way together."""

    most = port = 0

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "open":
            self.most = max(self.most, value)
        super().__setattr__(name, value)

    @property
    def asked(self) -> list[str]:
        """The last words of each single completion that was asked for, in order."""
        bodies = [seen.body for seen in self.seen if seen.path.endswith(("/completions", "/completion"))]
        return [body["messages"][-1]["content"] if "messages" in body else body["prompt"] for body in bodies]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_module, "RETRY_BASE_S", 0.01)
    monkeypatch.setattr(provider_module, "BATCH_POLL_S", 0.01)


class Door:
    """One server for all tests, behind which each puts a simulator of its own."""

    simulator: Watched
    port = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.simulator(scope, receive, send)

    def stands_before(self, simulator: Watched) -> Watched:
        simulator.port = self.port
        self.simulator = simulator
        return simulator


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    door = Door()
    with serving(door) as door.port:
        yield door


@pytest.fixture
def simulator(door: Door) -> Watched:
    return door.stands_before(Watched())


@pytest.fixture
def slow(door: Door) -> Watched:
    """Answers take about a tenth of a second."""
    return door.stands_before(Watched(first_s=0.1))


def account(workspace: Workspace, simulator: Watched, **fields: Any) -> Provider:
    chosen = {"name": "Main", "base_url": f"http://127.0.0.1:{simulator.port}", "secret": {"key": "sk-test"}, **fields}
    return Provider.objects.of(workspace).create(**chosen)


def gateway(workspace: Workspace, simulator: Watched, **fields: Any) -> Provider:
    secret = {"client_id": "app-1", "client_secret": SECRET}
    return account(workspace, simulator, dialect="gateway", secret=secret, **fields)


def asking(*texts: str) -> list[tuple[str, Request]]:
    return [(f"r{number}", Request((ChatMessage("user", text),))) for number, text in enumerate(texts)]


def many(count: int) -> list[tuple[str, Request]]:
    return asking(*(f"Question {number}" for number in range(count)))


def batch_of(workspace: Workspace, requests: list[tuple[str, Request]], **terms: Any) -> Batch:
    return complete_many(workspace=workspace, purpose="label", requests=requests, **{"off_peak": False, **terms})


def work(**options: Any) -> None:
    """Do what is due now, as a worker would."""
    while leases.run_next({RUN_JOB: partial(run_batch, **options)}):
        pass


def work_as_if_it_were_time(**options: Any) -> None:
    Job.every.filter(status=Job.Status.QUEUED).update(run_at=timezone.now())
    work(**options)


def job_of(batch: Batch) -> Job:
    return Job.objects.of(batch.workspace_id).get(kind=RUN_JOB, key=batch.public_id)


def waits_s(batch: Batch) -> float:
    return (job_of(batch).run_at - timezone.now()).total_seconds()


def states(batch: Batch) -> Counter[str]:
    return Counter(BatchItem.objects.of(batch.workspace_id).filter(batch=batch).values_list("status", flat=True))


def outcomes(batch: Batch) -> dict[str, str]:
    return {name: f"!{result.code}" if isinstance(result, Failure) else result.text for name, result in results(batch)}


def calls(workspace: Workspace) -> Any:
    return ModelCall.objects.of(workspace)


class TestTakingIn:
    def test_every_request_is_answered_and_the_batch_is_done(self, workspace: Workspace, simulator: Watched) -> None:
        account(workspace, simulator)
        batch = batch_of(workspace, many(5))
        work()
        batch.refresh_from_db()
        assert (batch.status, batch.ended_at is not None) == (Batch.Status.DONE, True)
        assert outcomes(batch) == {f"r{number}": SAID for number in range(5)}
        assert sorted(simulator.asked) == [f"Question {number}" for number in range(5)]
        (_, answer), *_ = results(batch)
        assert isinstance(answer, Completion)
        assert (answer.finish, answer.model) == ("stop", "deepseek-flash")
        assert answer.usage
        assert answer.usage.completion > 0
        job = job_of(batch)
        assert job.status == Job.Status.DONE
        assert {name: job.progress[name] for name in ("done", "failed", "of")} == {"done": 5, "failed": 0, "of": 5}
        assert HANDLERS[RUN_JOB] is run_batch

    def test_a_request_is_asked_as_it_was_given(self, workspace: Workspace, simulator: Watched) -> None:
        account(workspace, simulator)
        request = Request(
            (ChatMessage("system", "Be brief."), ChatMessage("user", "What is it?", (Image("image/png", b"\x89PNG"),))),
            purpose="overwritten", language="en", json=True, max_tokens=77, temperature=0.1, stop=("END",), user="b_1",
            prompt_version="7", about={"inbox": "ibx_x"},
        )  # fmt: skip
        batch = batch_of(workspace, [("only", request)])
        item = BatchItem.objects.of(workspace).get(batch=batch)
        read = batches.request_of(batch, item)
        assert (read.messages, read.stop, read.language) == (request.messages, ("END",), "en")
        assert (read.purpose, read.about) == ("label", {"inbox": "ibx_x", "item": "only"})
        work()
        body = simulator.seen[0].body
        assert (body["max_tokens"], body["temperature"], body["stop"]) == (77, 0.1, ["END"])
        assert body["response_format"] == {"type": "json_object"}
        assert calls(workspace).get().prompt_version == "7"

    def test_what_is_asked_and_answered_is_sealed(self, workspace: Workspace, simulator: Watched) -> None:
        account(workspace, simulator)
        batch_of(workspace, asking("Where is Li Lei's parcel?"))
        work()
        with connection.cursor() as cursor:
            cursor.execute("SELECT request, answer FROM chatbot_batchitem")
            request, answer = cursor.fetchone()
        assert "Li Lei" not in request
        assert "Simulated" not in answer

    @pytest.mark.parametrize(
        ("requests", "words"),
        [
            ([], "no requests"),
            ([*many(1), *many(1)], "same name: 'r0'"),
            ([("", many(1)[0][1])], "name has 1 to 120"),
            ([("x" * 121, many(1)[0][1])], "name has 1 to 120"),
            ([("a\x00b", many(1)[0][1])], "printable"),
            (asking("  "), "'r0': it asks nothing"),
            (asking("half \ud800 a character"), "surrogate"),
            ([("t", Request((ChatMessage("user", "x"),), tools=(Tool("f", "", {}),)))], "tools"),
        ],
    )
    def test_what_cannot_be_asked_is_refused_as_a_whole(
        self, workspace: Workspace, requests: list[tuple[str, Request]], words: str
    ) -> None:
        with pytest.raises(BadBatch, match=words):
            batch_of(workspace, requests)
        assert not Batch.objects.of(workspace).exists()
        assert not Job.objects.of(workspace).exists()

    @pytest.mark.parametrize("terms", [{"at_once": 0}, {"at_once": 1001}])
    def test_the_limit_is_a_limit(self, workspace: Workspace, terms: dict[str, int]) -> None:
        with pytest.raises(BadBatch, match="at the same time"):
            batch_of(workspace, many(1), **terms)

    def test_with_a_key_a_second_call_returns_the_first_batch(self, workspace: Workspace) -> None:
        first, second = batch_of(workspace, many(2), key="k"), batch_of(workspace, many(2), key="k")
        assert first == second
        assert BatchItem.objects.of(workspace).count() == 2
        cancel(first)
        assert batch_of(workspace, many(2), key="k") != first

    def test_a_batch_of_another_workspace_is_not_touched(self, workspace: Workspace, simulator: Watched) -> None:
        account(workspace, simulator)
        other = batch_of(Workspace.objects.create(name="theirs"), many(1))
        batch_of(workspace, many(1))
        work()
        assert states(other) == {"open": 1}
        assert len(simulator.asked) == 1


class TestLimits:
    def test_never_more_at_once_than_allowed(self, workspace: Workspace, slow: Watched) -> None:
        account(workspace, slow)
        batch = batch_of(workspace, many(15), at_once=3)
        work()
        assert states(batch) == {"done": 15}
        assert slow.most == 3

    def test_half_of_the_provider_s_places_stay_free_for_visitors(self, workspace: Workspace, slow: Watched) -> None:
        account(workspace, slow, max_streams=5)
        batch_of(workspace, many(8), at_once=100)
        work()
        assert slow.most == 2

    def test_a_provider_with_one_place_is_asked_all_the_same(self, workspace: Workspace, simulator: Watched) -> None:
        account(workspace, simulator, max_streams=1)
        batch = batch_of(workspace, many(3))
        work()
        assert states(batch) == {"done": 3}
        assert simulator.most == 1

    def test_batches_of_a_workspace_take_turns_so_that_the_limit_holds_for_all(
        self, workspace: Workspace, slow: Watched
    ) -> None:
        account(workspace, slow)
        first, second = batch_of(workspace, many(8), at_once=2), batch_of(workspace, many(8), at_once=2)

        def worker() -> None:
            try:
                work()
            finally:
                connection.close()

        threads = [threading.Thread(target=worker) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        work_as_if_it_were_time()
        assert states(first) == states(second) == {"done": 8}
        assert slow.most == 2
        assert len(slow.asked) == 16

    def test_a_long_batch_lets_other_work_have_its_turn(
        self, workspace: Workspace, slow: Watched, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(batch_run, "SLICE_S", 0.15)
        account(workspace, slow)
        batch = batch_of(workspace, many(6), at_once=1)
        assert leases.run_next({RUN_JOB: run_batch})
        job = job_of(batch)
        assert (job.status, job.progress["waits"]) == (Job.Status.QUEUED, "turn")
        assert job.run_at <= timezone.now()
        work()
        assert states(batch) == {"done": 6}
        assert len(slow.asked) == 6


class TestWaiting:
    def test_at_peak_nothing_is_asked_until_it_is_over(self, workspace: Workspace, simulator: Watched) -> None:
        account(workspace, simulator)
        batch = batch_of(workspace, many(3), off_peak=True)
        work(now=lambda: PEAK)
        assert simulator.asked == []
        assert waits_s(batch) == pytest.approx(2 * 3600, abs=5)
        job = job_of(batch)
        assert (job.progress["waits"], job.error) == ("peak", "off peak from 2026-11-25 04:00 UTC")
        work_as_if_it_were_time(now=lambda: PEAK + dt.timedelta(hours=2))
        assert states(batch) == {"done": 3}

    def test_the_owner_s_further_holidays_are_off_peak(self, workspace: Workspace, simulator: Watched) -> None:
        account(workspace, simulator, holidays=["2026-11-25"])
        batch = batch_of(workspace, many(1), off_peak=True)
        work(now=lambda: PEAK)
        assert states(batch) == {"done": 1}

    def test_a_batch_that_may_run_at_any_time_does(self, workspace: Workspace, simulator: Watched) -> None:
        account(workspace, simulator)
        batch = batch_of(workspace, many(1), off_peak=False)
        work(now=lambda: PEAK)
        assert states(batch) == {"done": 1}

    def test_a_run_ends_when_peak_begins(self, workspace: Workspace, simulator: Watched) -> None:
        account(workspace, simulator)
        batch = batch_of(workspace, many(20), off_peak=True, at_once=2)

        def now() -> dt.datetime:
            return PEAK - dt.timedelta(hours=2) if len(simulator.asked) < 6 else PEAK - dt.timedelta(hours=1)

        work(now=now)
        assert 6 <= states(batch)["done"] <= 8
        assert states(batch)["sent"] == 0
        assert waits_s(batch) == pytest.approx(3 * 3600, abs=5)
        work_as_if_it_were_time(now=lambda: PEAK + dt.timedelta(hours=2))
        assert states(batch) == {"done": 20}
        assert len(simulator.asked) == 20

    def test_a_spent_budget_is_left_to_visitors(self, workspace: Workspace, simulator: Watched) -> None:
        account(workspace, simulator)
        Budget.objects.of(workspace).create(amount=Decimal("0.0001"), currency="USD")
        batch = batch_of(workspace, many(20), at_once=1)
        work()
        done = states(batch)["done"]
        assert 0 < done < 20  # until it was spent
        job = job_of(batch)
        assert (job.progress["waits"], job.error) == ("budget", "the budget is spent")
        assert waits_s(batch) == pytest.approx(3600, abs=5)
        work_as_if_it_were_time()
        assert len(simulator.asked) == done
        Budget.objects.of(workspace).update(amount=100)
        work_as_if_it_were_time()
        assert states(batch) == {"done": 20}

    def test_without_a_provider_the_job_says_what_is_missing(self, workspace: Workspace, simulator: Watched) -> None:
        batch = batch_of(workspace, many(2))
        work()
        job = job_of(batch)
        assert (job.status, "add one in the admin" in job.error) == (Job.Status.DEAD, True)
        account(workspace, simulator)
        resume(batch, off_peak=False, at_once=1)
        work()
        assert states(batch) == {"done": 2}

    def test_a_provider_that_is_switched_off_is_named(self, workspace: Workspace, simulator: Watched) -> None:
        off = account(workspace, simulator, name="Old", active=False)
        account(workspace, simulator)
        batch = batch_of(workspace, many(1), provider=off)
        work()
        assert job_of(batch).error == "The provider Old is switched off."

    def test_the_batch_s_own_provider_is_asked(self, workspace: Workspace, simulator: Watched) -> None:
        account(workspace, simulator, position=1)
        second = account(workspace, simulator, name="Second", position=2)
        batch_of(workspace, many(1), provider=second)
        work()
        assert calls(workspace).get().provider == second

    def test_the_provider_of_the_environment_will_do(self, workspace: Workspace, simulator: Watched, settings) -> None:
        settings.DEEPSEEK_API_KEY, settings.DEEPSEEK_BASE_URL = "sk-test", f"http://127.0.0.1:{simulator.port}"
        batch = batch_of(workspace, many(1))
        work()
        assert states(batch) == {"done": 1}

    def test_a_cancelled_batch_asks_nothing_more_and_keeps_what_it_has(
        self, workspace: Workspace, slow: Watched
    ) -> None:
        account(workspace, slow)
        batch = batch_of(workspace, many(20), at_once=2)
        stopper = threading.Thread(
            target=lambda: (eventually(lambda: len(slow.asked) >= 4), cancel(batch), connection.close())
        )
        stopper.start()
        work()
        stopper.join()
        asked = len(slow.asked)
        assert 4 <= asked < 12
        assert states(batch) == {"done": asked, "open": 20 - asked}
        assert len(outcomes(batch)) == asked
        batch.refresh_from_db()
        assert (batch.status, job_of(batch).status) == (Batch.Status.CANCELLED, Job.Status.DONE)
        assert not cancel(batch)


class TestFailures:
    @pytest.mark.parametrize("fault", ["content_risk", "context_too_long", "bad_request"])
    def test_a_request_that_can_never_succeed_fails_alone(
        self, workspace: Workspace, simulator: Watched, fault: str
    ) -> None:
        account(workspace, simulator)
        batch = batch_of(workspace, asking("Good", f"!fault:{fault}"))
        work()
        assert outcomes(batch) == {"r0": SAID, "r1": f"!{fault}"}
        assert simulator.asked.count(f"!fault:{fault}") == 1
        batch.refresh_from_db()
        assert batch.status == Batch.Status.DONE

    def test_what_may_pass_is_tried_in_three_runs_each_later_than_the_one_before(
        self, workspace: Workspace, simulator: Watched
    ) -> None:
        account(workspace, simulator)
        batch = batch_of(workspace, asking("!fault:server", "Good"), at_once=1)
        waits = []
        for _ in range(2):
            work_as_if_it_were_time()
            waits.append(waits_s(batch))
            assert states(batch) == {"done": 1, "open": 1}
        assert waits == [pytest.approx(60, abs=5), pytest.approx(120, abs=5)]
        work_as_if_it_were_time()
        assert outcomes(batch) == {"r0": "!server", "r1": SAID}
        assert simulator.asked.count("!fault:server") == 3 * 3  # each time with the provider's own retries
        assert job_of(batch).status == Job.Status.DONE

    @pytest.mark.parametrize(("fault", "code"), [("auth", "auth"), ("quota", "quota")])
    def test_what_only_the_owner_can_mend_stops_the_run_and_costs_no_try(
        self, workspace: Workspace, simulator: Watched, fault: str, code: str
    ) -> None:
        account(workspace, simulator)
        batch = batch_of(workspace, many(10), at_once=2)
        simulator.scripts.extend(FAULTS[fault](ChatWording()) for _ in range(2))
        work()
        assert len(simulator.asked) <= 4  # none after the refusal but those under way
        job = job_of(batch)
        assert (job.progress["waits"], job.error) == ("owner", f"the provider refuses: {code}")
        assert waits_s(batch) == pytest.approx(1800, abs=5)
        assert Notice.objects.of(workspace).filter(kind=Notice.Kind.PROVIDER_FAILS).count() == 1
        simulator.scripts.clear()
        work_as_if_it_were_time()
        assert states(batch) == {"done": 10}

    def test_too_fast_is_no_fault_of_a_request(self, workspace: Workspace, simulator: Watched) -> None:
        account(workspace, simulator, total_s=1)
        batch = batch_of(workspace, many(4), at_once=1)
        simulator.scripts.append(FAULTS["rate_limited"](ChatWording()))
        work()
        assert BatchItem.objects.of(workspace).filter(tries=0, status="open").count() == 4
        assert waits_s(batch) > 50
        work_as_if_it_were_time()
        assert states(batch) == {"done": 4}

    def test_a_provider_that_is_ill_is_left_alone_and_fails_nobody(
        self, workspace: Workspace, simulator: Watched
    ) -> None:
        account(workspace, simulator)
        batch = batch_of(workspace, asking(*["!fault:server"] * 30), at_once=2)
        work()
        assert len(simulator.asked) <= 3 * 8
        assert states(batch) == {"open": 30}
        assert waits_s(batch) > 50

    def test_every_call_is_in_the_ledger_whole_or_not(self, workspace: Workspace, simulator: Watched) -> None:
        provider = account(workspace, simulator)
        batch = batch_of(workspace, asking("Good", "Good too", "!fault:content_risk"))
        work()
        rows = list(calls(workspace))
        assert Counter(row.failure for row in rows) == {"": 2, "content_risk": 1}
        assert {(row.purpose, row.provider) for row in rows} == {("label", provider)}
        used = [result.usage for _, result in results(batch) if isinstance(result, Completion) and result.usage]
        assert sum(row.output_tokens for row in rows) == sum(usage.completion for usage in used)
        assert all(row.cost > 0 for row in rows if not row.failure)


class TestResuming:
    def test_a_killed_worker_s_batch_goes_on_and_nothing_done_is_asked_again(
        self, workspace: Workspace, slow: Watched
    ) -> None:
        account(workspace, slow)
        batch = batch_of(workspace, many(40), at_once=4)
        with worker_process() as worker:
            eventually(lambda: states(batch)["done"] >= 12)
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait(10)
        kept = set(BatchItem.objects.of(workspace).filter(status="done").values_list("name", flat=True))
        lost = states(batch)["sent"]
        before = len(slow.asked)
        assert 12 <= len(kept) < 40
        assert lost <= 4

        Job.every.update(lease_until=timezone.now() - dt.timedelta(seconds=1))
        work()
        assert states(batch) == {"done": 40}
        assert len(slow.asked) <= 40 + 4
        again = {f"r{text.removeprefix('Question ')}" for text in list(slow.asked)[before:]}
        assert not again & kept
        assert calls(workspace).filter(failure="").count() == 40
        assert calls(workspace).filter(failure="lost", estimated=True).count() == lost

    def test_what_was_lost_is_asked_again_once(self, workspace: Workspace, simulator: Watched) -> None:
        account(workspace, simulator)
        batch = batch_of(workspace, many(2), at_once=2)
        items = BatchItem.objects.of(workspace).filter(batch=batch)
        for died in (1, 2):
            items.filter(name="r0").update(status="sent", sent_at=timezone.now(), tries=1)
            work_as_if_it_were_time()
            if died == 1:
                assert states(batch) == {"done": 2}
                items.filter(name="r0").update(status="sent", ended_at=None)
                Batch.objects.of(workspace).update(status="waiting", ended_at=None)
                Job.objects.of(workspace).update(status="queued", ended_at=None)
        assert outcomes(batch) == {"r0": "!lost", "r1": SAID}
        assert simulator.asked.count("Question 0") == 1

    def test_a_worker_that_lost_its_lease_asks_no_more_but_keeps_its_answers(
        self, workspace: Workspace, slow: Watched
    ) -> None:
        account(workspace, slow)
        batch = batch_of(workspace, many(20), at_once=2)

        def steal() -> None:
            eventually(lambda: len(slow.asked) >= 4)
            Job.every.update(leased_by="another", lease_until=timezone.now() + dt.timedelta(minutes=1))
            connection.close()

        thief = threading.Thread(target=steal)
        thief.start()
        leases.run_next({RUN_JOB: run_batch})
        thief.join()
        asked = len(slow.asked)
        assert asked < 12
        assert states(batch) == {"done": asked, "open": 20 - asked}

    def test_an_answer_that_comes_late_does_not_replace_the_first(
        self, workspace: Workspace, simulator: Watched
    ) -> None:
        account(workspace, simulator)
        batch = batch_of(workspace, many(1))
        item = BatchItem.objects.of(workspace).get()
        work()
        batches.keep(batch, [(item, Completion("late", "stop", "m"))], [])
        batches.fail(batch, item, Failure("server"), None)
        assert outcomes(batch) == {"r0": SAID}

    def test_deaths_in_a_row_count_not_those_in_a_long_life(self, workspace: Workspace, simulator: Watched) -> None:
        account(workspace, simulator)
        batch = batch_of(workspace, asking("Good", "!fault:server"))
        Job.every.update(attempts=5)
        work()
        assert job_of(batch).attempts == 5
        work_as_if_it_were_time()
        assert job_of(batch).attempts == 0

    @only_with_celery
    def test_celery_does_it(self, workspace: Workspace, slow: Watched, tmp_path: Path) -> None:
        from chatbot import tasks

        before = list(leases._bells)
        tasks.connect_bells()
        account(workspace, slow)
        try:
            with celery_worker(tmp_path):
                batch = batch_of(workspace, many(10), at_once=5)
                eventually(lambda: job_of(batch).status == Job.Status.DONE)
        finally:
            leases._bells[:] = before
        assert states(batch) == {"done": 10}
        assert slow.most == 5


class TestGateway:
    def test_many_go_in_one_call_and_each_is_in_the_ledger(
        self, workspace: Workspace, simulator: Watched, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(batch_run, "CHUNK", 4)
        provider = gateway(workspace, simulator)
        batch = batch_of(workspace, many(10))
        work()
        assert states(batch) == {"done": 10}
        assert [len(seen.body["requests"]) for seen in simulator.seen] == [4, 4, 2]
        rows = list(calls(workspace))
        assert len(rows) == 10
        assert {(row.provider, row.purpose, row.finish, row.failure) for row in rows} == {
            (provider, "label", "stop", "")
        }
        assert all(row.output_tokens and row.missed_tokens and not row.estimated for row in rows)

    def test_what_fails_or_is_missing_in_it_is_asked_alone(self, workspace: Workspace, simulator: Watched) -> None:
        gateway(workspace, simulator)
        batched = simulator._batched
        simulator._batched = lambda row: {} if row["custom_id"] == "r2" else batched(row)  # type: ignore[method-assign]
        batch = batch_of(workspace, asking("Good", "!fault:bad_request", "Good too"))
        work()
        assert outcomes(batch) == {"r0": SAID, "r1": "!bad_request", "r2": SAID}
        assert [seen.path for seen in simulator.seen] == ["/v1/batch", "/v1/text/completion", "/v1/text/completion"]
        assert Counter(calls(workspace).values_list("failure", flat=True)) == {"": 2, "bad_request": 2, "malformed": 1}

    def test_where_it_is_not_offered_each_is_asked_alone(self, workspace: Workspace, door: Door) -> None:
        plain = door.stands_before(Watched(offers=frozenset()))
        gateway(workspace, plain)
        batch = batch_of(workspace, many(6), at_once=2)
        work()
        assert states(batch) == {"done": 6}
        assert Counter(seen.path for seen in plain.seen) == {"/v1/batch": 1, "/v1/text/completion": 6}
        assert calls(workspace).count() == 6

    def test_a_gateway_that_takes_its_time_is_asked_for_the_results(
        self, workspace: Workspace, simulator: Watched
    ) -> None:
        gateway(workspace, simulator)
        choose, looks = simulator._choose, []

        def choose_later(path: str, headers: Any, body: Any) -> Any:
            if path == "/v1/batch":
                return reply({"id": "b/1"}, 202)
            if path.startswith("/v1/batch/"):
                looks.append(path)
                if len(looks) < 3:
                    return reply({"id": "b/1", "status": "running"}, 200 if len(looks) < 2 else 503)
                return choose("/v1/batch", headers, simulator.seen[0].body)
            return choose(path, headers, body)

        simulator._choose = choose_later  # type: ignore[method-assign]
        batch = batch_of(workspace, many(3))
        work()
        assert states(batch) == {"done": 3}
        assert looks == ["/v1/batch/b/1"] * 3
        assert simulator.asked == []

    def test_a_call_that_fails_as_a_whole_is_not_made_again_in_the_run(
        self, workspace: Workspace, simulator: Watched, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(batch_run, "CHUNK", 2)
        gateway(workspace, simulator)
        choose = simulator._choose
        simulator._choose = lambda path, headers, body: (  # type: ignore[method-assign]
            reply({"error": "overloaded"}, 503) if path == "/v1/batch" else choose(path, headers, body)
        )
        batch = batch_of(workspace, many(4))
        work()
        assert states(batch) == {"done": 4}
        assert Counter(seen.path for seen in simulator.seen) == {"/v1/batch": 1, "/v1/text/completion": 4}
        assert Counter(calls(workspace).values_list("failure", flat=True)) == {"": 4, "server": 2}

    def test_what_was_lost_with_a_call_of_many_is_asked_alone(self, workspace: Workspace, simulator: Watched) -> None:
        gateway(workspace, simulator)
        batch = batch_of(workspace, many(5))
        held = BatchItem.objects.of(workspace).filter(name__in=["r0", "r1"])
        held.update(status="sent", sent_at=timezone.now(), tries=1)
        work()
        assert states(batch) == {"done": 5}
        assert [len(seen.body["requests"]) for seen in simulator.seen if seen.path == "/v1/batch"] == [3]
        assert len(simulator.asked) == 2

    def test_a_gateway_without_credit_stops_the_run(self, workspace: Workspace, simulator: Watched) -> None:
        gateway(workspace, simulator)
        choose = simulator._choose
        simulator._choose = lambda path, headers, body: (  # type: ignore[method-assign]
            reply({"error": "no"}, 402) if path == "/v1/batch" else choose(path, headers, body)
        )
        batch = batch_of(workspace, many(4))
        work()
        assert len(simulator.seen) == 1
        assert BatchItem.objects.of(workspace).filter(status="open", tries=0).count() == 4
        assert job_of(batch).progress["waits"] == "owner"


class TestCommand:
    @pytest.fixture
    def run(self, tmp_path: Path, workspace: Workspace) -> Callable[..., str]:
        def run(*rows: Any, **options: Any) -> str:
            lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
            (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
            said = StringIO()
            call_command(
                "complete_many",
                str(tmp_path / "in.jsonl"),
                str(tmp_path / "out.jsonl"),
                purpose="label",
                no_progress=True,
                stdout=said,
                stderr=said,
                **options,
            )
            return said.getvalue()

        return run

    @staticmethod
    def written(tmp_path: Path) -> list[Any]:
        return [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]

    def test_lines_in_and_lines_out_in_their_order(
        self, workspace: Workspace, simulator: Watched, tmp_path: Path, run: Callable[..., str]
    ) -> None:
        account(workspace, simulator)
        said = run(
            {"id": "b", "system": "Be brief.", "prompt": "退货要多久？", "max_tokens": 50, "json": False},
            "",
            {"id": "a", "prompt": "How long?"},
        )
        assert "2 lines, 0 of them without an answer" in said
        first, second = self.written(tmp_path)
        assert (first["id"], second["id"]) == ("b", "a")
        assert (first["text"], first["finish"], first["model"]) == (SAID, "stop", "deepseek-flash")
        assert first["usage"]["completion"] > 0
        bodies = [seen.body for seen in simulator.seen]
        assert sorted(len(body["messages"]) for body in bodies) == [1, 2]
        assert calls(workspace).filter(purpose="label").count() == 2

    def test_the_same_lines_are_never_paid_for_twice_unless_that_is_wanted(
        self, workspace: Workspace, simulator: Watched, tmp_path: Path, run: Callable[..., str]
    ) -> None:
        account(workspace, simulator)
        row = {"id": "a", "prompt": "How long?"}
        run(row)
        (tmp_path / "out.jsonl").unlink()
        assert "Asked before" in run(row)
        assert [each["text"] for each in self.written(tmp_path)] == [SAID]
        assert len(simulator.asked) == 1
        run(row, fresh=True)
        assert len(simulator.asked) == 2
        run({"id": "a", "prompt": "How much?"})
        assert len(simulator.asked) == 3

    def test_a_call_that_broke_off_goes_on(
        self, workspace: Workspace, simulator: Watched, tmp_path: Path, run: Callable[..., str]
    ) -> None:
        account(workspace, simulator)
        rows = [{"id": f"q{number}", "prompt": f"Question {number}"} for number in range(6)]
        simulator.scripts.extend([FAULTS["quota"](ChatWording())])
        with pytest.raises(CommandError, match=r"the provider refuses: quota: \d of 6 are answered"):
            run(*rows, at_once=1)
        assert not (tmp_path / "out.jsonl").exists()
        simulator.scripts.clear()
        run(*rows, at_once=1)
        assert [row["id"] for row in self.written(tmp_path)] == [row["id"] for row in rows]
        assert len(simulator.asked) == 6 + 1

    def test_stopped_by_hand_it_loses_nothing_and_nobody_goes_on_until_it_is_called_again(
        self,
        workspace: Workspace,
        slow: Watched,
        tmp_path: Path,
        run: Callable[..., str],
        request: pytest.FixtureRequest,
    ) -> None:
        account(workspace, slow)
        handled = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
        request.addfinalizer(lambda: signal.signal(signal.SIGINT, handled))
        rows = [{"id": f"q{number}", "prompt": f"Question {number}"} for number in range(12)]
        pressing = threading.Thread(
            target=lambda: (eventually(lambda: len(slow.asked) >= 4), signal.raise_signal(signal.SIGINT))
        )
        pressing.start()
        with pytest.raises(CommandError, match="Stopped"):
            run(*rows, at_once=2)
        pressing.join()
        asked = len(slow.asked)
        work_as_if_it_were_time()
        assert asked == len(slow.asked) < 12
        run(*rows, at_once=2)
        assert len(slow.asked) == len(self.written(tmp_path)) == 12

    def test_each_wrong_line_is_named_and_nothing_is_asked(
        self, workspace: Workspace, simulator: Watched, tmp_path: Path, run: Callable[..., str]
    ) -> None:
        account(workspace, simulator)
        with pytest.raises(CommandError) as refused:
            run(
                {"id": "a", "prompt": "ok"}, "{not json", [1], {"id": 7, "prompt": "x"}, {"id": "a", "prompt": "x"},
                {"id": "b"}, {"id": "c", "prompt": "x", "max_tokens": -1}, {"id": "d", "prompt": "x", "promt": "y"},
                {"id": "e", "prompt": "x", "json": "yes"}, '{"id": "f", "prompt": "\\ud800"}', {"id": "g", "prompt": " "},
            )  # fmt: skip
        words = str(refused.value)
        for number, problem in [
            (2, "not JSON"), (3, "not an object"), (4, "id must"), (5, "the id 'a' is that of line 1 too"),
            (6, "prompt must"), (7, "max_tokens must"), (8, "unknown: promt"), (9, "json must"), (10, "surrogate"),
            (11, "prompt must"),
        ]:  # fmt: skip
            assert any(line.startswith(f"line {number}:") and problem in line for line in words.splitlines()), number
        assert not Batch.objects.of(workspace).exists()
        assert simulator.asked == []

    def test_a_failed_line_says_why_and_the_command_fails(
        self, workspace: Workspace, simulator: Watched, tmp_path: Path, run: Callable[..., str]
    ) -> None:
        account(workspace, simulator)
        with pytest.raises(CommandError, match="1 of 2 requests failed"):
            run({"id": "a", "prompt": "!fault:content_risk"}, {"id": "b", "prompt": "ok"})
        assert self.written(tmp_path)[0] == {"id": "a", "error": "content_risk"}

    def test_what_cannot_work_is_said_before_anything_is_paid_for(
        self, workspace: Workspace, simulator: Watched, tmp_path: Path, run: Callable[..., str]
    ) -> None:
        row = {"id": "a", "prompt": "x"}
        with pytest.raises(CommandError, match="no model provider"):
            run(row)
        account(workspace, simulator)
        with pytest.raises(CommandError, match="no provider 'nobody'"):
            run(row, provider="nobody")
        with pytest.raises(CommandError, match="at the same time"):
            run(row, at_once=0)
        with pytest.raises(CommandError, match="has no lines"):
            run("")
        (tmp_path / "out.jsonl").mkdir()
        with pytest.raises(CommandError, match="cannot be written"):
            run(row)
        assert simulator.asked == []


@contextlib.contextmanager
def worker_process() -> Iterator[subprocess.Popen[bytes]]:
    """A worker process of its own on the test's database."""
    name = connection.settings_dict["NAME"]
    url = f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{name}" if PRODUCTION else f"sqlite:///{name}"
    script = "import django; django.setup()\nfrom chatbot import tasks\nwhile True: tasks.work()"
    worker = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, start_new_session=True,
        env=os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "chatbot.settings"},
    )  # fmt: skip
    try:
        yield worker
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(10)


def test_progress_counts_what_is_there(workspace: Workspace) -> None:
    batch = batch_of(workspace, many(3))
    assert (progress_of(batch).of, progress_of(batch).left) == (3, 3)
