"""Law 1 on the whole path: runner, hub and record, against agents who take over at any moment of an answer."""

import asyncio
import json
import random
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from django.db import connection

from chatbot import handover, store
from chatbot import runner as runner_module
from chatbot.live.hub import hub
from chatbot.runner import runner
from chatbot.turn.seams import Stages
from chatbot.turn.values import Finished, ModelEvent, Prompt, Question, Started, Text
from chatbot.wiring import Record
from conversations import services
from conversations.broadcast import Doorbell
from conversations.models import Author, Conversation, Inbox, Message, Status, Turn
from tests.chatbot.turn.stages import stages
from workspace.models import User

RACES = 208
AT_ONCE = 8
WORDS = 30
WORD_S = 0.01


class SlowModel:
    """It thinks for `thinks_s` before its first word."""

    def __init__(self, thinks_s: float = 0.0) -> None:
        self.thinks_s = thinks_s

    async def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        yield Started("slow", "generated")
        await asyncio.sleep(self.thinks_s)
        for number in range(WORDS):
            await asyncio.sleep(WORD_S)
            yield Text(f"Word {number}. ")
        yield Finished("stop")


class Eye:
    """A watcher that remembers each live frame and when it came."""

    def __init__(self) -> None:
        self.frames: list[tuple[float, dict]] = []

    async def send_live(self, frame: str, turn: str) -> None:
        self.frames.append((time.perf_counter(), json.loads(frame)))

    def rung(self, bell: Doorbell) -> None:
        pass

    @property
    def text(self) -> str:
        return "".join(frame["text"] for _, frame in self.frames if frame["type"] == "delta")


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.AbstractEventLoop]:
    """The hub's event loop, in its thread, with a slow model behind the turn."""
    monkeypatch.setattr(runner_module, "stages_for", lambda question, record, **_: stages(model=SlowModel()))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> None:
        hub().start()

    async def end() -> None:
        await runner().drain()
        await hub().stop()

    asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    yield loop
    asyncio.run_coroutine_threadsafe(end(), loop).result(60)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def _say(conversation: Conversation, text: str = "Refunds?") -> services.Added:
    return services.add_visitor_message(conversation_id=conversation.pk, text=text, client_id=text)


def begin(conversation: Conversation, eye: Eye, loop: asyncio.AbstractEventLoop) -> Turn:
    """A turn that is in the record already, as after an edit."""
    turn = _say(conversation).turn
    assert turn

    async def start() -> None:
        hub().watch(conversation.public_id, eye)
        runner().start(turn, conversation=conversation.public_id)

    asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    return turn


def ask(
    conversation: Conversation,
    eye: Eye,
    loop: asyncio.AbstractEventLoop,
    *,
    say: Callable[[], services.Added] | None = None,
) -> "Future[services.Added]":
    """A visitor's message, on its way, stored by `say`."""

    async def start() -> services.Added:
        hub().watch(conversation.public_id, eye)
        assert runner().admit(conversation.public_id)
        return await runner().ask(conversation.public_id, say or partial(_say, conversation))

    return asyncio.run_coroutine_threadsafe(start(), loop)


def bot_rows(conversation: Conversation) -> list[tuple[str, str, str]]:
    rows = Message.objects.of(conversation.workspace_id).filter(conversation=conversation, author=Author.BOT)
    return [(row.public_id, row.text, row.state) for row in rows]


class Pause:
    """A function of the store that reads, and then waits until the test has done something; `busy`: so does the event loop."""

    def __init__(self, reads: Callable[..., Awaitable[Any]], busy: bool) -> None:
        self.reads, self._busy = reads, busy
        self.read, self.go_on = threading.Event(), threading.Event()
        self.result: Any = None

    async def __call__(self, *args: Any, **options: Any) -> Any:
        self.result = await self.reads(*args, **options)
        self.read.set()
        while not self.go_on.is_set():
            if self._busy:
                time.sleep(0.05)
            await asyncio.sleep(0.001)
        return self.result


def assert_never_spoke(turn: Turn, eye: Eye) -> None:
    time.sleep(0.4)
    turn.refresh_from_db()
    assert eye.frames == []
    assert bot_rows(turn.conversation) == []
    assert turn.outcome == Turn.Outcome.INTERRUPTED


