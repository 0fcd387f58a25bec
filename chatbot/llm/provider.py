"""One provider, made dependable: a cap on its streams, retries before the first text, a breaker, and a record of each call."""

import asyncio
import json
import random
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol
from urllib.parse import quote

from chatbot.llm import errors
from chatbot.llm.breaker import Breaker
from chatbot.llm.chat import CompatibleChat, OfficialChat
from chatbot.llm.credentials import Credentials, credentials_of
from chatbot.llm.errors import Failure, ModelCallFailed
from chatbot.llm.gateway import GatewayText, moderation_of
from chatbot.llm.profile import Dialect, Profile
from chatbot.llm.reading import Reader, error_message, read_usage
from chatbot.llm.request import USER, ChatMessage, Request
from chatbot.llm.wire import Clock, Wire
from chatbot.turn.tokens import estimate_tokens
from chatbot.turn.values import Finished, ModelEvent, Reasoning, Started, Text, ToolCall, Usage

RETRY_BASE_S = 0.5
RETRY_CAP_S = 6.0
RETRY_AFTER_CAP_S = 15.0
MAX_RETRIES = 2
PROBE_AGAIN_S = 600.0
GATHER_FROM = 10  # answers at a time: below, each token is read as it comes
GATHER_S_AN_ANSWER, GATHER_MOST_S, GATHER_LEAST_S = 0.0025, 0.2, 0.05
HELD_MOST_S, PASS_S_AN_ANSWER = 0.25, 0.00033  # a token waits for the rest, and then for what is done before it
BATCH_POLL_S, BATCH_POLL_CAP_S = 0.5, 10.0
BATCH_PATIENCE = 5  # times the longest answer, for a batch that was taken in: asked again, it would be paid twice


class DialectOfProvider(Protocol):
    """How a request is put, and its answer read."""

    @property
    def path(self) -> str: ...

    def body(self, request: Request, profile: Profile) -> dict[str, Any]: ...

    def reader(self, request: Request, profile: Profile, content_type: str, trace: str) -> Reader: ...


DIALECTS: Mapping[Dialect, DialectOfProvider] = {
    Dialect.OFFICIAL: OfficialChat(),
    Dialect.COMPATIBLE: CompatibleChat(),
    Dialect.GATEWAY: GatewayText(),
}


@dataclass
class Call:
    """What is reported of a call, whole or not. Times in seconds since 1970 and in milliseconds; `tries` counts requests.

    `usage` sums up what all tries used; None: nothing reached the model. `failure` is a code of `chatbot.llm.errors`, or
    "stopped" when we closed the stream.
    """

    provider: str
    name: str
    dialect: str
    model: str
    request: Request
    started_at: float
    ended_at: float = 0.0
    tries: int = 0
    usage: Usage | None = None
    finish: str = ""
    failure: str = ""
    trace: str = ""
    first_ms: float | None = None
    total_ms: float = 0.0


@dataclass(frozen=True)
class Completion:
    """An answer as a whole."""

    text: str
    finish: str
    model: str
    usage: Usage | None = None
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True)
class Balance:
    """What is left of the account, by currency. `available`: calls can be paid."""

    available: bool
    amounts: Mapping[str, Decimal] = field(default_factory=dict)


