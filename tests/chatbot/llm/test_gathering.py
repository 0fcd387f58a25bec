"""How often a stream is read: token by token where few run, a few tokens at a time where many do."""

import asyncio
import time
from contextlib import aclosing

import pytest
from aiohttp.client_proto import ResponseHandler

from chatbot.llm import errors
from chatbot.llm.errors import ModelCallFailed
from chatbot.llm.profile import Profile
from chatbot.llm.provider import GATHER_FROM, Provider
from chatbot.llm.request import USER, ChatMessage, Request
from chatbot.llm.simulator.app import Simulator
from chatbot.llm.simulator.wording import DONE, ChatWording
from chatbot.llm.wire import BEAT_S, beat_after
from chatbot.turn.values import Text
from tests.chatbot.llm.conftest import Line
from tests.serving import serving

WORDS = " ".join(f"word{number}" for number in range(40))
REQUEST = Request((ChatMessage(USER, f"<sources-1>\n[1] Counting\n{WORDS}\n</sources-1>"),))


async def _pieces(provider: Provider) -> list[str]:
    async with aclosing(provider.stream(REQUEST)) as events:
        return [event.text async for event in events if isinstance(event, Text)]


def _asked_together(answers: int) -> list[list[str]]:
    async def ask(port: int) -> list[list[str]]:
        provider = Provider(Profile(base_url=f"http://127.0.0.1:{port}", key="sk-test"))
        try:
            return await asyncio.gather(*(_pieces(provider) for _ in range(answers)))
        finally:
            await provider.aclose()

    with serving(Simulator(first_s=0.01, pause_s=0.02)) as port:
        return asyncio.run(ask(port))


def test_few_answers_come_token_by_token_and_many_a_few_tokens_at_a_time() -> None:
    (alone,), crowd = _asked_together(1), _asked_together(5 * GATHER_FROM)
    assert {"".join(pieces) for pieces in (alone, *crowd)} == {f"{WORDS} [1]"}
    assert max(map(len, crowd)) < len(alone)


def test_the_first_text_does_not_wait_behind_a_chunk_that_says_nothing(official: Line) -> None:
    chunk, said, rests = ChatWording().chunk, list[str](), list[int]()

    class Watched(Provider):
        def _pause_s(self) -> float:
            rests.append(len(said))
            return 0.001

    async def ask() -> None:
        profile = Profile(base_url=f"http://127.0.0.1:{official.port}", key="sk-test")
        async with aclosing(Watched(profile)) as provider, aclosing(provider.stream(REQUEST)) as events:
            async for event in events:
                said.extend([event.text] if isinstance(event, Text) else [])

    steps = (chunk("", role="assistant"), 0.05, chunk("one "), 0.05, chunk("two"), 0.05, chunk(finish="stop") + DONE)
    official.simulator.scripts.append(official.script(*steps))
    asyncio.run(ask())
    assert "".join(said) == "one two"
    assert rests
    assert 0 not in rests


def test_what_came_before_a_broken_end_in_the_same_piece_is_not_lost(official: Line) -> None:
    chunk = ChatWording().chunk
    said: list[str] = []

    async def ask() -> None:
        async with aclosing(official.provider()) as provider, aclosing(provider.stream(REQUEST)) as events:
            async for event in events:
                said.extend([event.text] if isinstance(event, Text) else [])

    official.simulator.scripts.append(official.script(chunk("one ") + chunk("two") + b"data: {broken\n\n"))
    with pytest.raises(ModelCallFailed) as problem:
        asyncio.run(ask())
    assert problem.value.failure is errors.MALFORMED
    assert "".join(said) == "one two"


class Resting(Provider):
    rest_s = 0.2

    def _pause_s(self) -> float:
        return self.rest_s


def test_while_a_stream_rests_nothing_of_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    receive = ResponseHandler.data_received
    monkeypatch.setattr(
        ResponseHandler, "data_received", lambda self, data: (reads.append(len(data)), receive(self, data))[1]
    )

    async def ask(port: int) -> list[str]:
        async with aclosing(Resting(Profile(base_url=f"http://127.0.0.1:{port}", key="sk-test"))) as provider:
            return await _pieces(provider)

    with serving(Simulator(first_s=0.01, pause_s=0.02)) as port:
        pieces = asyncio.run(ask(port))
    assert "".join(pieces) == f"{WORDS} [1]"
    assert len([size for size in reads if size]) < 20  # of some forty tokens, each sent alone


def test_a_stream_that_rests_can_be_left_at_once(official: Line) -> None:
    class Asleep(Resting):
        rest_s = 30.0

    async def leave_and_ask_again() -> float:
        async with aclosing(Asleep(Profile(base_url=f"http://127.0.0.1:{official.port}", key="sk-test"))) as provider:

            async def read() -> None:
                async with aclosing(provider.stream(REQUEST)) as events:
                    async for _ in events:
                        pass

            reading = asyncio.create_task(read())
            await asyncio.sleep(0.5)
            began = time.monotonic()
            reading.cancel()
            await asyncio.wait([reading])
            took = time.monotonic() - began
            provider.rest_s = 0.0
            assert await _pieces(provider)
            return took

    chunk = ChatWording().chunk
    official.simulator.scripts.append(official.script(chunk("one "), 0.05, chunk("two"), 20.0, chunk("three")))
    assert asyncio.run(leave_and_ask_again()) < 5.0


@pytest.mark.parametrize("pause_s", [0.001, 0.025, 0.1, 0.2])
def test_rests_that_begin_within_a_beat_end_together_and_never_at_once(pause_s: float) -> None:
    begun = [7.0 + 0.001 * late for late in range(1, 50)]
    ends = [beat_after(now, pause_s) for now in begun]
    assert len({round(end, 6) for end in ends}) <= 2
    for now, end in zip(begun, ends, strict=True):
        assert now < end <= now + max(BEAT_S, pause_s) + 1e-9


def test_rests_grow_with_the_answers_until_what_is_done_for_these_takes_long_itself() -> None:
    provider = Provider(Profile(base_url="http://127.0.0.1:9", key="sk-test"))

    def rest_s(answers: int) -> float:
        provider._under_way = answers
        return provider._pause_s()

    assert rest_s(GATHER_FROM - 1) == 0.0
    assert rest_s(GATHER_FROM) == pytest.approx(0.025)
    assert rest_s(80) == pytest.approx(0.2)
    assert rest_s(300) == pytest.approx(0.151)
    assert rest_s(5_000) == pytest.approx(0.05)