@pytest.mark.django_db(transaction=True)
def test_in_208_races_nothing_of_the_bot_leaves_or_is_written_after_a_takeover(
    inbox: Inbox, mei: User, loop: asyncio.AbstractEventLoop
) -> None:
    dice = random.Random(20261124)
    waits = [dice.uniform(0.0, WORDS * WORD_S * 1.3) for _ in range(RACES)]

    def race(wait: float) -> tuple[str, str]:
        try:
            conversation = services.open_conversation(inbox=inbox, contact=services.new_contact(inbox=inbox))
            eye = Eye()
            turn = ask(conversation, eye, loop).result(10).turn
            assert turn
            time.sleep(wait)
            handover.take_over(conversation, mei)
            returned, shown, rows = time.perf_counter(), eye.text, bot_rows(conversation)
            time.sleep(WORDS * WORD_S)
            late = [frame for at, frame in eye.frames if at > returned]
            turn.refresh_from_db()
            conversation.refresh_from_db()
            assert not late, f"{len(late)} frames after the takeover, the first {late[0]}"
            assert conversation.status == Status.AGENT
            assert conversation.holder_id == mei.pk
            assert turn.outcome in {Turn.Outcome.INTERRUPTED, Turn.Outcome.ANSWERED}
            after = bot_rows(conversation)
            assert [row[0] for row in after] == [row[0] for row in rows]
            assert not after or after[0][1].startswith(shown.strip()) or turn.outcome == Turn.Outcome.ANSWERED
            return str(turn.outcome), shown
        finally:
            connection.close()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        ended = list(pool.map(race, waits))
    cut = [shown for outcome, shown in ended if outcome == Turn.Outcome.INTERRUPTED]
    assert len(cut) > RACES // 4, "the dice never caught the bot speaking"
    assert any(cut), "nobody was interrupted in mid-sentence"


def wait_for_word_5(eye: Eye) -> None:
    until = time.monotonic() + 10
    while "Word 5" not in eye.text:
        assert time.monotonic() < until, "the bot never spoke"
        time.sleep(0.005)


@pytest.mark.django_db(transaction=True)
def test_what_was_shown_before_the_takeover_is_what_is_kept(
    conversation: Conversation, mei: User, loop: asyncio.AbstractEventLoop
) -> None:
    eye = Eye()
    turn = begin(conversation, eye, loop)
    wait_for_word_5(eye)
    handover.take_over(conversation, mei)
    shown = eye.text
    time.sleep(0.2)
    ((_, kept, state),) = bot_rows(conversation)
    turn.refresh_from_db()
    assert kept.startswith(shown.strip())
    assert "Word 29" not in kept
    assert (state, turn.outcome) == (Message.State.INTERRUPTED, Turn.Outcome.INTERRUPTED)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("busy", [False, True])
