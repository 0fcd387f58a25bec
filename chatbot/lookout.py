"""What other processes wrote and nobody here heard of is looked up in the record: many conversations in one query a second.

A page asks now and then whether it missed anything (its ping), for a ring may get lost. And while Redis is away all rings of
other processes are: then every conversation that is followed here is looked up, so that a visitor sees an agent join, and an
answer that lost the line falls silent, though nobody could say so. When Redis is back this goes on for a moment, for the
rings between its return and our ears'.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence

from chatbot import redis_pool
from chatbot.crossing import Away, cross
from chatbot.live.hub import Hub
from conversations.broadcast import Doorbell, bells_of

logger = logging.getLogger(__name__)

LOOK_S = 1.0
ECHO_S = 4.0  # the channel layer's ear takes up to two seconds to come back
AT_ONCE = 500  # conversations a query


class Lookout:
    """Watches for the hub of this process. `known` is the last number rung for, by conversation, while Redis is away."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._known: dict[str, int] = {}

    async def watch(self) -> None:
        """Runs until it is cancelled."""
        last_away = -ECHO_S
        while True:
            await asyncio.sleep(LOOK_S)
            if redis_pool.configured() and not await _redis_answers():
                last_away = time.monotonic()
            asked = self._hub.in_doubt()
            try:
                if time.monotonic() - last_away <= ECHO_S:
                    await self._listen_in()
                else:
                    self._known = {}
                await self._remind(asked)
            except Exception as problem:
                for conversation in asked:
                    self._hub.doubt(conversation)
                if isinstance(problem, Away):  # the record, too
                    logger.warning("nothing is heard of other processes", extra={"problem": type(problem).__name__})
                else:
                    logger.exception("looking for news of other processes failed")

    async def _listen_in(self) -> None:
        """Ring for what is new since the last look, as if it had been heard."""
        async for bell in _bells(self._hub.followed()):
            if bell.seq > self._known.get(bell.conversation, 0):
                self._known[bell.conversation] = bell.seq
                self._hub.hear(bell)

    async def _remind(self, conversations: Sequence[str]) -> None:
        """Tell those who watch these where they stand; they know what they have."""
        async for bell in _bells(conversations):
            self._hub.remind(bell)


async def _bells(conversations: Sequence[str]) -> AsyncIterator[Doorbell]:
    for start in range(0, len(conversations), AT_ONCE):
        for bell in await cross(bells_of, conversations[start : start + AT_ONCE]):
            yield bell


async def _redis_answers() -> bool:
    try:
        await redis_pool.async_redis().ping()
    except redis_pool.Unavailable:
        return False
    return True
