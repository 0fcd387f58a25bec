"""What drives a turn, for every way in: widget, webhooks, terminal, evaluation. There is no second path.

A turn is a task of the process, never of a socket. It writes its text to the live hub, keeps a checkpoint a second, and
stores its outcome; each of these writes is refused by the database once the bot has lost the line.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from django.conf import settings

from chatbot import redis_pool, store
from chatbot.admission import Admission
from chatbot.ahead import Ahead
from chatbot.crossing import Away, behind_s
from chatbot.live import relay
from chatbot.live.hub import Hub, hub
from chatbot.live.log import TurnLog
from chatbot.results import failed, fields_of, no_room, rest_of, result_of, with_record
from chatbot.store import LoadedTurn
from chatbot.turn.answer import answer
from chatbot.turn.values import Delta, Outcome, TurnFailed
from chatbot.wiring import Record, stages_for
from conversations.checkpoints import Checkpoint
from conversations.models import Message, Turn
from conversations.services import Added, LineTaken, TurnResult

logger = logging.getLogger(__name__)

CHECKPOINT_S = 0.8  # with the time that storing takes on a busy machine, at most a second of shown text is ever gone
AGAIN_S, AWAY_S = 0.5, 60.0  # how often, and how long, the record is tried while the database is away
LOOK_S = 0.2
HELD_BACK_S = 4.0  # the longest that an answer waits for a visitor who is typing
T = TypeVar("T")
STOPPED, MERGED, LOST = "stopped", "merged", "lost"


@dataclass
class _Running:
    """A turn in progress. `end` says why it is to end early; `asked_at` when the first of its questions came; `loaded` is what
    was read of it when its question was stored, and `log` was reserved before."""

    pk: int
    turn: str
    pace: float | None = None
    ahead: Ahead | None = None
    loaded: LoadedTurn | None = None
    asked_at: float = field(default_factory=time.monotonic)
    task: asyncio.Task[None] | None = None
    log: TurnLog | None = None
    before: "_Running | None" = None
    end: str = ""
    begun: bool = False
    storing: bool = False

    @property
    def has_shown(self) -> bool:
        return self.log is not None and bool(self.log.released)

    def stop(self, why: str) -> None:
        if not self.end and not self.storing and self.task and not self.task.done():
            self.end = why
            if self.begun:  # a task that is cancelled before its first step never gets to end the turn
                self.task.cancel()


class Runner:
    """The turns of this process."""

    def __init__(self, live: Hub) -> None:
        self._live = live
        self._running: dict[str, _Running] = {}
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._kept: dict[int, tuple[_Running, LoadedTurn, TurnLog]] = {}
        self._keeping: asyncio.Task[None] | None = None
        self.admission = Admission(settings.MAX_ANSWERS)
        live.on_line_lost(self._line_lost)
        live.on_stop(self.stop)
        live.on_merge(self._merge)

    def start(
        self, turn: Turn, *, conversation: str, pace: float | None = None, instead: bool = False
    ) -> asyncio.Task[None]:
        """Begin a turn. One that runs in the conversation and has shown nothing yet is merged into it.

        When there is no room for another answer (see `admit`) it ends at once, and says so.

        `pace`: see `chatbot.wiring.stages_for`. `instead`: whatever runs in the conversation has ended in the record.
        """
        running = _Running(turn.pk, turn.public_id, pace)
        if not self.admit(conversation):
            refusing = asyncio.create_task(self._refuse(running), name=f"no room for turn {running.turn}")
            return self._keep_task(refusing, running.turn)
        if instead and (before := self._running.get(conversation)) and before.pk < running.pk:
            before.stop(LOST)
        return self._begin(running, conversation)

    async def ask(self, conversation: str, say: Callable[[], Added], ahead: Ahead | None = None) -> Added:
        """Store what a visitor says by `say`, which was admitted (see `admit`), and begin its answer if it opens a turn.

        The turn is read together with the storing; see `Hub.reserve` for why its log is there before. `ahead`: see
        `chatbot.ahead.look_ahead`. Raises what `say` does.
        """
        alone = conversation not in self._running and not self._live.writes(conversation)
        log = self._live.reserve(conversation) if alone else None
        running = None
        try:
            added, loaded = await store.add_and_load(say, load=alone)
            if added.turn:
                running = _Running(added.turn.pk, added.turn.public_id, ahead=ahead)
                if log and self._live.may_begin(log) and conversation not in self._running:
                    log.turn, running.log = running.turn, log
                    if loaded and loaded.running and not loaded.behind:
                        running.loaded = loaded
                self._begin(running, conversation)
        finally:
            if log and not (running and running.log):
                self._live.cancel(log)
            if not running:
                self.give_up()
        return added

    def _begin(self, running: _Running, conversation: str) -> asyncio.Task[None]:
        other = self._running.get(conversation)
        if other and other.pk == running.pk and other.task:  # it was begun already
            self.give_up()
            return other.task
        if other and other.pk > running.pk:
            running.end = MERGED  # one that was stored later began first: it waits for this one, and answers both
        else:
            running.before, self._running[conversation] = other, running
        task = asyncio.create_task(self._run(running, conversation), name=f"turn {running.turn}")
        task.add_done_callback(lambda _: self.admission.leave())
        running.task = task
        return self._keep_task(task, running.turn)

    def admit(self, conversation: str) -> bool:
        """Whether there is room for another answer (see `chatbot.admission`). If so `ask` or `give_up` must follow."""
        return self.admission.enter(self._live.late_s, behind_s(), anyway=conversation in self._running)

    def give_up(self) -> None:
        """What was admitted is not to be answered after all."""
        self.admission.leave()

    def _keep_task(self, task: asyncio.Task[None], turn: str) -> asyncio.Task[None]:
        self._tasks[task] = turn  # a task nobody refers to may vanish
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return task

    def turns(self) -> frozenset[str]:
        """The turns of this process, running or waiting for one before them."""
        return frozenset(self._tasks.values())

    def stop(self, conversation: str) -> None:
        """The visitor has read enough: the answer ends where it stands. A question that waits behind it is answered."""
        running = self._running.get(conversation)
        while running and running.before:
            running = running.before
        if running:
            if running.log:
                running.log.freeze()
            running.stop(STOPPED)

    async def stop_everywhere(self, conversation: str) -> None:
        """As `stop`, in whichever process the answer is written."""
        if conversation in self._running:
            self.stop(conversation)
        elif redis_pool.configured():
            await relay.ask_to_stop(conversation)

    async def drain(self) -> None:
        """Wait for everything that runs (at shutdown, in tests)."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._keeping and not self._keeping.done():  # it sleeps, and nothing is left to be kept
            self._keeping.cancel()
            await asyncio.wait([self._keeping])

    def _merge(self, turn: str) -> None:
        for running in list(self._running.values()):
            if running.turn == turn and not running.has_shown:
                running.stop(MERGED)

    def _line_lost(self, log: TurnLog) -> None:
        running = self._running.get(log.conversation)
        if running and running.turn == log.turn:
            running.stop(LOST)

    async def _run(self, running: _Running, conversation: str) -> None:
        running.begun = True
        try:
            if running.end:
                await self._end_early(running)
                return
            if running.before:
                await self._follow(running.before, running)
                running.before = None
            loaded = running.loaded
            if loaded is None or running.log is None or not self._live.may_begin(running.log):
                loaded = await self._load(running, conversation)
            if loaded.running and loaded.behind:
                await self._follow_elsewhere(loaded)
                loaded = await self._load(running, conversation)
            if loaded.running:
                try:
                    await self._answer(running, loaded)
                finally:
                    assert running.log
                    self._live.stored(running.log)
        except asyncio.CancelledError:
            if not running.end:
                raise
            await self._end_early(running)
        except Exception:
            logger.exception("turn lost", extra={"turn": running.turn})
        finally:
            if running.log:
                self._live.cancel(running.log)
            if self._running.get(conversation) is running:
                del self._running[conversation]

    async def _refuse(self, running: _Running) -> None:
        """There is no room: the question is kept, and its visitor told to ask again in a moment or leave a message."""
        try:
            with contextlib.suppress(LineTaken):
                await _persistently(lambda: store.finish_unasked(running.turn, no_room))
        except Exception:
            logger.exception("turn lost", extra={"turn": running.turn})

    async def _load(self, running: _Running, conversation: str) -> LoadedTurn:
        """The turn as the record has it, read while its log can be held: nobody takes the line unnoticed in between."""
        log = running.log
        while True:
            if log is None or not self._live.may_begin(log):
                log = running.log = self._live.reserve(conversation, running.turn)
            loaded = await _persistently(lambda: store.load_turn(running.turn))
            if not loaded.running:
                self._live.cancel(log)
                return loaded
            if self._live.may_begin(log):
                return loaded

    async def _end_early(self, running: _Running) -> None:
        """Record a turn that ended before anything was shown of it."""
        if running.end == MERGED:
            await _persistently(lambda: store.merge(running.pk))
        elif running.end == STOPPED:
            with contextlib.suppress(LineTaken):
                await _persistently(lambda: store.finish(running.pk, TurnResult(Turn.Outcome.STOPPED)))

    async def _follow(self, before: _Running, running: _Running) -> None:
        """Let the earlier turn of the conversation end first: at once if it has shown nothing, else when it is done."""
        if not before.has_shown:
            before.stop(MERGED)
        if before.end == MERGED:
            running.asked_at = before.asked_at
        assert before.task
        while not before.task.done():
            await asyncio.wait([before.task], timeout=CHECKPOINT_S)
            if not before.task.done():
                await _persistently(lambda: store.clear_way(running.turn))

    async def _follow_elsewhere(self, loaded: LoadedTurn) -> None:
        """As `_follow`, for turns of another process, which may have died."""
        clear = False
        while not clear:
            if redis_pool.configured():  # each time: one that is still being stored there does not hear it yet
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(relay.ask_to_merge(loaded.behind), LOOK_S)
            await asyncio.sleep(LOOK_S)
            clear = await _persistently(lambda: store.clear_way(loaded.public_id))

    async def _answer(self, running: _Running, loaded: LoadedTurn) -> None:
        record, began = Record(), time.perf_counter()
        assert running.log
        log = running.log
        self._live.announce(log, loaded.epoch)
        self._keep(running, loaded, log)
        try:
            result = await self._think(running, loaded, record, log)
        except asyncio.CancelledError:
            shown = log.freeze()
            if running.end == LOST:
                self._kept.pop(loaded.pk, None)
                fields = fields_of(record, log, began)
                await _persistently(lambda: store.complete_shown(loaded.pk, shown, fields))
                return
            if running.end != STOPPED:
                raise
            result = TurnResult(Turn.Outcome.STOPPED, shown, Message.State.STOPPED, "answer")
        finally:
            self._kept.pop(loaded.pk, None)
            self._live.close(log)
        fields = fields_of(record, log, began) | dict(result.record)
        running.storing = True
        await self._store(loaded, with_record(result, fields, record), log)

    async def _think(self, running: _Running, loaded: LoadedTurn, record: Record, log: TurnLog) -> TurnResult:
        """Run the stages; give the text to the hub as it comes."""
        outcome: Outcome | None = None
        written = ""
        try:
            await self._hold_back(running, loaded, record)
            stages = stages_for(loaded.question, record, pace=running.pace, ahead=running.ahead)
            async with contextlib.aclosing(answer(loaded.question, stages)) as items:
                async for item in items:
                    if not written:
                        await self._hold_back(running, loaded, record)
                    if isinstance(item, Delta):
                        written += item.text
                        self._live.write(log, item.text)
                    else:
                        outcome = item
        except TurnFailed as problem:
            logger.warning("turn failed", extra={"turn": loaded.public_id, "code": problem.code})
            return failed(loaded.question, record, written, problem.code)
        except Exception:
            logger.exception("turn failed", extra={"turn": loaded.public_id})
            return failed(loaded.question, record, written, "internal")
        assert outcome is not None
        if rest := rest_of(outcome.text, written):
            self._live.write(log, rest)
        return result_of(outcome)

    async def _hold_back(self, running: _Running, loaded: LoadedTurn, record: Record) -> None:
        """While the visitor is typing, nothing is shown: what comes next may belong to the question."""
        until = running.asked_at + HELD_BACK_S
        while (left := self._live.typing_for(loaded.conversation)) and (now := time.monotonic()) < until:
            await asyncio.sleep(min(left, until - now))
            record.timings_ms["held_back"] = record.timings_ms.get("held_back", 0.0) + (time.monotonic() - now) * 1000

    def _keep(self, running: _Running, loaded: LoadedTurn, log: TurnLog) -> None:
        """From now on, keep once a second what was shown, which renews the turn's lease; refused: the line is lost."""
        self._kept[loaded.pk] = (running, loaded, log)
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._keep_all(), name="checkpoints")

    async def _keep_all(self) -> None:
        """One statement a second for all answers of the process."""
        while True:
            await asyncio.sleep(CHECKPOINT_S)
            if not self._kept:
                return
            now, asked_at = dict(self._kept), time.monotonic()
            try:
                held = await store.keep_shown(
                    [
                        Checkpoint(pk, loaded.public_id, loaded.workspace, log.shown)
                        for pk, (_, loaded, log) in now.items()
                    ]
                )
            except Away as problem:  # the next second tries again
                logger.warning("checkpoints failed", extra={"turns": len(now), "problem": type(problem).__name__})
                continue
            except Exception:
                logger.exception("checkpoints failed", extra={"turns": len(now)})
                continue
            for pk, (running, _, log) in now.items():
                if pk in held:
                    self._live.confirm(log, asked_at)
                elif self._kept.pop(pk, None):
                    log.freeze()
                    running.stop(LOST)

    async def _store(self, loaded: LoadedTurn, result: TurnResult, log: TurnLog) -> None:
        try:
            await _persistently(lambda: store.finish(loaded.pk, result))
        except LineTaken:
            logger.info("a late answer was refused", extra={"turn": loaded.public_id})
            await _persistently(lambda: store.complete_shown(loaded.pk, log.shown, result.record))


async def _persistently(kept: Callable[[], Awaitable[T]]) -> T:
    """Read or write what must not fail because the database is away for a while. `kept` must be safe to do twice."""
    until = time.monotonic() + AWAY_S
    while True:
        try:
            return await kept()
        except Away as problem:
            if time.monotonic() > until:
                raise
            logger.warning("the record is tried again", extra={"problem": type(problem).__name__})
            await asyncio.sleep(AGAIN_S)


_runners: dict[int, Runner] = {}


def runner() -> Runner:
    """The runner of this process's hub."""
    return _runners.setdefault(id(hub()), Runner(hub()))
