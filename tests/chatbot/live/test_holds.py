"""A hold is of the conversation: whatever begins, merges, waits or ends while somebody takes the line."""

import asyncio
import threading
import time
from functools import partial

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from chatbot import handover, store
from chatbot import runner as runner_module
from chatbot.live import holds as holds_module
from chatbot.live import relay as relay_module
from chatbot.live.holds import Holds
from chatbot.live.hub import Hub, hub
from chatbot.live.relay import Relay
from chatbot.runner import runner
from chatbot.turn.seams import Stages
from chatbot.turn.values import Question
from chatbot.wiring import Record
from conversations import services
from conversations.checkpoints import turn_lease
from conversations.models import Conversation, Inbox, Turn
from tests.chatbot.live.test_relay import only_with_redis
from tests.chatbot.live.test_takeover import (
    WORD_S,
    Eye,
    Pause,
    SlowModel,
    _say,
    ask,
    begin,
    bot_rows,
    loop,
    wait_for_word_5,
)
from tests.chatbot.turn.stages import stages
from workspace.models import User

__all__ = ["loop"]

pytestmark = pytest.mark.django_db(transaction=True)

Loop = asyncio.AbstractEventLoop


def drain(loop: Loop) -> None:
    asyncio.run_coroutine_threadsafe(runner().drain(), loop).result(60)


def outcome_of(turn: Turn | None) -> str:
    assert turn
    return Turn.every.get(pk=turn.pk).outcome


def assert_seen_whole(conversation: Conversation, eye: Eye) -> None:
    assert eye.text == bot_rows(conversation)[-1][1] != ""


def assert_nothing_was_seen_that_is_not_kept(conversation: Conversation, eye: Eye) -> None:
    assert not eye.text or any(text.startswith(eye.text.strip()) for _, text, _ in bot_rows(conversation))


def hear_nothing() -> None:
    """What is said after a commit comes late, or never."""
    hub()._stop_listening()
    hub()._stop_listening = lambda: None


