"""A provider that keeps failing is left alone for a while."""

import asyncio
import time

import pytest

from chatbot.llm import errors
from chatbot.llm.breaker import Breaker
from chatbot.llm.errors import ModelCallFailed
from chatbot.llm.request import request_for
from chatbot.llm.simulator.wording import answer, error
from tests.chatbot.llm.conftest import PROMPT, Line


class Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def test_it_opens_after_failures_in_a_row_rests_and_tries_with_one_call() -> None:
    clock = Clock()
    breaker = Breaker(failures=3, rest_s=20, now=clock)
    for _ in range(2):
        breaker.failed()
    breaker.succeeded()
    for _ in range(3):
        assert breaker.allows()
        breaker.failed()
    assert breaker.state == "open"
    assert not breaker.allows()
    clock.at = 20
    assert breaker.state == "half_open"
    assert breaker.allows()
    assert not breaker.allows(), "one trial at a time"
    breaker.failed()
    assert breaker.state == "open"
    clock.at = 40
    assert breaker.allows()
    breaker.undecided()
    assert breaker.allows(), "a trial that told nothing is made again"
    breaker.succeeded()
    assert breaker.state == "closed"


def test_outages_open_it_and_then_nobody_waits(official: Line) -> None:
    async def ask() -> None:
        provider = official.provider()
        for _ in range(5):
            official.simulator.scripts.extend([error(503, "overloaded")] * 3)
            with pytest.raises(ModelCallFailed):
                await anext(provider.stream(request_for(PROMPT)))
        official.simulator.scripts.clear()
        seen, began = len(official.simulator.seen), time.monotonic()
        with pytest.raises(ModelCallFailed) as resting:
            await anext(provider.stream(request_for(PROMPT)))
        assert resting.value.failure is errors.RESTING
        assert time.monotonic() - began < 0.1
        assert len(official.simulator.seen) == seen
        await provider.aclose()

    asyncio.run(ask())


@pytest.mark.parametrize("words", ["Content Exists Risk", "bad field"])
def test_a_refused_question_says_nothing_about_the_provider(official: Line, words: str) -> None:
    async def ask() -> None:
        provider = official.provider()
        for _ in range(7):
            official.simulator.scripts.append(error(400, words))
            with pytest.raises(ModelCallFailed):
                await anext(provider.stream(request_for(PROMPT)))
        official.simulator.scripts.append(answer(["ok"]))
        assert [event async for event in provider.stream(request_for(PROMPT))]
        await provider.aclose()

    asyncio.run(ask())
