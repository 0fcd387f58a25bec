"""Ten thousand answers that nobody waits for to the end: afterwards every place is free and every connection closed."""

import asyncio
import itertools
import random
from collections import Counter
from contextlib import aclosing
from pathlib import Path

from chatbot.llm import errors
from chatbot.llm.errors import ModelCallFailed
from chatbot.llm.profile import Profile
from chatbot.llm.provider import Call, Provider
from chatbot.llm.request import USER, ChatMessage, Request
from chatbot.llm.simulator.app import Simulator
from chatbot.turn.values import Finished, Text
from tests.serving import serving

CANCELLED, CALLERS, PLACES = 10_000, 32, 20
FIRST_S, PAUSE_S = 0.01, 0.005
WORDS = "one two three four five six seven eight nine ten"
REQUEST = Request((ChatMessage(USER, f"<sources-1>\n[1] Counting\n{WORDS}\n</sources-1>"),))


async def _answered(provider: Provider, leave_after: int | None = None) -> str:
    """The answer; a caller that finds no place comes back. With `leave_after` it goes after so many words."""
    while True:
        try:
            said: list[str] = []
            async with aclosing(provider.stream(REQUEST)) as events:
                async for event in events:
                    if isinstance(event, Text):
                        said.append(event.text)
                    if leave_after and len("".join(said).split()) >= leave_after:
                        return "left"
                    if isinstance(event, Finished):
                        return "".join(said)
        except ModelCallFailed as problem:
            if problem.failure is not errors.BUSY:
                raise
            await asyncio.sleep(random.uniform(0.001, 0.01))


async def _cancelled(provider: Provider, how: str) -> None:
    """One request that is stopped `how`."""
    if how == "leaving":
        assert await _answered(provider, leave_after=random.randint(1, 6)) == "left"
        return
    task = asyncio.create_task(_answered(provider))
    if how == "opening":
        for _ in range(random.randint(0, 12)):
            await asyncio.sleep(0)
    else:
        await asyncio.sleep(random.uniform(0, FIRST_S) if how == "waiting" else random.uniform(FIRST_S, 6 * PAUSE_S))
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() or task.result(), "nothing but the cancellation or a whole answer"


async def _crowd(provider: Provider) -> None:
    numbers = itertools.count()

    async def caller() -> None:
        while next(numbers) < CANCELLED:
            await _cancelled(provider, random.choice(["opening", "waiting", "middle", "leaving"]))

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def _all_places_are_there(provider: Provider) -> None:
    most = 0

    async def one() -> str:
        nonlocal most
        async with aclosing(provider.stream(REQUEST)) as events:
            said = ""
            async for event in events:
                most = max(most, provider.busy)
                said += event.text if isinstance(event, Text) else ""
        return said

    answers = await asyncio.gather(*(one() for _ in range(PLACES + 1)), return_exceptions=True)
    refused = sum(1 for each in answers if isinstance(each, ModelCallFailed) and each.failure is errors.BUSY)
    assert [each for each in answers if isinstance(each, str)] == [f"{WORDS} [1]"] * PLACES
    assert (most, refused) == (PLACES, 1)


def _connections(port: int) -> int:
    """To this port, not yet closed, as the system counts them."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(1 for row in rows if row[2].endswith(f":{port:04X}") and row[3] == "01")


def test_ten_thousand_cancelled_answers_leave_every_place_free_and_no_connection_open() -> None:
    random.seed(5)
    calls: Counter[str] = Counter()
    simulator = Simulator(first_s=FIRST_S, pause_s=PAUSE_S, keep_seen=10)

    def report(call: Call) -> None:
        calls[call.failure] += 1

    async def run(port: int) -> None:
        profile = Profile(base_url=f"http://127.0.0.1:{port}", key="sk-test", max_streams=PLACES)
        provider = Provider(profile, report=report)
        await _crowd(provider)
        assert provider.busy == 0
        for _ in range(100):
            if not simulator.open:
                break
            await asyncio.sleep(0.05)
        assert simulator.open == 0
        assert provider.breaker.state == "closed"
        await _all_places_are_there(provider)
        assert provider.busy == 0
        assert _connections(port) <= PLACES + 1  # kept for the next answer
        await provider.aclose()
        await asyncio.sleep(0.1)
        assert _connections(port) == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with serving(simulator) as port:
        asyncio.run(run(port))
    assert calls["stopped"] > CANCELLED // 2  # the others went before their turn came
    assert set(calls) == {"stopped", ""}
