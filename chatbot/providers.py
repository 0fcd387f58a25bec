"""The providers of this process: what the ledger says is set up, connected once an event loop, each call written down."""

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

from django.conf import settings

from chatbot import ledger
from chatbot.crossing import cross
from chatbot.ledger import Account, Plan, Step
from chatbot.llm import errors
from chatbot.llm.breaker import Breaker
from chatbot.llm.errors import ModelCallFailed
from chatbot.llm.profile import Dialect, Profile
from chatbot.llm.provider import Call, Provider
from chatbot.llm.request import Request, request_for
from chatbot.turn.budget import least_tokens
from chatbot.turn.prompt import shorten
from chatbot.turn.values import ModelEvent, Prompt, Question, Text

logger = logging.getLogger(__name__)

WRITE_EVERY_S = 1.0  # a busy process writes its calls so often, all at once; a call after a pause is written at once
PLAN_S = 3.0  # how late a change in the admin may take effect
SHORTER_SOURCES, SHORTER_HISTORY, SHORTER_EARLIER, SHORTER_ANSWER = 2, 2, 8, 0.5


@dataclass
class _Loop:
    """What one event loop has open."""

    providers: dict[str, Provider] = field(default_factory=dict)
    retiring: set[asyncio.Task[None]] = field(default_factory=set)
    calls: list[tuple[int, Call]] = field(default_factory=list)
    writing: asyncio.Task[None] | None = None
    written_at: float = 0.0
    hurry: asyncio.Event = field(default_factory=asyncio.Event)


_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = WeakKeyDictionary()
_breakers: dict[str, Breaker] = {}
_plans: dict[int, tuple[float, Plan]] = {}


async def plan_of(workspace: int) -> Plan:
    """See `chatbot.ledger.plan_of`; remembered for `PLAN_S`."""
    held = _plans.get(workspace)
    if held is None or time.monotonic() - held[0] > PLAN_S:
        held = _plans[workspace] = (time.monotonic(), await cross(ledger.plan_of, workspace))
    return held[1]


def forget_plans() -> None:
    """The next question reads the providers anew."""
    _plans.clear()


async def step_for(question: Question) -> Step:
    """The rung of the budgets' ladder for an answer; without a budget nothing is asked."""
    if not (await plan_of(question.inbox.workspace)).budgets:
        return Step.FULL
    await written()
    return await cross(ledger.step_for, question.inbox.workspace, inbox=question.inbox.id, contact=question.contact)


async def moderate(workspace: int, text: str, language: str) -> tuple[str, ...]:
    """What the first gateway that offers moderation flags in a text; nothing where there is none, or it does not answer."""
    for account in (await plan_of(workspace)).accounts:
        if account.profile.dialect is Dialect.GATEWAY:
            found = await provider_for(workspace, account.profile).moderate(text, language)
            if found is not None:
                return found
    return ()


def provider_for(workspace: int, profile: Profile) -> Provider:
    """The running event loop's connection to a provider; a changed profile gets a new one, the old one ends its answers."""
    here = _here()
    key = f"{workspace}:{profile.id}"
    provider = here.providers.get(key)
    if provider is not None and provider.profile == profile:
        return provider
    if provider is not None:
        task = asyncio.create_task(provider.retire())
        here.retiring.add(task)
        task.add_done_callback(here.retiring.discard)
    breaker = _breakers.setdefault(key, Breaker())
    provider = here.providers[key] = Provider(profile, report=_recorder(workspace), breaker=breaker)
    return provider


class Generated:
    """One provider as a model of the turn (see `chatbot.turn.seams.Model`)."""

    def __init__(self, account: Account, question: Question, step: Step) -> None:
        self._account, self._question, self._step = account, question, step

    async def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        profile = self._account.profile
        provider = provider_for(self._question.inbox.workspace, profile)
        room, said_something = profile.prompt_room, False
        try:
            async with aclosing(provider.stream(self._request(prompt, room))) as events:
                async for event in events:
                    said_something = said_something or isinstance(event, Text)
                    yield event
            return
        except ModelCallFailed as problem:
            if problem.failure is not errors.CONTEXT_TOO_LONG or said_something:
                raise
        async with aclosing(provider.stream(self._request(prompt, max(room // 4, least_tokens(prompt))))) as events:
            async for event in events:
                yield event

    def _request(self, prompt: Prompt, room: int) -> Request:
        question, max_tokens = self._question, 0
        if self._step is Step.SHORTER:
            prompt = shorten(prompt, sources=SHORTER_SOURCES, history=SHORTER_HISTORY, earlier=SHORTER_EARLIER)
            max_tokens = max(16, int(self._account.profile.max_tokens * SHORTER_ANSWER))
        request = request_for(prompt, room=room, about=about(question))
        return replace(request, user=user_id(self._account.user_ids, question), max_tokens=max_tokens)


def about(question: Question) -> dict[str, str]:
    """What a call for a question is about; see `chatbot.llm.request.Request`."""
    named = {
        "inbox": question.inbox.id,
        "conversation": question.conversation,
        "contact": question.contact,
        "turn": question.turn,
    }
    return {name: value for name, value in named.items() if value}


def user_id(policy: str, question: Question) -> str:
    """Who asks, as the provider may know it: a keyed hash of letters and digits, or nothing."""
    who = {"inbox": question.inbox.id, "visitor": question.contact or question.conversation}.get(policy, "")
    if not who:
        return ""
    message = f"{question.inbox.workspace}:{who}".encode()
    return "b_" + hmac.new(settings.SECRET_KEY.encode(), message, hashlib.sha256).hexdigest()[:32]


# --- the record of calls -----------------------------------------------------------------------------------------------
def _recorder(workspace: int) -> Callable[[Call], None]:
    """Calls that end together are written together, off the event loop."""

    def report(call: Call) -> None:
        here = _here()
        here.calls.append((workspace, call))
        if here.writing is None or here.writing.done():
            here.writing = asyncio.create_task(_write(here))

    return report


async def _write(here: _Loop) -> None:
    while here.calls:
        with suppress(TimeoutError):
            await asyncio.wait_for(here.hurry.wait(), here.written_at + WRITE_EVERY_S - time.monotonic())
        calls, here.calls, here.written_at = here.calls, [], time.monotonic()
        try:
            await asyncio.shield(cross(ledger.record_calls, calls))
        except Exception:  # the database is away: the answer stands, and the log says what is missing
            for _, call in calls:
                logger.exception("a model call was not recorded", extra={"model": call.model, "trace": call.trace})
    here.hurry.clear()


async def written() -> None:
    """Wait until every call that has ended on this event loop is in the ledger."""
    here = _here()
    while here.writing is not None and not here.writing.done():
        here.hurry.set()
        await asyncio.wait([here.writing])


async def close_providers() -> None:
    """Write down what is left, then close what this event loop has opened."""
    await written()
    here = _loops.pop(asyncio.get_running_loop(), None)
    if here is None:
        return
    for task in here.retiring:
        task.cancel()
    for provider in here.providers.values():
        await provider.aclose()


def _here() -> _Loop:
    return _loops.setdefault(asyncio.get_running_loop(), _Loop())
