"""The process's hub: the running answers, their watchers, and one tick that moves the text from these to those.

Text leaves at once, the first of an answer always, later text if the last frame is `TICK_S` old; what comes sooner is sent by
one timer of the process.
Watchers are rung when the record has news (see `conversations.broadcast`) and read it themselves, by cursor.
"""

import asyncio
import contextlib
import logging
import time
import types
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import orjson

from chatbot.live.holds import Holds
from chatbot.live.log import TurnLog
from conversations import broadcast
from conversations.broadcast import Doorbell

logger = logging.getLogger(__name__)

TICK_S = 0.05
HOLD_S = 0.5
AWARE_S = 0.5  # in this time a process has heard of a hold's end, or ended what it lets others read
STUCK_S = 1.0  # a watcher who has not taken a frame for so long does not read
LATE_OVER_S = 1.0
TYPING_S = 2.5  # so long after a key somebody counts as typing
MOST_TYPING = 1_000


class Gone(Exception):
    """Nobody reads any more what is sent there."""


class Watcher(Protocol):
    """Somebody who sees a conversation: a visitor's socket, an agent's."""

    def send_live(self, frame: str, turn: str) -> Coroutine[Any, Any, None]:
        """Send one live frame (JSON), of `turn` if it is about one. May take long; the next one waits and is bigger.

        Raises `Gone`.
        """

    def rung(self, bell: Doorbell) -> None:
        """The record has news; called on the event loop, returns at once."""


class _Watching:
    """A watcher's place in a log. An agent's `sees_typing`."""

    def __init__(self, watcher: Watcher, sees_typing: bool) -> None:
        self.watcher, self.sees_typing = watcher, sees_typing
        self.turn = ""
        self.at = 0
        self.blocks = 0
        self.sending: asyncio.Task[None] | None = None
        self.since = 0.0

    @property
    def is_stuck(self) -> bool:
        """Its last frame waits for somebody to read."""
        return self.sending is not None and time.monotonic() - self.since > STUCK_S


