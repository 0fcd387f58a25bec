"""The job that asks a batch's requests: a few at a time, off peak, within the budgets, and never twice what is done."""

import asyncio
import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import InterfaceError, OperationalError
from django.utils import timezone

from chatbot import batches, ledger
from chatbot.batches import MAX_TRIES, RUN_JOB, AnotherRuns, NotOurs
from chatbot.crossing import cross
from chatbot.ledger import Account, Step
from chatbot.llm import errors
from chatbot.llm.errors import Failure, ModelCallFailed
from chatbot.llm.pricing import is_peak, off_peak_from
from chatbot.llm.profile import Dialect, Profile
from chatbot.llm.provider import Call, Completion, Provider
from chatbot.llm.request import Request
from chatbot.models import Batch, BatchItem
from chatbot.models import Provider as ProviderRow
from chatbot.turn.tokens import estimate_tokens
from chatbot.turn.values import Usage
from workspace import leases
from workspace.leases import GiveUp, Handler, RetryLater
from workspace.models import Job

CHUNK = 50  # requests in one call to a gateway that takes many
SLICE_S = 30.0  # then other work that is due has its turn
BEHIND_ANOTHER_S = 5.0
BUDGET_S = 3600.0
OWNER_S = 1800.0
PROVIDER_S, PROVIDER_CAP_S = 60.0, 3600.0
REPORT_EVERY_S = 0.5
KEEP_PAUSES_S = (0.2, 1.0, 3.0, 10.0)  # an answer that was paid for outlives a database that is away for a moment
_NOT_THE_REQUEST = {errors.RATE_LIMITED, errors.BUSY, errors.RESTING}


@dataclass(frozen=True)
class Pause:
    """Why a run ends before all is asked. `why`: ``peak``, ``budget``, ``owner``, ``provider``, ``turn`` (that of other
    work) or ``stopped``."""

    why: str
    after_s: float
    words: str


def run_batch(job: Job, *, now: Callable[[], dt.datetime] = timezone.now, over: threading.Event | None = None) -> None:
    """Handler of `batches.RUN_JOB`. Sets `job.progress`: done, failed, of, and what it waits for. `over` ends it early."""
    try:
        batch = batches.begin(job)
    except AnotherRuns:
        raise RetryLater(BEHIND_ANOTHER_S, "another batch of this workspace is running") from None
    if batch is None:
        return
    before, held = job.progress, batches.progress_of(batch)
    if held.done > int(before.get("began_with", 0)):
        batches.forget_deaths(job)
    counted = {"done": held.done, "failed": held.failed, "of": held.of}
    leases.report_progress(job, counted | {"began_with": held.done, "fruitless": before.get("fruitless", 0)})
    try:
        pause = _run(job, batch, now, over or threading.Event())
    finally:
        progress = batches.pause_or_end(batch)
    if not progress.left:
        pause = None
    elif pause is None:
        pause = Pause("provider", 0.0, "some requests failed and are tried again")
    moved = progress.done > held.done
    fruitless = int(before.get("fruitless", 0)) + 1 if pause and pause.why == "provider" and not moved else 0
    counted = {"done": progress.done, "failed": progress.failed, "of": progress.of}
    leases.report_progress(
        job, job.progress | counted | {"fruitless": fruitless} | ({"waits": pause.why} if pause else {})
    )
    if pause:
        longer = min(PROVIDER_CAP_S, PROVIDER_S * 2.0 ** min(fruitless, 10)) if pause.why == "provider" else 0.0
        raise RetryLater(max(pause.after_s, longer), pause.words)


def _run(job: Job, batch: Batch, now: Callable[[], dt.datetime], over: threading.Event) -> Pause | None:
    account = _account(batch)
    row = ProviderRow.objects.of(batch.workspace_id).filter(public_id=account.profile.id).first()
    holidays = frozenset(dt.date.fromisoformat(day) for day in row.holidays) if row else frozenset()
    watch = _Watch(batch, holidays, now, over)
    if not (pause := watch.reason() or watch.spent()):
        batches.take_back_lost(batch, account.profile)
        pause = asyncio.run(_Run(job, batch, account.profile, watch).work())
    return pause


