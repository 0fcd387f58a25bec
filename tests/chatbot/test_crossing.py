"""How long calls wait for a thread is known, so that new work can be refused before everybody waits."""

import asyncio
import threading

from chatbot import crossing
from chatbot.crossing import behind_s, cross


def test_calls_that_wait_for_a_thread_say_for_how_long_and_nothing_is_left_when_they_are_done() -> None:
    async def story() -> None:
        go_on = threading.Event()
        busy = [asyncio.create_task(cross(go_on.wait, 10)) for _ in range(crossing.THREADS)]
        await asyncio.sleep(0.2)
        assert behind_s() == 0.0
        waiting = [asyncio.create_task(cross(lambda: None)) for _ in range(3)]
        await asyncio.sleep(0.2)
        assert behind_s() > 0.1
        go_on.set()
        await asyncio.gather(*busy, *waiting)
        assert behind_s() == 0.0

    asyncio.run(story())


def test_a_call_that_fails_is_no_longer_waiting() -> None:
    async def story() -> None:
        failed = await asyncio.gather(*(cross(lambda: 1 / 0) for _ in range(20)), return_exceptions=True)
        assert all(isinstance(each, ZeroDivisionError) for each in failed)
        assert behind_s() == 0.0

    asyncio.run(story())


def test_a_call_that_is_given_up_before_it_got_a_thread_is_no_longer_waiting() -> None:
    async def story() -> None:
        go_on = threading.Event()
        busy = [asyncio.create_task(cross(go_on.wait, 10)) for _ in range(crossing.THREADS)]
        await asyncio.sleep(0.1)
        given_up = asyncio.create_task(cross(lambda: None))
        await asyncio.sleep(0.1)
        given_up.cancel()
        await asyncio.wait([given_up])
        go_on.set()
        await asyncio.gather(*busy)
        await cross(lambda: None)
        await asyncio.sleep(0.2)
        assert behind_s() == 0.0

    asyncio.run(story())
