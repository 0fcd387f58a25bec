"""What reaches other processes, when Redis behaves badly."""

import asyncio
import json
from typing import Any

import orjson
import pytest

from chatbot import redis_pool
from chatbot.live import relay as relay_module
from chatbot.live.hub import Hub
from chatbot.live.relay import Relay
from tests.environment import PRODUCTION

only_with_redis = pytest.mark.skipif(not PRODUCTION, reason="needs BATON_TEST_STACK=production")


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


class Rooms(DeafLayer):
    """A channel layer that keeps what is sent, and in which nobody speaks."""

    def __init__(self) -> None:
        self.swallowed = 1
        self.sent: list[dict[str, Any]] = []

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        self.sent.append(message)


class Eye:
    def __init__(self) -> None:
        self.frames: list[str] = []

    async def send_live(self, frame: str, turn: str) -> None:
        self.frames.append(frame)

    def rung(self, bell: Any) -> None:
        pass


@only_with_redis
@pytest.mark.parametrize("whose", ["own", "another's"])
def test_a_late_call_to_follow_begins_nothing_that_is_over(monkeypatch: pytest.MonkeyPatch, whose: str) -> None:
    """The answer is held between being announced to other processes and the announcement's arrival."""
    rooms = Rooms()
    monkeypatch.setattr(relay_module, "get_channel_layer", lambda: rooms)

    async def hold_and_hear() -> list[str]:
        hub, elsewhere, eye = Hub(), Hub(), Eye()
        writer, reader = Relay(hub), Relay(elsewhere)
        hub.on_opened(writer._opened)
        hub.watch("cnv_1", eye) if whose == "own" else elsewhere.watch("cnv_1", eye)
        log = hub.open("cnv_1", "trn_1", 1)
        hub.write(log, "Refunds take")
        await writer._write()
        await hub.hold_here("cnv_1", "a hold")
        await writer._write()
        await asyncio.sleep(0.05)
        seen = len(eye.frames)
        (announced,) = rooms.sent
        await (writer if whose == "own" else reader)._heard(announced)
        await asyncio.sleep(0.2)
        return eye.frames[seen:]

    assert asyncio.run(hold_and_hear()) == []


@only_with_redis
@pytest.mark.parametrize("known", [True, False])
def test_an_answer_that_was_held_in_vain_goes_on_elsewhere_too(monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    rooms = Rooms()
    monkeypatch.setattr(relay_module, "get_channel_layer", lambda: rooms)

    async def hold_and_let_go() -> str:
        hub, elsewhere, eye = Hub(), Hub(), Eye()
        hub.start()
        elsewhere.start()
        writer, reader = Relay(hub), Relay(elsewhere)
        hub.on_opened(writer._opened)
        elsewhere.watch("cnv_4", eye)
        reading = asyncio.create_task(reader._reading())
        log = hub.open("cnv_4", "trn_4", 1)
        hub.write(log, "Refunds ")
        if known:
            await writer._write()
            await reader._heard(rooms.sent.pop())
        await asyncio.sleep(0.2)
        await hub.hold_here("cnv_4", "a hold")
        await elsewhere.hold_here("cnv_4", "a hold")
        await writer._write()
        hub.write(log, "take ")
        await asyncio.sleep(0.2)
        for each in (hub, elsewhere):
            each.let_go("cnv_4", "a hold", done=False)
        await asyncio.sleep(0.2)
        await writer._write()
        await reader._heard(rooms.sent.pop())
        hub.write(log, "seven days.")
        hub.close(log)
        await asyncio.sleep(0.2)
        await writer._write()
        await asyncio.sleep(0.2)
        reading.cancel()
        await hub.stop()
        await elsewhere.stop()
        text = ""
        for frame in map(json.loads, eye.frames):
            if frame["type"] == "delta":
                text = text[: frame["from"]] + frame["text"]
        return text

    assert asyncio.run(hold_and_let_go()) == "Refunds take seven days."


@only_with_redis
def test_an_answer_that_is_over_before_it_was_announced_is_not_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = Rooms()
    monkeypatch.setattr(relay_module, "get_channel_layer", lambda: rooms)

    async def hold_first() -> None:
        hub = Hub()
        writer = Relay(hub)
        hub.on_opened(writer._opened)
        log = hub.open("cnv_2", "trn_2", 1)
        hub.write(log, "Refunds take")
        await hub.hold_here("cnv_2", "a hold")
        await writer._write()

    asyncio.run(hold_first())
    assert rooms.sent == []


@only_with_redis
@pytest.mark.parametrize("lost", ["all", "the last"])
@pytest.mark.parametrize("ends", [False, True])
def test_what_redis_forgot_of_an_answer_comes_again_and_nobody_sees_it_begin_in_the_middle(
    monkeypatch: pytest.MonkeyPatch, lost: str, ends: bool
) -> None:
    """A Redis that is killed forgets at least the last second; whoever came later was shown the rest as the beginning."""
    rooms = Rooms()
    monkeypatch.setattr(relay_module, "get_channel_layer", lambda: rooms)

    async def forget_and_look() -> tuple[list[str], list[str], str | None, bool]:
        hub, elsewhere, eye = Hub(), Hub(), Eye()
        writer, reader = Relay(hub), Relay(elsewhere)
        hub.on_opened(writer._opened)
        elsewhere.watch("cnv_4", eye)
        log = hub.open("cnv_4", "trn_4", 1)
        redis = redis_pool.async_redis()
        copy = relay_module._Copy(elsewhere.open("cnv_4", "trn_4", 0, copy=True))

        async def write(text: str) -> None:
            hub.write(log, text)
            log.gather()
            await writer._write()

        await write("退款 take ")
        if lost == "the last":
            await reader._read([copy])
        await write("seven ")
        if lost == "all":
            await redis.delete("turn:trn_4", "running:cnv_4")
        else:
            ((entry, _),) = await redis.xrevrange("turn:trn_4", count=1)
            await redis.xdel("turn:trn_4", entry)
        if ends:
            hub.write(log, "days.")
            hub.close(log)
            await writer._write()
        else:
            await write("days.")
        await reader._read([copy])
        late = relay_module._Copy(elsewhere.open("cnv_5", "trn_4", 0, copy=True))
        await reader._read([late])
        texts = [orjson.loads(frame).get("text", "") for frame in eye.frames]
        seen = [frame for frame in texts if frame]
        elsewhere.close(copy.log)
        return seen, [copy.log.text, late.log.text], await redis.get("running:cnv_4"), copy.over.is_set()

    seen, texts, lease, over = asyncio.run(forget_and_look())
    assert texts == ["退款 take seven days."] * 2
    assert "退款 take seven days.".startswith(seen[0])
    assert (lease, over) == ((None, True) if ends else ("trn_4", False))
    assert [sent["turn"] for sent in rooms.sent] == ["trn_4"] * (1 if ends else 2)  # who took it for over follows again


@only_with_redis
def test_an_answer_that_redis_forgot_takes_no_line_from_a_newer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "get_channel_layer", Rooms)

    async def overtake() -> str | None:
        redis, writers = redis_pool.async_redis(), []
        for turn in ("trn_6", "trn_7"):
            hub = Hub()
            writers.append((hub, Relay(hub)))
            hub.on_opened(writers[-1][1]._opened)
            hub.write(hub.open("cnv_6", turn, 1), "Refunds take ")
            await writers[-1][1]._write()
        await redis.delete("turn:trn_6")
        hub, writer = writers[0]
        hub.logs()[0].freeze()
        await writer._write()
        return await redis.get("running:cnv_6")

    assert asyncio.run(overtake()) == "trn_7"