class Asked:
    """What the stages were made for: the first question takes the model five seconds."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def stages(self, question: Question, record: Record, **_: object) -> Stages:
        self.texts.append(question.text)
        return stages(model=SlowModel(5.0 if len(self.texts) == 1 else 0.0))


class TestWhatBeginsWhileTheLineIsTaken:
    def test_is_held_where_it_takes_the_place_of_what_was_thinking(
        self, conversation: Conversation, mei: User, loop: Loop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runner_module, "stages_for", Asked().stages)
        eye = Eye()
        ask(conversation, eye, loop).result(10)
        time.sleep(0.1)
        shown, seen = hub().hold(conversation.public_id, "a hold"), list(eye.frames)
        second = ask(conversation, eye, loop, say=partial(_say, conversation, "To my card?")).result(10).turn
        time.sleep(0.3)
        assert eye.frames == seen
        services.take_over(conversation_id=conversation.pk, agent=mei, shown=shown)
        drain(loop)
        assert outcome_of(second) == Turn.Outcome.INTERRUPTED
        assert (eye.frames, eye.text) == (seen, "")

    def test_is_held_where_another_tab_asks(self, conversation: Conversation, mei: User, loop: Loop) -> None:
        eye, stored = Eye(), threading.Event()

        def slowly() -> services.Added:
            assert stored.wait(10)
            return _say(conversation, "Refunds?")

        first = ask(conversation, eye, loop, say=slowly)
        time.sleep(0.1)
        hub().hold(conversation.public_id, "a hold")
        ask(conversation, eye, loop, say=partial(_say, conversation, "To my card?")).result(10)
        time.sleep(0.3)
        assert eye.frames == []
        services.take_over(conversation_id=conversation.pk, agent=mei, shown={})
        stored.set()
        assert first.result(10).turn is None
        drain(loop)
        assert eye.frames == []

    @only_with_redis
    def test_is_held_in_25_takeovers_that_a_question_falls_into(
        self, inbox: Inbox, mei: User, loop: Loop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def staged(question: Question, record: Record, **_: object) -> Stages:
            return stages(model=SlowModel(0.0 if "card" in question.text else 5.0))

        def take(conversation: Conversation) -> None:
            handover.take_over(conversation, mei)
            connection.close()

        async def listen() -> Relay:
            relay = Relay(hub())
            relay.start()
            await asyncio.sleep(0.3)
            return relay

        monkeypatch.setattr(runner_module, "stages_for", staged)
        relay = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
        for number in range(25):
            conversation = services.open_conversation(inbox=inbox, contact=services.new_contact(inbox=inbox))
            eye = Eye()
            ask(conversation, eye, loop).result(10)
            time.sleep(0.1)
            taking = threading.Thread(target=partial(take, conversation))
            taking.start()
            time.sleep(0.002 * (number % 8))
            ask(conversation, eye, loop, say=partial(_say, conversation, "To my card?")).result(10)
            taking.join()
            taken = time.perf_counter()
            time.sleep(0.3)
            assert not [at for at, _ in eye.frames if at > taken]
            assert_nothing_was_seen_that_is_not_kept(conversation, eye)
        drain(loop)
        asyncio.run_coroutine_threadsafe(relay.stop(), loop).result(30)


class TestAHoldThatIsOver:
    @pytest.mark.parametrize("resolved_before", [False, True])
    def test_takes_nothing_from_what_reopens_the_conversation(
        self, conversation: Conversation, mei: User, loop: Loop, resolved_before: bool
    ) -> None:
        if resolved_before:
            services.resolve(conversation_id=conversation.pk, agent=mei)

        def resolved_meanwhile() -> services.Added:
            handover.resolve(conversation, mei)
            return _say(conversation)

        eye = Eye()
        turn = ask(conversation, eye, loop, say=resolved_meanwhile).result(10).turn
        drain(loop)
        assert outcome_of(turn) == Turn.Outcome.ANSWERED
        assert_seen_whole(conversation, eye)

    def test_takes_nothing_from_what_is_asked_after_an_edit(self, conversation: Conversation, loop: Loop) -> None:
        asked = _say(conversation)
        assert asked.turn
        Turn.every.filter(pk=asked.turn.pk).update(outcome=Turn.Outcome.ANSWERED, ended_at=timezone.now())

        def edited_meanwhile() -> services.Added:
            edited = handover.edit_question(
                conversation, message=asked.message.public_id, text="Refund?", client_id="e"
            ).turn
            assert edited
            services.merge_turn(turn_id=edited.pk)  # its process hears that a later one waits
            return _say(conversation, "To my card?")

        eye = Eye()
        ask(conversation, eye, loop, say=edited_meanwhile).result(10)
        drain(loop)
        assert_seen_whole(conversation, eye)

    def test_that_changed_nothing_keeps_an_answer_back_until_the_record_has_spoken(
        self, conversation: Conversation, loop: Loop
    ) -> None:
        eye = Eye()
        begin(conversation, eye, loop)
        wait_for_word_5(eye)
        hub().hold(conversation.public_id, "a hold")
        held = eye.text
        hub().let_go(conversation.public_id, "a hold", done=True)
        time.sleep(0.05)
        assert eye.text == held
        drain(loop)
        assert bot_rows(conversation)[0][1].startswith(held)

    def test_lets_an_answer_go_on_once_the_record_has_spoken(
        self, conversation: Conversation, loop: Loop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runner_module, "CHECKPOINT_S", 0.05)
        eye = Eye()
        begin(conversation, eye, loop)
        wait_for_word_5(eye)
        hub().hold(conversation.public_id, "a hold")
        hub().let_go(conversation.public_id, "a hold", done=True)
        drain(loop)
        assert_seen_whole(conversation, eye)

    def test_does_not_begin_after_its_end(self, conversation: Conversation, loop: Loop) -> None:
        """The event loop was busy for longer than a hold waits for it."""
        eye = Eye()
        begin(conversation, eye, loop)
        wait_for_word_5(eye)
        loop.call_soon_threadsafe(time.sleep, 0.9)
        time.sleep(0.05)
        hub().hold(conversation.public_id, "a hold")
        hub().let_go(conversation.public_id, "a hold", done=False)
        drain(loop)
        assert_seen_whole(conversation, eye)

    def test_of_two_the_second_keeps_it(self, conversation: Conversation, loop: Loop) -> None:
        eye = Eye()
        begin(conversation, eye, loop)
        wait_for_word_5(eye)
        for name in ("one", "two"):
            hub().hold(conversation.public_id, name)
        held = eye.text
        hub().let_go(conversation.public_id, "one", done=False)
        time.sleep(0.05)
        assert eye.text == held
        hub().let_go(conversation.public_id, "two", done=False)
        drain(loop)
        assert_seen_whole(conversation, eye)


class TestAnAnswerThatMayBeOver:
    """It says nothing more until the record, or the process that writes it, has."""

    def test_where_two_edit_the_question_and_the_second_is_refused(
        self, conversation: Conversation, loop: Loop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        eye, both, edit, ended = Eye(), threading.Barrier(2), services.edit_question, []
        message = begin(conversation, eye, loop).question.public_id
        wait_for_word_5(eye)

        def at_once(**options: str) -> services.Added:
            both.wait(5)
            return edit(**options)

        def try_it(text: str) -> None:
            try:
                ended.append(handover.edit_question(conversation, message=message, text=text, client_id=text).duplicate)
            except services.NotEditable:
                ended.append("refused")
            finally:
                connection.close()

        monkeypatch.setattr(services, "edit_question", at_once)
        editing = [threading.Thread(target=try_it, args=(text,)) for text in ("Refund?", "My refund?")]
        for each in editing:
            each.start()
        for each in editing:
            each.join()
        seen = eye.text
        assert sorted(map(str, ended)) == ["False", "refused"]
        time.sleep(4 * WORD_S)
        assert eye.text == seen
        drain(loop)
        assert_nothing_was_seen_that_is_not_kept(conversation, eye)

    def test_where_the_news_of_a_takeover_come_late_and_a_second_agent_is_refused(
        self, conversation: Conversation, mei: User, loop: Loop
    ) -> None:
        eye = Eye()
        begin(conversation, eye, loop)
        wait_for_word_5(eye)
        hear_nothing()
        shown = hub().hold(conversation.public_id, "one")
        hub().hold(conversation.public_id, "two")
        services.take_over(conversation_id=conversation.pk, agent=mei, shown=shown)
        seen = eye.text
        hub().let_go(conversation.public_id, "one", done=True)
        hub().let_go(conversation.public_id, "two", done=False)
        drain(loop)
        assert eye.text == seen

    def test_where_the_handover_was_written_and_the_database_is_gone(
        self, conversation: Conversation, mei: User, loop: Loop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        take_over = services.take_over

        def lost(**options: object) -> None:
            take_over(**options)
            raise OperationalError("server closed the connection unexpectedly")

        async def away(checkpoints: object) -> frozenset[int]:
            raise OperationalError

        eye = Eye()
        begin(conversation, eye, loop)
        wait_for_word_5(eye)
        hear_nothing()
        monkeypatch.setattr(store, "keep_shown", away)
        monkeypatch.setattr(services, "take_over", lost)
        with pytest.raises(OperationalError):
            handover.take_over(conversation, mei)
        seen = eye.text
        drain(loop)
        assert eye.text == seen

    @only_with_redis
    @pytest.mark.parametrize("lost", [True, False])
    def test_a_copy_goes_on_when_its_writer_does(self, monkeypatch: pytest.MonkeyPatch, lost: bool) -> None:
        """Where word of a hold's end was lost, and where it was over before the relay looked."""
        monkeypatch.setattr(holds_module, "LIFE_S", 1.0)

        line = f"cnv_copy_{lost}"

        async def follow() -> tuple[str, str]:
            here, elsewhere, mine, eye = Hub(), Hub(), Eye(), Eye()
            relays = [Relay(here), Relay(elsewhere)]
            for each in (here, elsewhere, *relays):
                each.start()
            await asyncio.sleep(0.3)
            here.watch(line, mine)
            elsewhere.watch(line, eye)
            log = here.open(line, f"trn_copy_{lost}", 1)

            async def speak(words: int) -> None:
                for _ in range(words):
                    here.write(log, "word ")
                    await asyncio.sleep(0.02)

            await speak(30)
            await asyncio.gather(here.hold_here(line, "a hold"), elsewhere.hold_here(line, "a hold"))
            if lost:
                await asyncio.sleep(0.3)
                here.let_go(line, "a hold", done=False)
            else:
                for each in (here, elsewhere):
                    each.let_go(line, "a hold", done=True)
                await asyncio.sleep(0.005)
                here.confirm(log, time.monotonic())
            await speak(100)
            await asyncio.sleep(0.4)
            seen = mine.text, eye.text
            here.close(log)
            for each in (*relays, here, elsewhere):
                await each.stop()
            return seen

        written, followed = asyncio.run(follow())
        assert followed.endswith(written[-200:])
        assert len(written) >= 5 * 130


