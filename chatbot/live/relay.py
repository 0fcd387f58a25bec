"""Answers across processes: each process writes what its bots say to Redis, in one call a step, and follows what
others write when somebody here watches it.

A turn's text is a Redis stream (``turn:<id>``); ``running:<conversation>`` names the turn, and is a lease: it ends with the
process that renews it. Doorbells, holds and typing travel on the channel layer, which carries rare control events only.
"""

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import orjson
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

from chatbot import redis_pool
from chatbot.live.hub import Hub
from chatbot.live.log import TurnLog
from conversations import broadcast
from conversations.broadcast import GROUP, Doorbell

logger = logging.getLogger(__name__)

STEP_S = 0.1
MANY = 40  # answers of a process: from here on, others see them in longer steps
KEPT_S = 300
ALIVE_S = 3
RENEW_S = 1.0
ANOTHER_S = 0.05
HOLD_S = (
    0.8  # a busy process needs its time; without its answer, what it has shown is known up to its last checkpoint only
)
RECONNECT_S = 1.0
CANCEL_AGAIN_S = 0.5
SILENT_S = 1.0

MOST_ENTRIES = 2_000  # of a stream; what came before its latest ones is forgotten
WHOLE_EVERY = 500  # entries, so that who comes late finds all of the text in those that are left

# One call for all answers of a step: a command for each, thirty times as many bytes to write and replies to read, cost the
# event loop more than the frames that visitors see. Keys: the stream and the lease of each. Gives the numbers of those whose
# stream does not reach up to where its next text begins: a Redis that was killed forgets a second, or all.
_WRITE = """
local lost = {}
for at, log in ipairs(cjson.decode(ARGV[1])) do
  local stream, lease = KEYS[2 * at - 1], KEYS[2 * at]
  local holder = redis.call('get', lease)
  if log.begins then redis.call('del', stream) end
  if log.begins or (log.renews and (not holder or holder == log.turn)) then
    redis.call('set', lease, log.turn, 'ex', ARGV[2])
    holder = log.turn
  end
  local last = log.from > 0 and redis.call('xrevrange', stream, '+', '-', 'count', 1)
  if last and (not last[1] or tonumber(last[1][2][8]) ~= log.from) then
    table.insert(lost, at)
  else
    local entry = {'from', log.from, 'text', log.text, 'epoch', log.epoch, 'to', log.to}
    if log.ends then
      if holder == log.turn then redis.call('del', lease) end
      entry[9], entry[10] = 'end', 1
    end
    redis.call('xadd', stream, 'maxlen', '~', ARGV[4], '*', unpack(entry))
    if log.begins or log.renews or log.ends then redis.call('expire', stream, ARGV[3]) end
  end
end
return lost
"""


class _Copy:
    """An answer of another process that is followed: up to which entry of its stream, and when it was last heard of."""

    def __init__(self, log: TurnLog) -> None:
        self.log, self.last = log, "0"
        self.heard_at = self.spoke_at = time.monotonic()
        self.over = asyncio.Event()

    def take(self, entry: str, fields: Mapping[str, str], hub: Hub) -> None:
        if self.over.is_set():
            return
        self.last, self.heard_at, log = entry, time.monotonic(), self.log
        self.spoke_at = self.heard_at
        log.epoch = int(fields["epoch"])
        begin, known = int(fields["from"]), len(log.text)
        if begin <= known < begin + len(fields["text"]):  # what is missing before it comes again, with all before it
            hub.write(log, fields["text"][known - begin :])
            log.gather()
        if "end" in fields:
            self.over.set()


@dataclass(frozen=True)
class _Step:
    """What is written of an answer: its text from one character to another."""

    log: TurnLog
    at: int
    to: int
    begins: bool
    renews: bool
    ends: bool

    def as_dict(self) -> dict[str, Any]:
        log, text = self.log, self.log.text[self.at : self.to]
        place = {"turn": log.turn, "epoch": log.epoch, "from": self.at, "to": self.to, "text": text}
        return place | {"begins": self.begins, "renews": self.renews, "ends": self.ends}


