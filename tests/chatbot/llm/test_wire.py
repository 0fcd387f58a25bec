"""The door to the network: its clock, what it sends, and what it makes of addresses and keys that cannot be used."""

import asyncio
import gzip
import time
from typing import Any

import pytest

from chatbot.llm import errors
from chatbot.llm.errors import ModelCallFailed
from chatbot.llm.simulator.script import Script
from chatbot.llm.simulator.wording import answer
from chatbot.llm.wire import Clock, Watch, within
from tests.chatbot.llm.conftest import Line, text


def clock(after_s: float) -> Clock:
    return Clock(time.monotonic() + after_s, time.monotonic() + 60)


# --- the clock ---------------------------------------------------------------------------------------------------------
def test_a_step_that_takes_too_long_times_out() -> None:
    began = time.monotonic()
    with pytest.raises(ModelCallFailed) as failed:
        asyncio.run(within(clock(0.1), asyncio.sleep(5)))
    assert failed.value.failure is errors.TIMEOUT
    assert 0.1 <= time.monotonic() - began < 1.0


def test_a_deadline_may_move_away_and_come_nearer() -> None:
    async def read() -> list[str]:
        held, results = clock(0.2), []
        watch = Watch(held)
        for wait_s, next_s in ((0.1, 0.5), (0.3, 5.0), (0.1, 0.2), (2.0, 0.0)):
            try:
                with watch:
                    await asyncio.sleep(wait_s)
                results.append("read")
            except ModelCallFailed as problem:
                results.append(problem.code)
            held.deadline = time.monotonic() + next_s
        watch.stop()
        return results

    began = time.monotonic()
    assert asyncio.run(read()) == ["read", "read", "read", "timeout"]
    assert time.monotonic() - began < 1.5


def test_time_that_the_reader_takes_is_not_the_provider_s() -> None:
    async def read() -> str:
        held = clock(0.1)
        watch = Watch(held)
        with watch:
            await asyncio.sleep(0)
        await asyncio.sleep(0.3)  # busy elsewhere, past the deadline
        held.alive(0.5)
        with watch:
            await asyncio.sleep(0.1)
        with pytest.raises(ModelCallFailed), watch:
            await asyncio.sleep(5)
        watch.stop()
        return "read"

    assert asyncio.run(read()) == "read"


def test_a_cancellation_from_outside_is_no_timeout() -> None:
    async def cancelled() -> None:
        task = asyncio.create_task(within(clock(5), asyncio.sleep(10)))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await within(clock(5), asyncio.sleep(10))
        task = asyncio.create_task(within(clock(0.05), asyncio.sleep(10)))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(
            0.05, task.cancel
        )  # both in the same moment: the caller's wish comes first
        with pytest.raises((asyncio.CancelledError, ModelCallFailed)):
            await task

    asyncio.run(cancelled())


# --- what is sent ------------------------------------------------------------------------------------------------------
def test_a_stream_is_asked_for_unpacked_and_understood_packed_all_the_same(line: Line) -> None:
    whole = answer(["packed ", "anyway"], wording=line.wording)
    packed = gzip.compress(b"".join(step for step in whole.body if isinstance(step, bytes)))
    headers = {**whole.headers, "content-encoding": "gzip"}
    assert text(line.ask(Script((packed[:20], 0.05, packed[20:]), 200, headers))) == "packed anyway"
    assert line.simulator.seen[-1].headers["accept-encoding"] == "identity"
    assert line.simulator.seen[-1].headers["user-agent"] == "Baton"


def test_a_key_is_freed_of_the_space_around_it(official: Line) -> None:
    assert text(official.ask(answer(["ok"]), key="  sk-test\r\n")) == "ok"


@pytest.mark.parametrize("key", ["sk-密钥", "sk-a\nX-More: 1", "sk-\x00"])
def test_a_key_that_cannot_be_sent_is_an_auth_failure_and_is_not_quoted(official: Line, key: str) -> None:
    problem = official.fails(key=key)
    assert problem.failure is errors.AUTH
    assert key not in f"{problem!r} {problem.__cause__!r} {problem.__context__!r}"
    assert not official.simulator.seen


@pytest.mark.parametrize("address", ["", "http://[::1", "http://a..b", "http://xn--/", "http://127.0.0.1:99999"])
def test_an_address_that_cannot_be_one_is_the_owner_s_to_mend(official: Line, address: str) -> None:
    assert official.fails(base_url=address).failure is errors.BAD_REQUEST

    async def models() -> Any:
        provider = official.provider(base_url=address)
        try:
            return await provider.models()
        finally:
            await provider.aclose()

    with pytest.raises(ModelCallFailed) as failed:
        asyncio.run(models())
    assert failed.value.failure is errors.BAD_REQUEST
