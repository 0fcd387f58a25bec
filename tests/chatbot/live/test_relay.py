"""What reaches other processes, when Redis behaves badly."""

import asyncio
from typing import Any

import pytest

from chatbot.live import relay as relay_module
from chatbot.live.hub import Hub
from chatbot.live.relay import Relay


class DeafLayer:
    """A channel layer whose first cancellation is lost, as when a call's time runs out at that very moment."""

    def __init__(self) -> None:
        self.swallowed = 0

    async def new_channel(self) -> str:
        return "specific.x!y"

    async def group_add(self, group: str, channel: str) -> None:
        pass

    async def receive(self, channel: str) -> Any:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if self.swallowed:
                raise
            self.swallowed += 1
            raise TimeoutError from None


def test_a_relay_whose_cancellation_was_swallowed_still_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = DeafLayer()
    monkeypatch.setattr(relay_module, "get_channel_layer", lambda: layer)

    async def live_and_stop() -> None:
        relay = Relay(Hub())
        relay.start()
        await asyncio.sleep(0.05)
        await asyncio.wait_for(relay.stop(), 5)

    asyncio.run(live_and_stop())
    assert layer.swallowed == 1