def _account(batch: Batch) -> Account:
    """The batch's own provider, else the first of the workspace."""
    accounts = ledger.plan_of(batch.workspace_id).accounts
    if chosen := batch.provider:
        accounts = tuple(account for account in accounts if account.profile.id == chosen.public_id)
        if not accounts:
            raise GiveUp(f"The provider {chosen.name} is switched off.")
    if not accounts:
        raise GiveUp("There is no model provider: add one in the admin, or set DEEPSEEK_API_KEY.")
    return accounts[0]


class _Watch:
    """Says when a run must end."""

    def __init__(
        self,
        batch: Batch,
        holidays: frozenset[dt.date],
        now: Callable[[], dt.datetime],
        over: threading.Event,
    ) -> None:
        self._batch, self._holidays, self._now, self._over = batch, holidays, now, over
        self._until = time.monotonic() + SLICE_S

    def reason(self) -> Pause | None:
        now = self._now()
        if self._over.is_set():
            return Pause("stopped", 0.0, "stopped")
        if self._batch.off_peak and is_peak(now, self._holidays):
            until = off_peak_from(now, self._holidays)
            return Pause("peak", (until - now).total_seconds(), f"off peak from {until:%Y-%m-%d %H:%M} UTC")
        if time.monotonic() >= self._until:
            return Pause("turn", 0.0, "other work has its turn")
        return None

    def spent(self) -> Pause | None:
        """Crosses to the database."""
        if ledger.step_for(self._batch.workspace_id, at=self._now()) in {Step.EXTRACTIVE, Step.PERSON}:
            return Pause("budget", BUDGET_S, "the budget is spent")
        return None