@dataclass
class _Written:
    """How much of an answer's text other processes can have, in how many entries; `told`: they know that it runs."""

    renewed_at: float
    to: int = 0
    entries: int = 0
    told: bool = False


async def _send(steps: Sequence[_Step]) -> list[_Step]:
    """Write them, and give those whose text before that Redis has lost."""
    if not steps:
        return []
    keys = [key for step in steps for key in (f"turn:{step.log.turn}", f"running:{step.log.conversation}")]
    arguments = (orjson.dumps([step.as_dict() for step in steps]), ALIVE_S, KEPT_S, MOST_ENTRIES)
    lost: Any = await redis_pool.async_redis().eval(_WRITE, len(keys), *keys, *arguments)
    return [steps[number - 1] for number in lost]


class Relay:
    """The part of the hub that reaches other processes. Redis away: this process goes on alone."""

    def __init__(self, hub: Hub) -> None:
        self._hub, self._name = hub, secrets.token_hex(4)
        self._written: dict[str, _Written] = {}
        self._own: dict[str, TurnLog] = {}
        self._copied: dict[str, str] = {}
        self._following: dict[str, asyncio.Task[None]] = {}
        self._copies: dict[str, _Copy] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._hearing: list[Callable[[], None]] = []

    def start(self) -> None:
        self._hearing = [
            self._hub.on_opened(self._opened),
            self._hub.on_watched(self._watched),
            self._hub.on_typing(self._visitor_types),
            broadcast.carry(partial(self._carry, asyncio.get_running_loop())),
        ]
        self._tasks = [
            asyncio.create_task(self._writing(), name="relay writer"),
            asyncio.create_task(self._reading(), name="relay reader"),
            asyncio.create_task(self._listening(), name="relay ear"),
        ]

    async def stop(self) -> None:
        """A Redis call whose time runs out in the moment it is cancelled swallows the cancellation: then once more."""
        while self._hearing:
            self._hearing.pop()()
        running = {*self._tasks, *self._following.values()}
        while running:
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=CANCEL_AGAIN_S)

    # --- what runs here, to others ---
    def _opened(self, log: TurnLog) -> None:
        if self._copied.get(log.conversation) == log.turn:
            return  # the copy of another process's
        self._own[log.turn] = log
        if following := self._following.get(log.conversation):
            following.cancel()  # an earlier answer, of a process that died or was overtaken

    def _visitor_types(self, conversation: str) -> None:
        self._do(_tell({"type": "visitor.typing", "conversation": conversation, "by": self._name}))

    def _carry(self, loop: asyncio.AbstractEventLoop, bell: Doorbell) -> None:
        """From any thread. Raises `RuntimeError` when the loop has ended."""
        message = bell.message() | {"by": self._name}
        loop.call_soon_threadsafe(lambda: self._do(_tell(message)))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)

    async def _writing(self) -> None:
        while True:
            await asyncio.sleep(STEP_S if len(self._own) < MANY else 2 * STEP_S)
            if self._own:
                try:
                    await self._write()
                except redis_pool.Unavailable as problem:
                    logger.warning("answers not relayed", extra={"problem": type(problem).__name__})

    async def _write(self) -> None:
        now = time.monotonic()
        steps: list[_Step] = []
        for log in list(self._own.values()):
            written, ends = self._written.get(log.turn), log.ended or log.silent
            begins = written is None or not written.told
            if begins and ends:
                del self._own[log.turn]  # over before anybody else heard of it; the record has what there is
                self._written.pop(log.turn, None)
                continue
            if written is None:
                written = self._written[log.turn] = _Written(now)
            renews, to = now - written.renewed_at > RENEW_S, len(log.text)
            if not (begins or renews or ends or to > written.to):
                continue
            at = 0 if begins or written.entries % WHOLE_EVERY == 0 else written.to
            steps.append(_Step(log, at, to, begins, renews, ends))
            written.to, written.entries = to, written.entries + 1
            written.renewed_at = now if renews else written.renewed_at
            if ends:
                del self._own[log.turn], self._written[log.turn]
        lost = await _send(steps)
        await _send([replace(step, at=0, renews=True) for step in lost])
        await self._announce(steps, lost)

    async def _announce(self, steps: Sequence[_Step], lost: Sequence[_Step]) -> None:
        """Say of what was written that it runs: once, and again where Redis forgot it, for whoever followed may have taken
        that for its end."""
        layer = get_channel_layer()
        forgotten = {step.log.turn for step in lost}
        for log in (step.log for step in steps):
            written = self._written.get(log.turn)
            if written is None or (written.told and log.turn not in forgotten):
                continue  # over, or known
            message = {"type": "turn.running", "conversation": log.conversation, "turn": log.turn, "epoch": log.epoch}
            await layer.group_send(GROUP, message | {"by": self._name})
            written.told = True

    # --- what runs elsewhere, to watchers here ---
    def _watched(self, conversation: str) -> None:
        self._do(self._look_for(conversation))

    async def _look_for(self, conversation: str) -> None:
        with contextlib.suppress(*redis_pool.Unavailable):
            turn = await redis_pool.async_redis().get(f"running:{conversation}")
            if turn:
                self._follow(conversation, str(turn), epoch=0)

    def _follow(self, conversation: str, turn: str, epoch: int) -> None:
        if turn in self._own or self._copied.get(conversation) == turn or not self._hub.is_watched(conversation):
            return
        if earlier := self._following.get(conversation):
            earlier.cancel()
        self._copied[conversation] = turn
        task = asyncio.create_task(self._following_turn(conversation, turn, epoch))
        self._following[conversation] = task

        def over(_: asyncio.Task[None]) -> None:
            if self._following.get(conversation) is task:
                del self._following[conversation], self._copied[conversation]

        task.add_done_callback(over)

    async def _following_turn(self, conversation: str, turn: str, epoch: int) -> None:
        """A call to follow may come late: what is over by then is not begun again, for the line may be somebody else's."""
        with contextlib.suppress(*redis_pool.Unavailable):
            if await redis_pool.async_redis().get(f"running:{conversation}") != turn:
                return
        copy = _Copy(self._hub.open(conversation, turn, epoch, copy=True))
        try:
            with contextlib.suppress(*redis_pool.Unavailable):
                await self._read([copy])  # what there is; then all copies of the process are read together
            self._copies[turn] = copy
            await copy.over.wait()
        finally:
            self._copies.pop(turn, None)
            self._hub.close(copy.log)

    async def _reading(self) -> None:
        """One call to Redis for all copies: each with a call of its own would hold a connection each."""
        while True:
            if not self._copies:
                await asyncio.sleep(STEP_S / 2)
                continue
            try:
                copies = list(self._copies.values())
                await self._read(copies, block_ms=int(STEP_S * 1000))
                await self._end_silent(copies)
            except redis_pool.Unavailable as problem:
                logger.warning("answers of other processes not read", extra={"problem": type(problem).__name__})
                await asyncio.sleep(RECONNECT_S)
                for copy in self._copies.values():
                    copy.heard_at = time.monotonic()  # those who write them must find Redis again, too

    async def _read(self, copies: Sequence["_Copy"], block_ms: int | None = None) -> None:
        by_key = {f"turn:{copy.log.turn}": copy for copy in copies}
        after: dict[Any, Any] = {key: copy.last for key, copy in by_key.items()}
        found: Any = await redis_pool.async_redis().xread(after, block=block_ms, count=500)
        for key, entries in found or ():
            for entry, fields in entries:
                by_key[key].take(entry, fields, self._hub)
        for copy in copies:
            if copy.log.frozen:
                copy.over.set()
            elif not copy.over.is_set():
                self._hub.confirm_copy(copy.log, copy.spoke_at)

    async def _end_silent(self, copies: Sequence["_Copy"]) -> None:
        """An answer that has said nothing for a while may be over without a word: its process may have died."""
        now = time.monotonic()
        silent = [copy for copy in copies if now - copy.heard_at > SILENT_S]
        if not silent:
            return
        running = await redis_pool.async_redis().mget([f"running:{copy.log.conversation}" for copy in silent])
        for copy, turn in zip(silent, running, strict=True):
            copy.heard_at = now
            if turn != copy.log.turn:
                copy.over.set()

    # --- the ear ---
    async def _listening(self) -> None:
        layer = get_channel_layer()
        while True:
            try:
                channel = await layer.new_channel()
                await layer.group_add(GROUP, channel)
                while True:
                    await self._heard(await layer.receive(channel))
            except redis_pool.Unavailable as problem:
                logger.warning("the doorbell of other processes is silent", extra={"problem": type(problem).__name__})
                await asyncio.sleep(RECONNECT_S)

    async def _heard(self, message: Mapping[str, Any]) -> None:
        match message["type"]:
            case "doorbell.rung" if message.get("by") != self._name:
                self._hub.hear(Doorbell(**message["bell"]))
            case "turn.running" if message["by"] != self._name:
                self._follow(message["conversation"], message["turn"], message["epoch"])
            case "line.hold":
                writes = self._hub.writes(message["conversation"])
                shown = await self._hub.hold_here(message["conversation"], message["hold"])
                if writes and "reply" in message:
                    client = redis_pool.async_redis()
                    await client.rpush(message["reply"], json.dumps(dict(shown)))
                    await client.expire(message["reply"], 10)
            case "turn.stop":
                self._hub.ask_to_stop(message["conversation"])
            case "turn.merge":
                self._hub.ask_to_merge(message["turns"])
            case "visitor.typing" if message["by"] != self._name:
                self._hub.visitor_types(message["conversation"], here=False)
            case "line.let_go":
                self._hub.let_go(message["conversation"], message["hold"], done=message["done"])