class Provider:
    """One account at one provider. Share one instance a process and event loop; `aclose` it at the end.

    `report` hears of every call once it is over; it must return at once.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        report: Callable[[Call], None] = lambda _: None,
        breaker: Breaker | None = None,
        wire: Wire | None = None,
    ) -> None:
        self.profile = profile
        self.breaker = breaker or Breaker()
        self._report = report
        self._wire = wire or Wire(profile.max_streams, profile.ca)
        self._dialect = DIALECTS[profile.dialect]
        self._credentials: Credentials = credentials_of(profile)
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._not_offered: dict[str, float] = {}

    @property
    def busy(self) -> int:
        """Answers under way."""
        return self._under_way

    async def aclose(self) -> None:
        await self._wire.aclose()

    async def retire(self) -> None:
        """Close once the answers under way have ended."""
        try:
            await self._idle.wait()
        finally:
            await self.aclose()

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        """`Started`, then pieces, at most one `Usage`, then `Finished`. Raises `ModelCallFailed`.

        Closing the generator closes the connection at once. Retries happen only before the first text or tool call, with
        growing pauses, within the total time.
        """
        if self._under_way >= self.profile.max_streams:
            raise ModelCallFailed(errors.BUSY)
        if not self.breaker.allows():
            raise ModelCallFailed(errors.RESTING)
        profile = self.profile
        call = Call(
            profile.id, profile.name, profile.dialect, profile.model_for(request.language), request, time.time()
        )
        began = time.monotonic()
        told = False
        self._under_way += 1
        self._idle.clear()
        try:
            async with aclosing(self._persistently(request, call, began)) as events:
                async for event in events:
                    yield event
            self.breaker.succeeded()
            told = True
        except ModelCallFailed as problem:
            call.failure = problem.code
            if problem.failure.outage:
                self.breaker.failed()
                told = True
            raise
        except (GeneratorExit, asyncio.CancelledError):
            call.failure = "stopped"
            raise
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()
            if not told:
                self.breaker.undecided()
            call.ended_at, call.total_ms = time.time(), (time.monotonic() - began) * 1000
            self._report(call)

    async def complete(self, request: Request) -> Completion:
        """The whole answer at once. Raises `ModelCallFailed`."""
        said, finish, model, usage, calls = "", "", self.profile.model, None, []
        async with aclosing(self.stream(request)) as events:
            async for event in events:
                match event:
                    case Started(model=name):
                        model = name
                    case Text(text=text):
                        said += text
                    case ToolCall():
                        calls.append(event)
                    case Usage():
                        usage = event
                    case Finished(reason=reason):
                        finish = reason
        return Completion(said, finish, model, usage, tuple(calls))

    # --- what an owner asks ---
    async def models(self) -> list[str]:
        """Ids of the models this account may use. Raises `ModelCallFailed`."""
        answer = await self._ask("GET", self._path("models"))
        rows = answer.get("data")
        return (
            [str(row["id"]) for row in rows if isinstance(row, dict) and row.get("id")]
            if isinstance(rows, list)
            else []
        )

    async def balance(self) -> Balance | None:
        """What is left of the account; None where the provider does not say. Raises `ModelCallFailed`."""
        if self.profile.dialect is not Dialect.OFFICIAL:
            return None
        answer = await self._ask("GET", "user/balance")
        amounts: dict[str, Decimal] = {}
        for row in answer.get("balance_infos") or ():
            try:
                amounts[str(row["currency"])] = Decimal(str(row["total_balance"]))
            except (KeyError, TypeError, InvalidOperation):
                continue
        return Balance(bool(answer.get("is_available")), amounts)

    # --- what some gateways offer ---
    async def moderate(self, text: str, language: str, *, within_s: float = 1.5) -> tuple[str, ...] | None:
        """Categories that the gateway flags in a text; None: not offered, or not answered in time. Never raises."""
        if not self._may_offer("moderation"):
            return None
        try:
            answer = await self._ask("POST", self._path("moderation"), {"input": text, "language": language}, within_s)
            flagged, categories = moderation_of(answer)
        except ModelCallFailed as problem:
            self._learn("moderation", problem)
            return None
        return (categories or ("flagged",)) if flagged else ()

    async def batch(self, requests: Sequence[tuple[str, Request]]) -> dict[str, Completion | Failure] | None:
        """Many requests in one call, by the caller's own ids; None: the gateway does not offer it.

        Raises `ModelCallFailed` for a failure of the whole.
        """
        if not self._may_offer("batch"):
            return None
        bodies = [
            {
                "custom_id": name,
                "path": f"/{self._path(self._dialect.path)}",
                "body": self._dialect.body(request, self.profile) | {"stream": False},
            }
            for name, request in requests
        ]
        try:
            answer = await self._ask("POST", self._path("batch"), {"requests": bodies}, self.profile.total_s)
        except ModelCallFailed as problem:
            if self._learn("batch", problem):
                return None
            raise
        answer = await self._once_ready(answer)
        by_name = dict(requests)
        results: dict[str, Completion | Failure] = {}
        for row in answer.get("results") or ():
            if isinstance(row, dict) and (name := str(row.get("custom_id"))) in by_name:
                results[name] = self._batched(by_name[name], row)
        return results

    async def _once_ready(self, answer: dict[str, Any]) -> dict[str, Any]:
        """A gateway may take the requests in, and give an id under which to ask for the results. Raises `ModelCallFailed`."""
        give_up_at, pause_s = time.monotonic() + BATCH_PATIENCE * self.profile.total_s, BATCH_POLL_S
        found = answer
        while not isinstance(found.get("results"), list) and answer.get("id"):
            if found.get("error"):
                raise ModelCallFailed(errors.from_event(error_message(found)), "batch")
            if time.monotonic() + pause_s > give_up_at:
                raise ModelCallFailed(errors.TIMEOUT, "batch")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, BATCH_POLL_CAP_S)
            try:
                found = await self._ask("GET", f"{self._path('batch')}/{quote(str(answer['id']), safe='')}")
            except ModelCallFailed as problem:
                if not problem.failure.retry:
                    raise
        return found

    # --- inside ---
    async def _persistently(self, request: Request, call: Call, began: float) -> AsyncGenerator[ModelEvent, None]:
        give_up_at = began + self.profile.total_s
        renewed = False
        while True:
            call.tries += 1
            shown = False
            try:
                async with aclosing(self._once(request, call, began, give_up_at)) as events:
                    async for event in events:
                        shown = shown or isinstance(event, Text | ToolCall)
                        yield event
                return
            except ModelCallFailed as problem:
                if shown:
                    raise
                if problem.failure is errors.AUTH and not renewed and self._credentials.renew():
                    renewed = True
                    continue
                if problem.failure is errors.EMPTY:
                    request = _asked_otherwise(request)
                pause = _pause(call.tries - 1, problem)
                if not problem.failure.retry or call.tries > MAX_RETRIES or time.monotonic() + pause >= give_up_at:
                    raise
            await asyncio.sleep(pause)

    async def _once(
        self, request: Request, call: Call, began: float, give_up_at: float
    ) -> AsyncGenerator[ModelEvent, None]:
        clock = Clock(min(time.monotonic() + self.profile.first_token_s, give_up_at), give_up_at)
        body = self._dialect.body(request, self.profile)
        url = self.profile.url(self._path(self._dialect.path))
        said: list[str] = []
        reader: Reader | None = None
        counted, progress = False, 0
        try:
            async with self._wire.post(url, body, self._headers("text/event-stream"), clock) as reply:
                call.trace = reply.trace
                reader = self._dialect.reader(request, self.profile, reply.content_type, reply.trace)
                async with aclosing(reply.pieces(clock, lambda: self._pause_s() if progress else 0.0)) as pieces:
                    async for piece in pieces:
                        for event in _together(reader.feed(piece)):
                            if isinstance(event, Text) and call.first_ms is None:
                                call.first_ms = (time.monotonic() - began) * 1000
                            if isinstance(event, Text | Reasoning):
                                said.append(event.text)
                            elif isinstance(event, Started):
                                call.model = event.model
                            yield event
                        if reader.answer.progress != progress:
                            progress = reader.answer.progress
                            clock.alive(self.profile.idle_s)
                        if reader.done or reader.answer.is_full:
                            break
                for event in reader.end():
                    if isinstance(event, Finished):
                        call.finish = event.reason
                        usage = reader.answer.usage or _estimate(request, said)
                        call.usage, counted = _sum(call.usage, usage), True
                        yield usage
                    yield event
        finally:
            if reader and not counted:  # broken off: what it cost is known or estimated all the same
                call.usage = _sum(call.usage, reader.answer.usage or _estimate(request, said))

    def _pause_s(self) -> float:
        """How long a stream that has begun gathers between reads: waking for each token costs more than what is done with it."""
        answers = self._under_way
        if answers < GATHER_FROM:
            return 0.0
        room_s = max(GATHER_LEAST_S, HELD_MOST_S - answers * PASS_S_AN_ANSWER)
        return min(GATHER_MOST_S, answers * GATHER_S_AN_ANSWER, room_s)

    def _batched(self, request: Request, row: Mapping[str, Any]) -> Completion | Failure:
        body, status = row.get("body"), row.get("status")
        if status is not None and status != 200:
            code = status if isinstance(status, int) else 500
            return errors.from_status(code, error_message(body) if isinstance(body, dict) else "")
        if not isinstance(body, dict):
            return errors.MALFORMED
        reader = self._dialect.reader(request, self.profile, "application/json", "")
        try:
            events = [*reader.feed(json.dumps(body).encode()), *reader.end()]
        except ModelCallFailed as problem:
            return problem.failure
        finish = next((event.reason for event in events if isinstance(event, Finished)), "stop")
        usage = read_usage(body["usage"]) if isinstance(body.get("usage"), dict) else None
        text = "".join(event.text for event in events if isinstance(event, Text))
        return Completion(text, finish, str(body.get("model") or self.profile.model), usage)

    async def _ask(self, method: str, path: str, body: Any = None, within_s: float = 10.0) -> dict[str, Any]:
        """A small call; a 401 is met with a new token, once."""
        for last in (False, True):
            try:
                _, answer = await self._wire.ask(
                    method, self.profile.url(path), self._headers("application/json"), body=body, within_s=within_s
                )
                return answer
            except ModelCallFailed as problem:
                if last or problem.failure is not errors.AUTH or not self._credentials.renew():
                    raise
        raise AssertionError("unreachable")

    def _path(self, name: str) -> str:
        """A gateway's paths carry its version, unless its address does already."""
        version = self.profile.api_version
        if self.profile.dialect is not Dialect.GATEWAY or self.profile.base_url.rstrip("/").endswith(f"/{version}"):
            return name
        return f"{version}/{name}"

    def _headers(self, accept: str) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": accept}
        if bearer := self._credentials.bearer():
            headers["Authorization"] = f"Bearer {bearer}"
        return headers

    def _may_offer(self, capability: str) -> bool:
        return (
            self.profile.dialect is Dialect.GATEWAY
            and time.monotonic() - self._not_offered.get(capability, -PROBE_AGAIN_S) >= PROBE_AGAIN_S
        )

    def _learn(self, capability: str, problem: ModelCallFailed) -> bool:
        """A path that does not exist is not asked for again for a while."""
        missing = problem.detail in {"HTTP 403", "HTTP 404", "HTTP 405", "HTTP 501"}
        if missing:
            self._not_offered[capability] = time.monotonic()
        return missing


