"""Visitors who keep talking whatever breaks, as the widget does it: client ids, an outbox, reconnects, resuming by number.

Each keeps a ledger of what it sent, what was acknowledged, what it was shown, and how each of its turns ended.
"""

import asyncio
import contextlib
import json
import random
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

FIRST_S, LONGEST_S = 0.3, 15.0  # pauses between tries, as in static/shared/socket.js
PING_S = 25.0
RESEND_S = 1.0  # a visitor sees "not sent" and presses the button
THINKS_S = (0.2, 1.2)
TWICE, AGAIN = 0.15, 0.5  # how often a second message follows at once; how often an answer that broke off is continued
PATIENCE_S = 60.0


@dataclass
class Ended:
    """How a turn ended for its visitor: when (`time.monotonic`), what had been shown of it, at which server."""

    turn: str
    at: float
    outcome: str
    error: str
    shown: str
    address: str


@dataclass
class Visitor:
    conversation: str
    token: str
    inbox: str
    addresses: list[str]
    dice: random.Random
    sent: dict[str, str] = field(default_factory=dict)
    acknowledged: dict[str, int] = field(default_factory=dict)
    seqs: list[int] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    shown: dict[str, str] = field(default_factory=dict)
    speaking: dict[str, str] = field(default_factory=dict)  # turns that are being written -> the server, where known
    errors: Counter[str] = field(default_factory=Counter)
    gaps: int = 0
    late: list[str] = field(default_factory=list)
    address: str = ""

    def __post_init__(self) -> None:
        self._outbox: dict[str, dict[str, str]] = {}
        self._line: ClientConnection | None = None
        self._news = asyncio.Event()
        self.over = False
        self._last_end = 0
        self._asked_here = False

    async def live(self) -> None:
        """Connected until the end; talking until `over`."""
        connected = asyncio.create_task(self._stay_connected())
        try:
            while not self.over:
                await asyncio.sleep(self.dice.uniform(*THINKS_S))
                await self._ask()
            await asyncio.sleep(1)
        finally:
            connected.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await connected

    def waits_for(self, address: str) -> list[str]:
        """The turns that are being written at a server, with some of their text shown."""
        return [turn for turn, at in self.speaking.items() if at == address and self.shown.get(turn)]

    # --- talking ---
    async def _ask(self) -> None:
        asked = []
        for _ in range(2 if self.dice.random() < TWICE else 1):
            client_id = uuid.UUID(int=self.dice.getrandbits(128)).hex
            text = f"How long do refunds take? ({len(self.sent)} of {self.conversation})"
            self.sent[client_id] = text
            self._outbox[client_id] = {"type": "say", "id": client_id, "text": text}
            asked.append(client_id)
            await self._send(self._outbox[client_id])
        if not await self._until(lambda: all(each in self.acknowledged for each in asked)):
            self.late.append(f"not acknowledged: {asked}")
            return
        last = max(self.acknowledged[each] for each in asked)
        if not await self._until(lambda: self._last_end > last):
            self.late.append(f"nothing came of: {asked}")

    async def _until(self, true: Any) -> bool:
        end = time.monotonic() + PATIENCE_S
        while not true():
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), 0.5)
            if time.monotonic() > end:
                return False
        return True

    async def _send(self, frame: dict[str, Any]) -> None:
        if self._line is not None:
            with contextlib.suppress(WebSocketException, OSError):
                await self._line.send(json.dumps(frame))

    # --- the line ---
    async def _stay_connected(self) -> None:
        tries = 0
        while True:
            for address in self.dice.sample(self.addresses, len(self.addresses)):
                self.address = address
                try:
                    line = await self._connect()
                except (WebSocketException, OSError, TimeoutError, EOFError):
                    continue  # as the proxy in front does it
                async with line:
                    with contextlib.suppress(WebSocketException, OSError):
                        if await self._serve(line):
                            tries = 0
                break
            self._line = None
            longest = min(LONGEST_S, FIRST_S * 2.0**tries)
            tries += 1
            await asyncio.sleep(longest * (0.5 + self.dice.random() / 2))

    async def _connect(self) -> ClientConnection:
        url = f"ws://{self.address}/ws/widget/{self.inbox}/"
        return await connect(url, open_timeout=5, close_timeout=1, ping_interval=None, max_queue=None)

    async def _serve(self, line: ClientConnection) -> bool:
        """Returns, or raises, when the line is gone; true if it was a good one."""
        self._asked_here = False
        hello: dict[str, Any] = {"type": "hello", "after": self._after, "token": self.token, "language": "en"}
        for turn in self.speaking:  # the newest
            hello["live"] = {"turn": turn, "at": len(self.shown[turn])}
        await line.send(json.dumps(hello))
        await line.send(json.dumps({"type": "ping"}))
        beat = asyncio.create_task(self._beat(line))
        welcomed = False
        try:
            async for raw in line:
                frame = json.loads(raw)
                if frame["type"] == "welcome":
                    welcomed, self._line = True, line
                    for waiting in list(self._outbox.values()):
                        await line.send(json.dumps(waiting))
                else:
                    await self._take(frame)
        except WebSocketException:
            pass
        finally:
            beat.cancel()
        return welcomed

    async def _beat(self, line: ClientConnection) -> None:
        while True:
            await asyncio.sleep(PING_S)
            with contextlib.suppress(WebSocketException):
                await line.send('{"type":"ping"}')

    async def _take(self, frame: dict[str, Any]) -> None:
        match frame["type"]:
            case "event" if frame["seq"] > self._after:
                self.seqs.append(frame["seq"])
                await self._event(frame)
            case "turn":
                self.speaking.setdefault(frame["turn"], self.address if self._asked_here else "")
                self.shown.setdefault(frame["turn"], "")
            case "delta":
                before = self.shown.get(frame["turn"], "")
                if frame["from"] > len(before):
                    self.gaps += 1
                self.shown[frame["turn"]] = before[: frame["from"]] + frame["text"]
            case "known":
                self._acknowledge(frame["id"], frame["seq"])
            case "error":
                self.errors[frame["code"]] += 1
                if frame.get("id") in self._outbox:
                    asyncio.get_running_loop().call_later(RESEND_S, self._resend, frame["id"])
        self._news.set()

    async def _event(self, frame: dict[str, Any]) -> None:
        message, data = frame.get("message") or {}, frame["data"]
        if message.get("author") == "visitor":
            self._acknowledge(message["client_id"], frame["seq"])
            self._asked_here = True
        elif message.get("author") == "bot":
            self._end(message["turn"], message["state"], "", frame["seq"])
        elif frame["kind"] == "turn.ended":
            self._end(data["turn"], data["outcome"], data.get("error", ""), frame["seq"])
            if data.get("error") == "process_lost" and self.dice.random() < AGAIN:
                self._asked_here = True
                await self._send({"type": "again", "turn": data["turn"]})

    def _acknowledge(self, client_id: str, seq: int) -> None:
        self._outbox.pop(client_id, None)
        self.acknowledged.setdefault(client_id, seq)

    def _end(self, turn: str, outcome: str, error: str, seq: int) -> None:
        self._last_end = seq
        self.speaking.pop(turn, None)
        shown = self.shown.get(turn, "")
        self.ended.append(Ended(turn, time.monotonic(), outcome, error, shown, self.address))

    def _resend(self, client_id: str) -> None:
        if frame := self._outbox.get(client_id):
            task = asyncio.ensure_future(self._send(frame))
            task.add_done_callback(lambda done: done.exception())

    @property
    def _after(self) -> int:
        return self.seqs[-1] if self.seqs else 0