def test_a_takeover_while_the_turn_is_being_read_silences_it_before_its_first_word(
    conversation: Conversation, mei: User, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    """The line changes hands after the record was read and before the answer's first frame; even while the loop is busy."""
    pause, eye = Pause(store.load_turn, busy), Eye()
    monkeypatch.setattr(store, "load_turn", pause)
    turn = begin(conversation, eye, loop)
    assert pause.read.wait(10)
    handover.take_over(conversation, mei)
    pause.go_on.set()
    assert_never_spoke(turn, eye)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("busy", [False, True])
def test_a_takeover_while_the_question_is_being_stored_and_read_silences_its_answer(
    conversation: Conversation, mei: User, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    pause, eye = Pause(store.add_and_load, busy), Eye()
    monkeypatch.setattr(store, "add_and_load", pause)
    asked = ask(conversation, eye, loop)
    assert pause.read.wait(10)
    handover.take_over(conversation, mei)
    pause.go_on.set()
    added, loaded = asked.result(10), pause.result[1]
    assert loaded, "the turn was not read with the question"
    assert added.turn
    assert_never_spoke(added.turn, eye)
    assert not hub().writes(conversation.public_id)


@pytest.mark.django_db(transaction=True)
def test_a_takeover_that_fails_in_mid_sentence_leaves_no_gap_in_it(
    conversation: Conversation, loop: asyncio.AbstractEventLoop
) -> None:
    eye = Eye()
    begin(conversation, eye, loop)
    wait_for_word_5(eye)
    assert list(hub().hold(conversation.public_id, "a hold").values()) == [eye.text]
    held = eye.text
    time.sleep(4 * WORD_S)
    assert eye.text == held
    hub().let_go(conversation.public_id, "a hold", done=False)
    asyncio.run_coroutine_threadsafe(runner().drain(), loop).result(10)
    assert eye.text == bot_rows(conversation)[0][1]


def held_while_it_is_said(conversation: Conversation) -> services.Added:
    hub().hold(conversation.public_id, "a hold")
    return _say(conversation)


@pytest.mark.django_db(transaction=True)
def test_a_takeover_that_takes_long_holds_the_answer_whose_question_was_stored_meanwhile(
    conversation: Conversation, mei: User, loop: asyncio.AbstractEventLoop
) -> None:
    eye = Eye()
    turn = ask(conversation, eye, loop, say=partial(held_while_it_is_said, conversation)).result(10).turn
    assert turn
    time.sleep(0.2)
    assert eye.frames == []
    services.take_over(conversation_id=conversation.pk, agent=mei, shown={})
    assert_never_spoke(turn, eye)


@pytest.mark.django_db(transaction=True)
def test_a_takeover_that_fails_while_the_question_is_stored_takes_nothing_from_its_answer(
    conversation: Conversation, loop: asyncio.AbstractEventLoop
) -> None:
    eye = Eye()
    turn = ask(conversation, eye, loop, say=partial(held_while_it_is_said, conversation)).result(10).turn
    assert turn
    time.sleep(0.2)
    assert eye.frames == []
    hub().let_go(conversation.public_id, "a hold", done=False)
    asyncio.run_coroutine_threadsafe(runner().drain(), loop).result(10)
    turn.refresh_from_db()
    assert turn.outcome == Turn.Outcome.ANSWERED
    assert eye.text == bot_rows(conversation)[0][1]


@pytest.mark.django_db(transaction=True)
def test_a_question_that_is_not_to_be_answered_leaves_nothing_behind(
    conversation: Conversation, mei: User, loop: asyncio.AbstractEventLoop
) -> None:
    eye, before = Eye(), runner().admission.under_way

    async def ask_empty() -> None:
        assert runner().admit(conversation.public_id)
        with pytest.raises(services.EmptyText):
            await runner().ask(
                conversation.public_id,
                lambda: services.add_visitor_message(conversation_id=conversation.pk, text=" ", client_id="0"),
            )

    asyncio.run_coroutine_threadsafe(ask_empty(), loop).result(10)
    services.take_over(conversation_id=conversation.pk, agent=mei)
    assert ask(conversation, eye, loop).result(10).turn is None
    assert not hub().writes(conversation.public_id)
    assert runner().admission.under_way == before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first_read", [False, True])
def test_a_second_question_while_the_first_is_stored_is_answered_with_it(
    conversation: Conversation, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch, first_read: bool
) -> None:
    """Two tabs at the same moment: whichever begins first, the later question is the one that is answered, with both."""
    eye, asked = Eye(), []

    def staged(question: Question, record: Record, **_: object) -> Stages:
        asked.append(question.text)
        return stages(model=SlowModel(thinks_s=1.0))

    monkeypatch.setattr(runner_module, "stages_for", staged)
    pause = Pause(store.add_and_load, busy=False)
    monkeypatch.setattr(store, "add_and_load", pause)
    first = ask(conversation, eye, loop, say=partial(_say, conversation, "Refunds?"))
    assert pause.read.wait(10)
    monkeypatch.setattr(store, "add_and_load", pause.reads)
    if first_read:
        pause.go_on.set()
        first.result(10)
    second = ask(conversation, eye, loop, say=partial(_say, conversation, "To my card?"))
    turns = [second.result(10).turn]
    pause.go_on.set()
    turns.insert(0, first.result(10).turn)
    asyncio.run_coroutine_threadsafe(runner().drain(), loop).result(10)
    assert [Turn.every.get(pk=turn.pk).outcome for turn in turns if turn] == [
        Turn.Outcome.MERGED,
        Turn.Outcome.ANSWERED,
    ]
    assert asked[-1] == "Refunds?\nTo my card?"
    assert len(bot_rows(conversation)) == 1
    assert not hub().writes(conversation.public_id)


@pytest.mark.django_db(transaction=True)
def test_an_edit_that_was_stored_before_a_question_does_not_end_its_answer(
    conversation: Conversation, loop: asyncio.AbstractEventLoop
) -> None:
    """Its turn begins after that of the question, whose answer deals with both."""
    earlier = _say(conversation, "Refunds, please?").turn
    assert earlier
    added = ask(conversation, Eye(), loop, say=partial(_say, conversation, "To my card?")).result(10)

    async def begin_earlier() -> None:
        runner().start(earlier, conversation=conversation.public_id, instead=True)
        await runner().drain()

    asyncio.run_coroutine_threadsafe(begin_earlier(), loop).result(10)
    outcomes = [Turn.every.get(pk=turn.pk).outcome for turn in (earlier, added.turn) if turn]
    assert outcomes == [Turn.Outcome.MERGED, Turn.Outcome.ANSWERED]
