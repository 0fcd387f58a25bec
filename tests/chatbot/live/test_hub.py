"""The hub of a process: what a watcher is sent, and what can be held before the line changes hands."""

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import pytest

from chatbot import handover
from chatbot.live.hub import Gone, Hub, hub
from conversations import services
from conversations.broadcast import Doorbell
from conversations.models import Conversation
from conversations.services import AlreadyTaken
from workspace.models import User


class Eye:
    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []

    async def send_live(self, frame: str, turn: str) -> None:
        self.frames.append(json.loads(frame))

    def rung(self, bell: Doorbell) -> None:
        pass

    def sent(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["type"] == kind]


def on_a_loop(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def bell(epoch: int = 1, status: str = "bot") -> Doorbell:
    return Doorbell(1, "cnv_1", 5, epoch, status)


def test_whoever_returns_gets_a_block_that_closed_over_text_it_had_already() -> None:
    async def leave_and_return() -> None:
        live, eye, again = Hub(), Eye(), Eye()
        live.watch("cnv_1", eye)
        log = live.open("cnv_1", "trn_1", 1)
        await asyncio.sleep(0.01)
        live.write(log, "Seven days.\n\nThe parcel")
        await asyncio.sleep(0.01)
        assert eye.sent("delta")[0]["blocks"] == []
        live.unwatch("cnv_1", eye)
        live.write(log, " must be here.\n")
        live._flush(log)
        live.watch("cnv_1", again, turn="trn_1", at=23)
        await asyncio.sleep(0.01)
        live._flush(log)
        await asyncio.sleep(0.01)
        (delta,) = again.sent("delta")
        assert (delta["from"], delta["text"]) == (23, " must be here.\n")
        assert delta["blocks"] == [{"to": 13, "html": "<p>Seven days.</p>\n"}]

    on_a_loop(leave_and_return())


class Blind(Eye):
    """Cannot be sent anything; `late`: finds out only after it has waited."""

    def __init__(self, problem: Exception, *, late: bool) -> None:
        super().__init__()
        self._problem, self._late = problem, late

    async def send_live(self, frame: str, turn: str) -> None:
        if self._late:
            await asyncio.sleep(0)
        raise self._problem


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("problem", "said"), [(Gone(), []), (ValueError("ours"), ["a live frame was not sent"])])
def test_a_watcher_who_cannot_be_sent_to_takes_nothing_from_others_and_a_fault_is_said(
    late: bool, problem: Exception, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def write() -> None:
        live, eye = Hub(), Eye()
        live.watch("cnv_1", Blind(problem, late=late))
        live.watch("cnv_1", eye)
        log = live.open("cnv_1", "trn_1", 1)
        live.write(log, "Seven days.")
        await asyncio.sleep(0.01)
        assert [delta["text"] for delta in eye.sent("delta")] == ["Seven days."]

    on_a_loop(write())
    assert list(dict.fromkeys(record.message for record in caplog.records)) == said


def test_news_that_changes_no_hands_does_not_stop_the_copy_of_an_answer() -> None:
    async def copy() -> None:
        live, eye = Hub(), Eye()
        live.watch("cnv_1", eye)
        log = live.open("cnv_1", "trn_1", 0, copy=True)
        await asyncio.sleep(0.01)
        live.write(log, "Refunds ")
        await asyncio.sleep(0.01)
        live._heard(bell())
        live.write(log, "take")
        live._flush(log)
        await asyncio.sleep(0.01)
        assert "".join(frame["text"] for frame in eye.sent("delta")) == "Refunds take"
        live._heard(bell(epoch=2, status="agent"))
        assert log.frozen

    on_a_loop(copy())


def test_a_copy_is_silenced_but_only_the_writer_says_what_was_seen() -> None:
    async def hold() -> None:
        live, eye = Hub(), Eye()
        live.watch("cnv_1", eye)
        log = live.open("cnv_1", "trn_1", 1, copy=True)
        await asyncio.sleep(0.01)
        live.write(log, "Refunds ")
        assert not live.writes("cnv_1")
        assert await live.hold_here("cnv_1", "a hold") == {}
        live.write(log, "take seven days.")
        live._flush(log)
        await asyncio.sleep(0.01)
        assert "".join(frame["text"] for frame in eye.sent("delta")) == "Refunds "

    on_a_loop(hold())


def test_an_answer_that_is_over_and_not_yet_in_the_record_is_held_whole() -> None:
    async def end_and_hold() -> None:
        live = Hub()
        log = live.open("cnv_1", "trn_1", 1)
        live.write(log, "Refunds ")
        live.write(log, "take seven days.")
        live.close(log)
        assert live.writes("cnv_1")
        assert await live.hold_here("cnv_1", "a hold") == {"trn_1": "Refunds take seven days."}
        live.stored(log)
        assert await live.hold_here("cnv_1", "a hold") == {}

    on_a_loop(end_and_hold())


def test_a_reserved_answer_that_is_held_may_begin_in_silence_and_one_that_old_news_froze_may_not() -> None:
    async def reserve() -> None:
        live, eye = Hub(), Eye()
        live.start()
        live.watch("cnv_1", eye)
        stale = live.reserve("cnv_1")
        assert live.may_begin(stale)
        live._heard(bell(epoch=2, status="agent"))
        assert not live.may_begin(stale)
        log = live.reserve("cnv_1", "trn_1")
        assert not live.may_begin(stale)
        assert await live.hold_here("cnv_1", "a hold") == {"trn_1": ""}
        assert live.may_begin(log)
        live.announce(log, 1)
        live.write(log, "Refunds ")
        await asyncio.sleep(0.05)
        assert eye.frames == []
        live.let_go("cnv_1", "a hold", done=False)
        await asyncio.sleep(0.01)
        live.write(log, "take seven days.")
        await asyncio.sleep(0.1)
        assert "".join(frame["text"] for frame in eye.sent("delta")).endswith("take seven days.")
        await live.stop()

    on_a_loop(reserve())


@pytest.mark.django_db(transaction=True)
def test_an_answer_whose_question_is_being_stored_is_held_before_the_record_knows_of_it(
    conversation: Conversation,
) -> None:
    async def hold() -> None:
        live = hub()
        live.start()
        log = live.reserve(conversation.public_id)

        def take() -> None:
            with handover._held(conversation):
                assert log.silent

        await asyncio.to_thread(_with_own_connection, take)
        live.cancel(log)
        await live.stop()

    on_a_loop(hold())


@pytest.mark.django_db(transaction=True)
def test_the_agent_who_came_second_does_not_give_the_bot_its_voice_back(
    conversation: Conversation, mei: User, tom: User
) -> None:
    """The one who lost has held the answer too, and lets go of it when refused."""
    turn = services.add_visitor_message(conversation_id=conversation.pk, text="Refunds?", client_id="1").turn
    assert turn

    async def two_agents() -> None:
        live = hub()
        live.start()
        log = live.open(conversation.public_id, turn.public_id, 1)
        live.write(log, "Refunds ")

        def second() -> None:
            with handover._held(conversation):
                services.take_over(conversation_id=conversation.pk, agent=mei, shown={turn.public_id: "Refunds "})
                services.take_over(conversation_id=conversation.pk, agent=tom)

        with pytest.raises(AlreadyTaken):
            await asyncio.to_thread(_with_own_connection, second)
        await asyncio.sleep(0.05)
        assert log.silent
        live.close(log)
        live.stored(log)
        await live.stop()

    on_a_loop(two_agents())


def _with_own_connection(work: Any) -> None:
    from django.db import connection

    try:
        work()
    finally:
        connection.close()


def test_who_comes_while_the_line_is_held_sees_all_once_it_is_let_go() -> None:
    async def come_meanwhile() -> None:
        live, eye = Hub(), Eye()
        live.start()
        try:
            log = live.open("cnv_1", "trn_1", 1)
            live.write(log, "Seven days.")
            await live.hold_here("cnv_1", "a hold")
            live.watch("cnv_1", eye)
            assert eye.frames == []
            live.let_go("cnv_1", "a hold", done=False)
            await asyncio.sleep(0.2)
            assert [frame["text"] for frame in eye.sent("delta")] == ["Seven days."]
        finally:
            await live.stop()

    on_a_loop(come_meanwhile())


def test_a_watcher_who_could_not_take_a_frame_gets_the_rest_with_a_later_tick() -> None:
    class Slow(Eye):
        async def send_live(self, frame: str, turn: str) -> None:
            await super().send_live(frame, turn)
            await asyncio.sleep(0.15)

    async def watch_slowly() -> None:
        live, eye = Hub(), Slow()
        live.start()
        try:
            live.watch("cnv_1", eye)
            log = live.open("cnv_1", "trn_1", 1)
            for word in ("Seven ", "days", "."):
                live.write(log, word)
                await asyncio.sleep(0.06)
            await asyncio.sleep(0.6)
            assert "".join(frame["text"] for frame in eye.sent("delta")) == "Seven days."
        finally:
            await live.stop()

    on_a_loop(watch_slowly())