class _Run:
    """One run of one batch on one event loop, with connections of its own: visitors' answers do not queue behind it."""

    def __init__(self, job: Job, batch: Batch, profile: Profile, watch: _Watch) -> None:
        self._job, self._batch, self._watch = job, batch, watch
        self._provider = Provider(profile, report=self._hear)
        self._calls: dict[str, Call] = {}
        self._pause: Pause | None = None
        self._reported_at = 0.0
        self._many = profile.dialect is Dialect.GATEWAY
        self.at_once = max(1, min(batch.at_once, profile.max_streams // 2))

    async def work(self) -> Pause | None:
        try:
            todo = await cross(batches.open_items, self._batch)
            await self._one_by_one(await self._in_chunks(todo))
        finally:
            await self._provider.aclose()
        return self._pause

    # --- one request a call ---
    async def _one_by_one(self, keys: Sequence[int]) -> None:
        """When one fails in a way of ours, the others still keep what they were answered."""
        todo = iter(keys)
        workers = (self._take_from(todo) for _ in range(self.at_once))
        for problem in await asyncio.gather(*workers, return_exceptions=True):
            if isinstance(problem, BaseException):
                raise problem

    async def _take_from(self, todo: Iterator[int]) -> None:
        for key in todo:
            for item in await self._send([key]):
                await self._ask(item)
                await self._report()
            if self._pause:
                return

    async def _ask(self, item: BatchItem) -> None:
        try:
            answer = await self._provider.complete(batches.request_of(self._batch, item))
        except ModelCallFailed as problem:
            await self._failed(item, problem)
        else:
            await _persistently(batches.keep, self._batch, [(item, answer)], [self._calls.pop(item.name)])

    async def _failed(self, item: BatchItem, problem: ModelCallFailed) -> None:
        call, failure = self._calls.pop(item.name, None), problem.failure
        calls = [call] if call else []
        ill = failure.outage and self._provider.breaker.state != "closed"
        if failure.owner or ill or failure in _NOT_THE_REQUEST:
            self._stop_for(failure, problem.retry_after_s)
            await _persistently(batches.give_back, self._batch, [item], counts=False, calls=calls)
        elif failure.retry and item.tries < MAX_TRIES:
            await _persistently(batches.give_back, self._batch, [item], counts=True, failure=failure, calls=calls)
        else:
            await _persistently(batches.fail, self._batch, item, failure, call)

    # --- many requests a call ---
    async def _in_chunks(self, todo: Sequence[tuple[int, bool]]) -> list[int]:
        """Where the gateway takes many requests in one call; returns what is to be asked one by one."""
        fresh = [key for key, alone in todo if not alone]  # what killed a worker must not take 49 others with it again
        while fresh and self._many and not self._pause:
            chunk, fresh = fresh[:CHUNK], fresh[CHUNK:]
            if items := await self._send(chunk):
                again = await self._ask_many(items)
                await self._report()
                await self._one_by_one(again)
        return [*fresh, *(key for key, alone in todo if alone)]

    async def _ask_many(self, items: Sequence[BatchItem]) -> list[int]:
        """One call. Returns the keys of what must be asked again, one by one."""
        requests = {item.name: batches.request_of(self._batch, item) for item in items}
        began = time.time()
        try:
            results = await self._provider.batch(list(requests.items()))
        except ModelCallFailed as problem:
            await self._failed_as_a_whole(items, problem, began, list(requests.values()))
            return [item.pk for item in items]
        if results is None:
            self._many = False
            await _persistently(batches.give_back, self._batch, items, counts=False)
            return [item.pk for item in items]
        found = [(item, results.get(item.name, errors.MALFORMED)) for item in items]
        calls = [self._call(requests[item.name], began, result) for item, result in found]
        answers = [(item, result) for item, result in found if isinstance(result, Completion)]
        await _persistently(batches.keep, self._batch, answers, calls)
        again = [(item, result) for item, result in found if isinstance(result, Failure)]
        for item, failure in again:
            await _persistently(batches.give_back, self._batch, [item], counts=True, failure=failure)
        return [item.pk for item, _ in again]

    async def _failed_as_a_whole(
        self, items: Sequence[BatchItem], problem: ModelCallFailed, began: float, requests: Sequence[Request]
    ) -> None:
        """Whether the gateway had done a part cannot be known: not again in this run, and each of these on its own."""
        failure = problem.failure
        outside = failure.owner or failure in _NOT_THE_REQUEST
        if outside:
            self._stop_for(failure, problem.retry_after_s)
        self._many = False
        await _persistently(
            batches.give_back,
            self._batch,
            items,
            counts=not outside,
            failure=None if outside else failure,
            calls=[self._call(request, began, failure) for request in requests],
        )

    def _call(self, request: Request, began: float, result: Completion | Failure) -> Call:
        """One request of a call of many, for the ledger: its own tokens, the time of the whole."""
        profile, ended = self._provider.profile, time.time()
        call = Call(
            profile.id,
            profile.name,
            profile.dialect,
            profile.model_for(request.language),
            request,
            started_at=began,
            ended_at=ended,
            tries=1,
            total_ms=(ended - began) * 1000,
        )
        if isinstance(result, Completion):
            prompt = sum(estimate_tokens(message.text) for message in request.messages)
            call.model, call.finish = result.model[:80], result.finish[:40]
            call.usage = result.usage or Usage(prompt, estimate_tokens(result.text), estimated=True)
        else:
            call.failure = result.code
        return call

    # --- both ---
    async def _send(self, keys: Sequence[int]) -> list[BatchItem]:
        """Items marked as under way; none once the run must end."""
        if self._pause is None:
            self._pause = self._watch.reason() or await cross(self._watch.spent)
        if self._pause:
            return []
        try:
            return await cross(batches.send, self._job, self._batch, keys)
        except NotOurs:
            self._pause = Pause("turn", 0.0, "cancelled, or another worker has it")
            return []

    def _stop_for(self, failure: Failure, retry_after_s: float | None) -> None:
        if failure.owner:
            self._pause = Pause("owner", OWNER_S, f"the provider refuses: {failure.code}")
        else:
            self._pause = self._pause or Pause("provider", retry_after_s or 0.0, f"the provider: {failure.code}")

    def _hear(self, call: Call) -> None:
        self._calls[call.request.about["item"]] = call

    async def _report(self) -> None:
        if time.monotonic() - self._reported_at >= REPORT_EVERY_S:
            self._reported_at = time.monotonic()
            await cross(_report, self._job, self._batch)


async def _persistently(write: Callable[..., None], *args: Any, **named: Any) -> None:
    for pause_s in KEEP_PAUSES_S:
        try:
            return await cross(write, *args, **named)
        except (OperationalError, InterfaceError):
            await asyncio.sleep(pause_s)
    return await cross(write, *args, **named)


def _report(job: Job, batch: Batch) -> None:
    progress = batches.progress_of(batch)
    leases.report_progress(job, job.progress | {"done": progress.done, "failed": progress.failed, "of": progress.of})


HANDLERS: dict[str, Handler] = {RUN_JOB: run_batch}
