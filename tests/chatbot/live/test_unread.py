"""A watcher who does not read: its next frame is all it has missed, and nobody waits for it."""

import asyncio

import orjson

from chatbot.live.hub import STUCK_S, Hub
from conversations.broadcast import Doorbell


class Watcher:
    """Reads while `reading` is set."""

    def __init__(self) -> None:
        self.reading = asyncio.Event()
        self.reading.set()
        self.texts: list[tuple[int, str]] = []
        self.typing = 0

    async def send_live(self, frame: str, turn: str = "") -> None:
        await self.reading.wait()
        said = orjson.loads(frame)
        if said["type"] == "delta":
            self.texts.append((said["from"], said["text"]))
        self.typing += said["type"] == "typing"

    def rung(self, bell: Doorbell) -> None:
        pass


async def _settled() -> None:
    await asyncio.sleep(2 * STUCK_S)


def test_its_next_frame_is_everything_since_its_offset_and_others_get_theirs_at_once() -> None:
    async def story() -> None:
        hub, reader, unread = Hub(), Watcher(), Watcher()
        hub.start()
        hub.watch("cnv", reader)
        hub.watch("cnv", unread)
        unread.reading.clear()
        log = hub.open("cnv", "trn", 1)
        for word in ("one ", "two ", "three "):
            hub.write(log, word)
            await _settled()
        assert reader.texts == [(0, "one "), (4, "two "), (8, "three ")]
        unread.reading.set()
        await _settled()
        assert unread.texts == [(0, "one two three ")]
        await hub.stop()

    asyncio.run(story())


def test_a_takeover_does_not_wait_for_who_does_not_read() -> None:
    async def story() -> None:
        hub, unread = Hub(), Watcher()
        hub.start()
        hub.watch("cnv", unread)
        unread.reading.clear()
        log = hub.open("cnv", "trn", 1)
        hub.write(log, "Seven days.")
        await _settled()
        held = asyncio.ensure_future(hub.hold_here("cnv", "a hold"))
        await asyncio.sleep(0)  # without a wait it is done in one step of the loop
        assert held.done()
        assert held.result() == {"trn": "Seven days."}
        await hub.stop()

    asyncio.run(story())


def test_keys_that_are_pressed_do_not_gather_before_who_does_not_read() -> None:
    async def story() -> None:
        hub, unread = Hub(), Watcher()
        hub.watch("cnv", unread, sees_typing=True)
        unread.reading.clear()
        hub.visitor_types("cnv")
        await _settled()
        before = len(asyncio.all_tasks())
        for _ in range(50):
            hub.visitor_types("cnv")
        assert len(asyncio.all_tasks()) == before
        unread.reading.set()
        await _settled()
        assert unread.typing == 1

    asyncio.run(story())
