"""While Redis is away the rings of other processes are lost: what they wrote is looked up in the record, each second.

So a visitor sees an agent join, and an answer that lost the line falls silent, though nobody could say so. When Redis is back
this goes on for a moment, for the rings between its return and our ears'.
"""

import asyncio
import logging
import time

from chatbot import redis_pool
from chatbot.crossing import Away, cross
from chatbot.live.hub import Hub
from conversations.broadcast import bells_of

logger = logging.getLogger(__name__)

LOOK_S = 1.0
ECHO_S = 4.0  # the channel layer's ear takes up to two seconds to come back
AT_ONCE = 500  # conversations a query


class Outage:
    """Watches Redis for the hub of this process. `known` is the last number rung for, by conversation, while it is away."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._known: dict[str, int] = {}

    async def watch(self) -> None:
        """Runs until it is cancelled."""
        last_away = -ECHO_S
        while True:
            await asyncio.sleep(LOOK_S)
            if not await _redis_answers():
                last_away = time.monotonic()
            if time.monotonic() - last_away > ECHO_S:
                self._known = {}
                continue
            try:
                await self._look()
            except Away as problem:  # the record, too
                logger.warning("nothing is heard of other processes", extra={"problem": type(problem).__name__})
            except Exception:
                logger.exception("looking for news of other processes failed")

    async def _look(self) -> None:
        followed = self._hub.followed()
        for start in range(0, len(followed), AT_ONCE):
            for bell in await cross(bells_of, followed[start : start + AT_ONCE]):
                if bell.seq > self._known.get(bell.conversation, 0):
                    self._known[bell.conversation] = bell.seq
                    self._hub.hear(bell)


async def _redis_answers() -> bool:
    try:
        await redis_pool.async_redis().ping()
    except redis_pool.Unavailable:
        return False
    return True