def _together(events: Iterable[ModelEvent]) -> Iterator[ModelEvent]:
    """Texts that follow each other as one. Raises what `events` raises, after the text before it."""
    said: list[str] = []
    failure: ModelCallFailed | None = None
    try:
        for event in events:
            if isinstance(event, Text):
                said.append(event.text)
                continue
            if said:
                yield Text("".join(said))
                said.clear()
            yield event
    except ModelCallFailed as problem:
        failure = problem
    if said:
        yield Text("".join(said))
    if failure:
        raise failure


def _pause(attempt: int, problem: ModelCallFailed) -> float:
    """How long to wait before the next try: what the provider asked for, or growing, with full jitter."""
    asked = problem.retry_after_s
    if asked is not None:
        return asked if asked <= RETRY_AFTER_CAP_S else float("inf")
    return random.uniform(0, min(RETRY_CAP_S, RETRY_BASE_S * 2**attempt))  # jitter, not a secret


def _asked_otherwise(request: Request) -> Request:
    """After an empty answer: thinking had used up the budget, or JSON mode needs to be told more clearly."""
    if request.json:
        more = ChatMessage(USER, "Begin the JSON object now.")
        return replace(request, thinking=False, messages=(*request.messages, more))
    return replace(request, thinking=False)


def _estimate(request: Request, said: Sequence[str]) -> Usage:
    prompt = sum(estimate_tokens(message.text) + 1024 * len(message.images) for message in request.messages)
    return Usage(prompt, estimate_tokens("".join(said)), estimated=True)


def _sum(before: Usage | None, more: Usage) -> Usage:
    if before is None:
        return more
    return Usage(
        before.prompt + more.prompt,
        before.completion + more.completion,
        before.cached + more.cached,
        before.reasoning + more.reasoning,
        before.estimated or more.estimated,
    )