def test_no_model_is_asked_for_a_question_whose_line_was_taken_while_it_was_stored(
    conversation: Conversation, mei: User, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked()
    monkeypatch.setattr(runner_module, "stages_for", asked.stages)
    pause = Pause(store.add_and_load, busy=False)
    monkeypatch.setattr(store, "add_and_load", pause)
    asking = ask(conversation, Eye(), loop)
    assert pause.read.wait(10)
    handover.take_over(conversation, mei)
    pause.go_on.set()
    turn = asking.result(10).turn
    drain(loop)
    assert outcome_of(turn) == Turn.Outcome.INTERRUPTED
    assert asked.texts == []


class TestATurnThatWaitsForAnotherProcess:
    def test_lives_on_while_redis_does_not_answer(
        self, conversation: Conversation, loop: Loop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        earlier, over = _say(conversation, "Refunds?").turn, time.monotonic() + 4
        assert earlier

        async def hang(turns: list[str]) -> None:
            await asyncio.sleep(5.0)

        def speak_elsewhere() -> None:
            while time.monotonic() < over:
                Turn.every.filter(pk=earlier.pk).update(lease_until=turn_lease())
                time.sleep(0.5)
            result = services.TurnResult(Turn.Outcome.ANSWERED, "Within seven days.")
            services.finish_turn(turn_id=earlier.pk, result=result)
            connection.close()

        monkeypatch.setattr(relay_module, "ask_to_merge", hang)
        speaking = threading.Thread(target=speak_elsewhere)
        speaking.start()
        turn = ask(conversation, Eye(), loop, say=partial(_say, conversation, "To my card?")).result(10).turn
        drain(loop)
        speaking.join()
        assert outcome_of(turn) == Turn.Outcome.ANSWERED

    def test_does_not_end_itself_after_an_outage(
        self, conversation: Conversation, loop: Loop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its lease, too, is over by then, if nobody else was there to notice."""
        _say(conversation, "Refunds?")
        back, clear_way = time.monotonic() + 4, store.clear_way

        async def away(turn: str) -> bool:
            if time.monotonic() < back:
                raise OperationalError
            return await clear_way(turn)

        monkeypatch.setattr(store, "clear_way", away)
        turn = ask(conversation, Eye(), loop, say=partial(_say, conversation, "To my card?")).result(10).turn
        drain(loop)
        assert outcome_of(turn) == Turn.Outcome.ANSWERED


def test_a_turn_that_is_begun_twice_is_answered_once(conversation: Conversation, loop: Loop) -> None:
    before, eye = runner().admission.under_way, Eye()
    turn = begin(conversation, eye, loop)

    async def again() -> None:
        await runner().start(turn, conversation=conversation.public_id)

    asyncio.run_coroutine_threadsafe(again(), loop).result(10)
    assert outcome_of(turn) == Turn.Outcome.ANSWERED
    assert_seen_whole(conversation, eye)
    assert runner().admission.under_way == before


def test_a_hold_ends_with_its_holder_and_is_over_once(monkeypatch: pytest.MonkeyPatch) -> None:
    holds, now = Holds(), [100.0]
    monkeypatch.setattr(holds_module.time, "monotonic", lambda: now[0])
    assert holds.begin("cnv_1", "one")
    assert holds.begin("cnv_1", "two")
    assert holds.end("cnv_1", "one")
    assert not holds.end("cnv_1", "one")
    assert not holds.begin("cnv_1", "one")
    assert (holds.pending("cnv_1"), holds.pending("cnv_2")) == (True, False)
    now[0] += holds_module.LIFE_S + 1
    assert not holds.pending("cnv_1")
    assert not holds.end("cnv_1", "two")