class Hub:
    """One a process, on its event loop, which comes `late_s` late on average.

    `on_line_lost` is called with a log whose bot has lost the line.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._logs: dict[str, TurnLog] = {}
        self._reserved: dict[str, TurnLog] = {}
        self._unstored: dict[str, TurnLog] = {}  # written to their end, and not yet in the record
        self._watching: dict[str, dict[Watcher, _Watching]] = defaultdict(dict)
        self._desks: dict[int, set[Watcher]] = defaultdict(set)
        self._queues: dict[int, set[Watcher]] = defaultdict(set)
        self._typing: dict[str, float] = {}
        self._holds = Holds()
        self._in_doubt: set[str] = set()
        self._tick: asyncio.Task[None] | None = None
        self.late_s = 0.0
        self._stop_listening: Callable[[], None] = lambda: None
        self._on_line_lost: list[Callable[[TurnLog], None]] = []
        self._on_stop: list[Callable[[str], None]] = []
        self._on_merge: list[Callable[[str], None]] = []
        self._on_typing: list[Callable[[str], None]] = []
        self._on_opened: list[Callable[[TurnLog], None]] = []
        self._on_watched: list[Callable[[str], None]] = []

    # --- life ---
    def start(self) -> None:
        """Begin to listen and to tick, on the running event loop. Starting twice changes nothing."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._stop_listening = broadcast.listen(self.hear)
            self._tick = asyncio.create_task(self._ticking(), name="live tick")

    async def stop(self) -> None:
        self._stop_listening()
        if self._tick:
            self._tick.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._tick
        self._loop = self._tick = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        return self._loop

    # --- answers ---
    def reserve(self, conversation: str, turn: str = "") -> TurnLog:
        """The log of an answer that is about to begin, so that a takeover finds something to hold; nobody is told yet. Its
        `turn` may be named once the record has it.

        Reserve first, then read from the record whether the bot still has the line: whoever takes it before that read is
        seen there, and whoever takes it later holds the log.
        """
        log = self._reserved[conversation] = TurnLog(conversation, turn)
        log.held = self._holds.pending(conversation)  # asked last: whoever begins to hold it later finds it there
        return log

    def may_begin(self, log: TurnLog) -> bool:
        """Whether what was read after this log was reserved is all there is to know: a takeover would find it still, and no
        news of the line have frozen it, however old they are."""
        return self._reserved.get(log.conversation) is log and not log.frozen

    def cancel(self, log: TurnLog) -> None:
        """A reserved answer does not begin."""
        if self._reserved.get(log.conversation) is log:
            del self._reserved[log.conversation]

    def announce(self, log: TurnLog, epoch: int) -> None:
        """The answer begins: tell the watchers that one is being written, unless it is held already."""
        self.cancel(log)
        log.epoch = epoch
        self._logs[log.conversation] = log
        log.held = log.held or self._holds.pending(log.conversation)
        if not log.silent:
            for place in self._watching[log.conversation].values():
                self._announce(place, log)
        for told in self._on_opened:
            told(log)

    def open(self, conversation: str, turn: str, epoch: int, *, copy: bool = False) -> TurnLog:
        """Begin at once. `copy`: what is written is the copy of another process's log."""
        log = TurnLog(conversation, turn, copy=copy)
        self.announce(log, epoch)
        return log

    def write(self, log: TurnLog, text: str) -> None:
        """Add text. It is sent at once if the answer's last frame is a tick old (the first always is), else with the tick."""
        log.append(text)
        if time.monotonic() - log.sent_at >= TICK_S:
            self._flush(log)

    def close(self, log: TurnLog) -> None:
        """End an answer: what is left goes out now, or, if the log is frozen, never. Until `stored` it can be held."""
        if log.ended:
            return
        self._flush(log)
        log.ended = True
        if self._logs.get(log.conversation) is log:
            del self._logs[log.conversation]
        if not log.copy:
            self._unstored[log.conversation] = log

    def stored(self, log: TurnLog) -> None:
        """The record has the answer, however it ended."""
        if self._unstored.get(log.conversation) is log:
            del self._unstored[log.conversation]

    def running(self, conversation: str) -> TurnLog | None:
        return self._logs.get(conversation)

    def logs(self) -> list[TurnLog]:
        return list(self._logs.values())

    def on_line_lost(self, told: Callable[[TurnLog], None]) -> None:
        self._on_line_lost.append(told)

    def on_stop(self, told: Callable[[str], None]) -> None:
        """`told` hears the conversation whose visitor, at another process, has read enough."""
        self._on_stop.append(told)

    def ask_to_stop(self, conversation: str) -> None:
        for told in self._on_stop:
            told(conversation)

    def on_merge(self, told: Callable[[str], None]) -> None:
        """`told` hears the turn behind which, at another process, a later question waits."""
        self._on_merge.append(told)

    def ask_to_merge(self, turns: Sequence[str]) -> None:
        for turn in turns:
            for told in self._on_merge:
                told(turn)

    def on_opened(self, told: Callable[[TurnLog], None]) -> Callable[[], None]:
        """`told` hears of every answer that begins here. Gives what ends that."""
        self._on_opened.append(told)
        return partial(self._on_opened.remove, told)

    def on_watched(self, told: Callable[[str], None]) -> Callable[[], None]:
        """`told` hears the conversation whenever somebody begins to watch one that has no answer running here. Gives what
        ends that."""
        self._on_watched.append(told)
        return partial(self._on_watched.remove, told)

    # --- typing ---
    def visitor_types(self, conversation: str, *, here: bool = True) -> None:
        """The visitor presses keys, at this process (`here`) or at another. Never stored."""
        now = time.monotonic()
        if len(self._typing) >= MOST_TYPING:
            self._typing = {key: at for key, at in self._typing.items() if now - at < TYPING_S}
        self._typing[conversation] = now
        frame = orjson.dumps({"type": "typing", "conversation": conversation}).decode()
        for place in list(self._watching.get(conversation, {}).values()):
            if place.sees_typing and not place.is_stuck:
                self._dispatch(place, frame)
        if here:
            for told in self._on_typing:
                told(conversation)

    def visitor_typed(self, conversation: str) -> None:
        """The words that were typed are here."""
        self._typing.pop(conversation, None)

    def typing_for(self, conversation: str) -> float:
        """How many seconds the visitor still counts as typing; 0: does not type."""
        at = self._typing.get(conversation)
        return 0.0 if at is None else max(0.0, at + TYPING_S - time.monotonic())

    def on_typing(self, told: Callable[[str], None]) -> Callable[[], None]:
        """`told` hears the conversation whenever a visitor of this process types. Gives what ends that."""
        self._on_typing.append(told)
        return partial(self._on_typing.remove, told)

    # --- watchers ---
    def watch(
        self, conversation: str, watcher: Watcher, *, turn: str = "", at: int = 0, sees_typing: bool = False
    ) -> None:
        """Begin to watch. With a running answer, its text follows from offset `at` (of `turn`, else from the start)."""
        place = self._watching[conversation].setdefault(watcher, _Watching(watcher, sees_typing))
        log = self._logs.get(conversation)
        if log is None:
            for told in self._on_watched:
                told(conversation)
        elif not log.silent:
            self._announce(place, log)
            if turn == log.turn and 0 <= at <= len(log.text):
                place.at = at  # all blocks follow: one may have closed over text that was sent before
            self._send(place, log)

    def unwatch(self, conversation: str, watcher: Watcher) -> None:
        self._watching[conversation].pop(watcher, None)
        if not self._watching[conversation]:
            del self._watching[conversation]

    def is_watched(self, conversation: str) -> bool:
        return bool(self._watching.get(conversation))

    def followed(self) -> list[str]:
        """The conversations that somebody watches, or that are answered, in this process."""
        return list({*self._watching, *self._logs, *self._reserved})

    def doubt(self, conversation: str) -> None:
        """Somebody who watches may have missed something; see `chatbot.lookout`."""
        self._in_doubt.add(conversation)

    def in_doubt(self) -> list[str]:
        """Those conversations, once."""
        asked, self._in_doubt = self._in_doubt, set()
        return list(asked)

    def remind(self, bell: Doorbell) -> None:
        """Tell those who watch a conversation where it stands; on the event loop."""
        for place in list(self._watching.get(bell.conversation, {}).values()):
            place.watcher.rung(bell)

    def watch_workspace(self, workspace: int, watcher: Watcher) -> None:
        self._desks[workspace].add(watcher)

    def unwatch_workspace(self, workspace: int, watcher: Watcher) -> None:
        self._desks[workspace].discard(watcher)

    def watch_queue(self, workspace: int, watcher: Watcher) -> None:
        """Ring `watcher` whenever somebody enters or leaves the workspace's queue."""
        self._queues[workspace].add(watcher)

    def unwatch_queue(self, workspace: int, watcher: Watcher) -> None:
        self._queues[workspace].discard(watcher)

    # --- the line ---
    def hear(self, bell: Doorbell) -> None:
        """Called from any thread after a commit. A log whose line is gone is frozen before anybody is told."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        loop.call_soon_threadsafe(self._heard, bell)

    def hold(self, conversation: str, hold: str) -> Mapping[str, str]:
        """Keep back what runs in a conversation, from another thread, before the line is taken; `hold` is a name for it.

        Returns the text seen so far, by turn; empty when no answer is written by this process. When it returns, no
        further frame of the bot leaves this process, until `let_go` has told how it ended.
        """
        loop = self._loop
        if loop is None or loop.is_closed():
            return {}
        self._holds.begin(conversation, hold)
        log = self._logs.get(conversation)
        for each in (log, self._reserved.get(conversation)):
            if each:
                each.held = True  # at once, however busy the loop is
        future = asyncio.run_coroutine_threadsafe(self.hold_here(conversation, hold), loop)
        try:
            return future.result(HOLD_S)
        except TimeoutError:
            future.cancel()  # else it might begin after its end
            logger.warning("hold timed out")
            return {log.turn: log.shown} if log and not log.copy else {}

    async def hold_here(self, conversation: str, hold: str) -> Mapping[str, str]:
        """As `hold`, on the event loop. A copy is held too, but how much was seen is known where it is written."""
        if not self._holds.begin(conversation, hold):
            return {}
        shown: dict[str, str] = {}
        if reserved := self._reserved.get(conversation):
            reserved.held = True
            if reserved.turn:
                shown[reserved.turn] = ""
        if ended := self._unstored.get(conversation):
            shown[ended.turn] = ended.shown
        if log := self._logs.get(conversation):
            log.held = True
            if not log.copy:
                shown[log.turn] = log.shown
        places = self._watching.get(conversation, {}).values()
        under_way = [place.sending for place in places if place.sending and not place.is_stuck]
        if under_way:
            await asyncio.wait(under_way, timeout=HOLD_S / 2)
        return shown

    def writes(self, conversation: str) -> bool:
        """Whether an answer of this process is there to be held."""
        log = self._logs.get(conversation)
        return conversation in self._reserved or conversation in self._unstored or (log is not None and not log.copy)

    def let_go(self, conversation: str, hold: str, *, done: bool) -> None:
        """The hold is over. `done`: what it was for has been done, and the record says who has the line; else nothing was."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._let_go, conversation, hold, done)

    def _let_go(self, conversation: str, hold: str, done: bool) -> None:
        if not self._holds.end(conversation, hold):
            return
        log, reserved = self._logs.get(conversation), self._reserved.get(conversation)
        if done and reserved:
            reserved.freeze()  # it is to be read again
        if done and log:
            log.doubted_at = time.monotonic()
        if done or self._holds.pending(conversation):
            return
        if log and not log.doubted_at:
            self._lift(log)
        if reserved:
            reserved.held = False

    def confirm(self, log: TurnLog, asked_at: float) -> None:
        """The record, asked then (on the clock of `time.monotonic`), has said that the bot has the line: what was kept back by
        a hold that was over may leave."""
        if log.held and not log.ended and asked_at > log.doubted_at and not self._holds.pending(log.conversation):
            self._lift(log)

    def confirm_copy(self, log: TurnLog, spoke_at: float) -> None:
        """As `confirm`, of an answer whose process last spoke then: long enough after a hold, it knew how that had ended."""
        knew = not log.doubted_at or spoke_at > log.doubted_at + AWARE_S
        if log.held and knew and not self._holds.pending(log.conversation):
            self._lift(log)

    def _lift(self, log: TurnLog) -> None:
        log.held, log.doubted_at = False, 0.0
        log.behind = True  # who came meanwhile has seen nothing of it
        if not log.copy:
            for told in self._on_opened:
                told(log)

    def _heard(self, bell: Doorbell) -> None:
        log = self._logs.get(bell.conversation)
        if bell.status != "bot" and (reserved := self._reserved.get(bell.conversation)):
            reserved.freeze()
        if log and (bell.epoch > log.epoch if log.epoch else bell.status != "bot"):  # each handover raises the epoch
            log.freeze()
            for told in self._on_line_lost:
                told(log)
        self.remind(bell)
        for desk in list(self._desks.get(bell.workspace, ())):
            desk.rung(bell)
        if bell.queue_moved:
            for waiting in list(self._queues.get(bell.workspace, ())):
                waiting.rung(bell)

    # --- frames ---
    async def _ticking(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(TICK_S)
            took = time.monotonic() - began
            self.late_s += (took - TICK_S - self.late_s) * min(1.0, took / LATE_OVER_S)
            for log in [log for log in self._logs.values() if log.owes]:
                self._flush(log)

    def _flush(self, log: TurnLog) -> None:
        if log.silent or self._logs.get(log.conversation) is not log:  # a later answer is being written
            return
        if log.has_news:
            log.sent_at = time.monotonic()
        log.behind = False
        log.gather()
        for place in list(self._watching.get(log.conversation, {}).values()):
            self._send(place, log)
        log.mark_released()

    def _announce(self, place: _Watching, log: TurnLog) -> None:
        place.turn, place.at, place.blocks = log.turn, 0, 0
        self._dispatch(place, orjson.dumps({"type": "turn", "turn": log.turn}).decode(), log.turn)

    def _send(self, place: _Watching, log: TurnLog) -> None:
        """Send a watcher everything it has not seen, unless its last frame is still on its way."""
        if place.turn != log.turn:
            self._announce(place, log)
        if place.at == len(log.text) and place.blocks == len(log.blocks):
            return
        if place.sending:
            log.behind = True
            return
        frame = {
            "type": "delta",
            "turn": log.turn,
            "from": place.at,
            "text": log.text[place.at :],
            "blocks": [{"to": block.end, "html": block.html} for block in log.blocks[place.blocks :]],
        }
        place.at, place.blocks = len(log.text), len(log.blocks)
        self._dispatch(place, orjson.dumps(frame).decode(), log.turn)

    def _dispatch(self, place: _Watching, frame: str, turn: str = "") -> None:
        """Send, or begin to. A socket with room takes a frame at once, and a task for it would cost more than sending it."""
        sending = place.watcher.send_live(frame, turn)
        if before := place.sending:
            rest = _after(before, sending)
        else:
            place.since = time.monotonic()
            try:
                waits = sending.send(None)
            except (StopIteration, Gone):  # sent; or to a socket whose consumer notices by itself that it is going away
                return
            except Exception:  # one watcher's fault is not the others'
                logger.exception("a live frame was not sent")
                return
            rest = _from(sending, waits)

        def sent(task: asyncio.Task[None]) -> None:
            if place.sending is task:
                place.sending = None

        place.sending = asyncio.create_task(_quietly(rest))
        place.sending.add_done_callback(sent)


async def _after(before: asyncio.Task[None], sending: Coroutine[Any, Any, None]) -> None:
    try:
        await asyncio.wait([before])
    except BaseException:
        sending.close()
        raise
    await sending


@types.coroutine
def _from(sending: Coroutine[Any, Any, None], waits: Any) -> Generator[Any, Any, None]:
    """The rest of a coroutine whose first step is done, which waits for `waits`."""
    try:
        yield waits
    except BaseException:
        sending.close()
        raise
    yield from sending.__await__()


async def _quietly(rest: Awaitable[None]) -> None:
    try:
        await rest
    except Gone:
        pass
    except Exception:  # one watcher's fault is not the others'
        logger.exception("a live frame was not sent")


_hub = Hub()


def hub() -> Hub:
    """The hub of this process."""
    return _hub