@only_with_redis
def test_an_answer_that_began_while_redis_was_away_is_announced_when_it_can_be_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rooms, send = Rooms(), relay_module._send
    monkeypatch.setattr(relay_module, "get_channel_layer", lambda: rooms)

    async def away(steps: Any) -> Any:
        raise redis_pool.Unavailable[0]

    async def begin_and_come_back() -> str | None:
        hub = Hub()
        writer = Relay(hub)
        hub.on_opened(writer._opened)
        hub.open("cnv_9", "trn_9", 1)
        monkeypatch.setattr(relay_module, "_send", away)
        with pytest.raises(redis_pool.Unavailable):
            await writer._write()
        assert rooms.sent == []
        monkeypatch.setattr(relay_module, "_send", send)
        await writer._write()
        return await redis_pool.async_redis().get("running:cnv_9")

    assert asyncio.run(begin_and_come_back()) == "trn_9"
    assert [sent["turn"] for sent in rooms.sent] == ["trn_9"]


@only_with_redis
def test_who_comes_late_to_a_long_answer_has_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream keeps its latest entries only."""
    monkeypatch.setattr(relay_module, "get_channel_layer", Rooms)
    monkeypatch.setattr(relay_module, "WHOLE_EVERY", 3)

    async def write_and_come_late() -> tuple[str, int]:
        hub, elsewhere, redis = Hub(), Hub(), redis_pool.async_redis()
        writer, reader = Relay(hub), Relay(elsewhere)
        hub.on_opened(writer._opened)
        log = hub.open("cnv_8", "trn_8", 1)
        for number in range(8):
            hub.write(log, f"{number} ")
            log.gather()
            await writer._write()
            await writer._write()  # nothing is new: no entry
        entries = await redis.xlen("turn:trn_8")
        await redis.xtrim("turn:trn_8", maxlen=4, approximate=False)
        late = relay_module._Copy(elsewhere.open("cnv_8", "trn_8", 0, copy=True))
        await reader._read([late])
        return late.log.text, entries

    assert asyncio.run(write_and_come_late()) == ("0 1 2 3 4 5 6 7 ", 8)


def test_a_relay_that_was_stopped_tells_nobody_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else typing would come back to its own process under the stopped relay's name, after the words themselves."""
    rooms = Rooms()
    monkeypatch.setattr(relay_module, "get_channel_layer", lambda: rooms)

    async def type_after_a_restart() -> None:
        hub = Hub()
        first, second = Relay(hub), Relay(hub)
        first.start()
        await first.stop()
        second.start()
        hub.visitor_types("cnv_3")
        await asyncio.sleep(0.05)
        await second.stop()

    asyncio.run(type_after_a_restart())
    assert len([sent for sent in rooms.sent if sent["type"] == "visitor.typing"]) == 1


@only_with_redis
@pytest.mark.parametrize("turn", ["", "trn_2"])
def test_what_was_seen_is_told_by_who_speaks_however_quick_the_others_are(
    monkeypatch: pytest.MonkeyPatch, turn: str
) -> None:
    """A visitor's next question is being stored at one process (its turn may have no name yet) while another still speaks."""
    rooms = Rooms()
    monkeypatch.setattr(relay_module, "get_channel_layer", lambda: rooms)

    async def hold() -> Any:
        speaking, storing = Hub(), Hub()
        log = speaking.open("cnv_3", "trn_1", 1)
        speaking.write(log, "Refunds take")
        storing.reserve("cnv_3", turn)
        asked = asyncio.create_task(asyncio.to_thread(relay_module.hold_everywhere, "cnv_3", "a hold"))
        while not rooms.sent:
            await asyncio.sleep(0.01)
        for each in (storing, speaking):
            await Relay(each)._heard(rooms.sent[0])
        return await asked

    shown = asyncio.run(hold())
    assert shown["trn_1"] == "Refunds take"