async def ask_to_stop(conversation: str) -> None:
    """Tell whichever process writes an answer in `conversation` that its visitor has read enough."""
    await _tell({"type": "turn.stop", "conversation": conversation})


async def ask_to_merge(turns: Sequence[str]) -> None:
    """Tell whichever process is about to answer `turns` that a later question waits to be answered with them."""
    await _tell({"type": "turn.merge", "turns": list(turns)})


async def _tell(message: Mapping[str, Any]) -> None:
    with contextlib.suppress(*redis_pool.Unavailable):
        await get_channel_layer().group_send(GROUP, message)


def hold_everywhere(conversation: str, hold: str) -> Mapping[str, str]:
    """Ask whichever process writes an answer in `conversation` to hold it; returns what was seen of it, by turn.

    Blocking. No answer within `HOLD_S`: empty, and the database's refusal of the next checkpoint does the work. A process where
    an answer is only about to begin may be quicker than the one that writes, so who has shown nothing is not the last word.
    """
    reply = f"held:{secrets.token_hex(8)}"
    try:
        async_to_sync(get_channel_layer().group_send)(
            GROUP, {"type": "line.hold", "conversation": conversation, "hold": hold, "reply": reply}
        )
        shown: dict[str, str] = {}
        within_s = HOLD_S
        while not any(shown.values()) and (answer := redis_pool.sync_redis().blpop([reply], timeout=within_s)):
            shown |= json.loads(answer[1])
            within_s = ANOTHER_S
    except redis_pool.Unavailable:
        return {}
    return shown


def hold_quietly(conversation: str, hold: str) -> None:
    """As `hold_everywhere`, of those who have shown nothing: what they follow, or begin, is held. Blocking, for a moment."""
    _say({"type": "line.hold", "conversation": conversation, "hold": hold})


def let_go_everywhere(conversation: str, hold: str, *, done: bool) -> None:
    """See `Hub.let_go`."""
    _say({"type": "line.let_go", "conversation": conversation, "hold": hold, "done": done})


def _say(message: Mapping[str, Any]) -> None:
    with contextlib.suppress(*redis_pool.Unavailable):
        async_to_sync(get_channel_layer().group_send)(GROUP, message)
