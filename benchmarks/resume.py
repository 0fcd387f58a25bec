"""A thousand cuts at random moments of an answer: is a token lost or doubled, and how soon does the rest come?

    python benchmarks/resume.py                        1,000 cuts
    python benchmarks/resume.py --cuts 50 --seed 7     as many as that, at other moments
    python benchmarks/resume.py --encoders FOLDER      with an encoder that was made before (saves half a minute)

Visitors of two web processes read answers as they are written. At random moments their connections are cut, half of
them without a word, and after a gap of nothing to longer than the answer they are back at the same or the other process
with the offsets they have. Everything they see is held against what the model wrote and what the record holds. Exits with 1
when a promise is broken. Needs PostgreSQL and Redis.
"""

import argparse
import asyncio
import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pair import Cost, Line, Pair, machine, report_end, run_beside, shares
from screen import Screen, Stream
from upstream.known import MARK, Model, question
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

FIRST_S, RATE, TOKENS = 0.1, 30.0, 90
REPLAYED_WITHIN_S = 0.1  # 99 of 100
BEHIND_S = 0.15  # so long before a visitor's hello, what the model wrote is there to be replayed
STOOD_STILL_S = 0.6  # so old, text has reached every reader
ANSWER_WITHIN_S = 30.0
WARM_WITHIN_S = 240.0
TALKS_BESIDES = 0.3  # how often something else happens while an answer is written


@dataclass
class Found:
    replayed: list[float] = field(default_factory=list)  # seconds from hello to the first event or delta
    welcomed: list[float] = field(default_factory=list)
    unseen: list[int] = field(default_factory=list)  # characters that an answer's reader had not seen when it was over
    kinds: Counter[str] = field(default_factory=Counter)
    cuts: int = 0
    characters: int = 0
    late: list[float] = field(default_factory=list)  # seconds by which this process's own event loop was late
    broken: list[str] = field(default_factory=list)


class Visitor:
    """Asks, reads, is cut and comes back."""

    def __init__(self, run: "Run", name: int, line: Line) -> None:
        self.run, self.line, self.screen = run, line, Screen()
        self.dice = random.Random(f"{run.options.seed}:{name}")
        self.address = self.dice.choice(run.pair.addresses)
        self.number = 0
        self.streams: dict[str, Stream] = {}
        self._connection: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None
        self._answered = asyncio.Event()
        self._since = 0.0

    async def warm_up(self, address: str) -> None:
        """The first answer of a process takes longer."""
        self.address, self.number = address, self.run.next_number()
        await self._join()
        await self._say()
        await asyncio.wait_for(self._answered.wait(), WARM_WITHIN_S)
        await self._leave(rudely=False)

    async def live(self) -> None:
        await self._join()
        while self.run.goes_on:
            await self._one_answer()
            await asyncio.sleep(self.dice.uniform(0.05, 0.3))
        await self._leave(rudely=False)

    async def _one_answer(self) -> None:
        self.number = self.run.next_number()
        self._answered.clear()
        await self._say()
        besides = self.dice.random() < TALKS_BESIDES
        until = time.monotonic() + ANSWER_WITHIN_S
        while not self._answered.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._answered.wait(), self.dice.uniform(0.0, 2.5))
            if self._answered.is_set() and self.dice.random() < 0.7:  # else it is cut right after the end
                return
            if besides:
                besides = False
                await self._send({"type": "details", "email": f"{self.number}@example.com"})
            if time.monotonic() > until:
                self.run.found.broken.append(f"no answer to question {self.number} of {self.line.conversation}")
                return
            if self.run.takes_a_cut():
                await self._cut()

    async def _cut(self) -> None:
        rudely, other = self.dice.random() < 0.5, self.dice.random() < 0.5
        await self._leave(rudely=rudely)
        kind = self.dice.random()
        longest = 0.05 if kind < 0.3 else 1.5 if kind < 0.7 else self.run.model.longest_s + 1.0
        await asyncio.sleep(self.dice.uniform(0.0, longest))
        if other:
            self.address = next(each for each in self.run.pair.addresses if each != self.address)
        self.run.found.kinds[
            ("dropped" if rudely else "closed") + (", other process" if other else ", same process")
        ] += 1
        await self._join()

    # --- the connection ---
    async def _join(self) -> None:
        url = f"ws://{self.address}/ws/widget/{self.run.pair.inbox}/"
        self._connection = await connect(url, ping_interval=None, compression=None, max_queue=None, close_timeout=1)
        hello: dict[str, Any] = {
            "type": "hello",
            "after": self.screen.after,
            "language": "en",
            "token": self.line.token,
        }
        if live := self.screen.live():
            hello["live"] = live
        await self._connection.send(json.dumps(hello))
        self._since = time.monotonic()
        self._reading = asyncio.create_task(self._read(self._connection, self._since, self._is_behind()))

    async def _leave(self, *, rudely: bool) -> None:
        assert self._connection
        assert self._reading
        if rudely:
            self._connection.transport.abort()
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading
        await self._connection.close()
        self._connection = None

    async def _send(self, frame: dict[str, Any]) -> None:
        assert self._connection
        await self._connection.send(json.dumps(frame))

    async def _say(self) -> None:
        await self._send(
            {"type": "say", "id": uuid.UUID(int=self.dice.getrandbits(128)).hex, "text": question(self.number)}
        )

    def _is_behind(self) -> bool:
        """Whether there is something to replay for certain."""
        written = self.run.model.written.get(self.number)
        if self._answered.is_set() or written is None:
            return False
        seen = len(self.screen.stream.text) if self.screen.stream else 0
        return written.length_at(self._since - BEHIND_S) > seen

    async def _read(self, connection: ClientConnection, began: float, behind: bool) -> None:
        first = True
        with suppress(WebSocketException):
            async for raw in connection:
                now, frame = time.monotonic(), json.loads(raw)
                if frame["type"] == "welcome":
                    self.run.found.welcomed.append(now - began)
                elif frame["type"] in {"event", "delta"} and first:
                    first = False
                    if behind:
                        self.run.found.replayed.append(now - began)
                self._take(frame, now)

    # --- what is seen ---
    def _take(self, frame: dict[str, Any], now: float) -> None:
        before, problems = self.screen.stream, len(self.screen.broken)
        self.screen.take(frame)
        for problem in self.screen.broken[problems:]:
            self._broken(problem)
        if frame["type"] == "delta" and self.screen.stream:
            self._check_stream(self.screen.stream)
        elif frame["type"] == "event" and frame.get("message", {}).get("author") == "bot":
            self._check_answer(frame["message"], before, now)
            self._answered.set()

    def _check_stream(self, stream: Stream) -> None:
        from chatbot.markdown import render

        text = self.run.model.text(self.number)
        if not text.startswith(stream.text):
            self._broken(f"another text than was written: {stream.text[-40:]!r}")
        while stream.blocks:
            begin, end, html = stream.blocks.pop()
            if html != render(text[begin:end]):
                self._broken(f"the blocks from {begin} to {end} show something else: {html[:60]!r}")

    def _check_answer(self, message: dict[str, Any], before: Stream | None, now: float) -> None:
        from chatbot.markdown import render

        text = self.run.model.text(self.number)
        if message["state"] != "complete" or message["html"] != render(text):
            self._broken(f"the message is another than was written ({message['state']}, {message['kind']})")
        self.run.found.characters += len(text)
        if now - self._since > 1.0:
            seen = len(before.text) if before and before.turn == message["turn"] else 0
            self.run.found.unseen.append(len(text) - seen)
            if seen < self.run.model.written[self.number].length_at(now - STOOD_STILL_S):
                self._broken(f"the live text stood still at {seen} of {len(text)}")

    def _broken(self, problem: str) -> None:
        self.run.found.broken.append(f"question {self.number} of {self.line.conversation} at {self.address}: {problem}")


class Run:
    def __init__(self, options: argparse.Namespace, model: Model, servers: Pair) -> None:
        self.options, self.model, self.pair, self.found = options, model, servers, Found()
        self.answers = 0

    @property
    def goes_on(self) -> bool:
        return bool(self.found.cuts < self.options.cuts)

    def takes_a_cut(self) -> bool:
        if not self.goes_on:
            return False
        self.found.cuts += 1
        if self.found.cuts % 100 == 0:
            print(f"{self.found.cuts} cuts, {self.answers} answers, broken {len(self.found.broken)}", flush=True)
        return True

    def next_number(self) -> int:
        self.answers += 1
        return self.answers

    async def run(self) -> None:
        lines = [await asyncio.to_thread(self.pair.open_line) for _ in range(self.options.visitors)]
        visitors = [Visitor(self, name, line) for name, line in enumerate(lines)]
        for visitor, address in zip(visitors, self.pair.addresses, strict=False):
            await visitor.warm_up(address)
        self.found = Found()
        clock = asyncio.create_task(self._watch_own_clock())
        await asyncio.gather(*(visitor.live() for visitor in visitors))
        clock.cancel()
        self.found.broken += await asyncio.to_thread(self._check_record)

    async def _watch_own_clock(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            self.found.late.append(time.monotonic() - before - 0.01)

    def _check_record(self) -> list[str]:
        """Each question has one answer, whole, as it was written; the model was asked once for it."""
        from conversations.models import Author, Message

        broken, answers = [], Counter[int]()
        for message in Message.every.filter(author=Author.BOT).select_related("turn__question"):
            assert message.turn
            number = int(MARK.findall(message.turn.question.text)[-1])
            answers[number] += 1
            if message.text != self.model.text(number):
                broken.append(f"the record holds another answer to question {number}")
        asked = self.model.asked
        return broken + [
            f"question {number}: answered {answers[number]} times, asked {asked[number]} times"
            for number in range(1, self.answers + 1)
            if answers[number] != 1 or asked[number] != 1
        ]


def report(run: Run, cost: Cost) -> int:
    found = run.found
    print(machine())
    counted = f"{found.cuts} cuts, {run.answers} answers, {found.characters} characters, {cost.took_s:.0f} s"
    print(f"seed {run.options.seed}; {counted}")
    print("  " + "; ".join(f"{count} {kind}" for kind, count in sorted(found.kinds.items())))
    print(f"hello to the first replayed frame     {shares(found.replayed)}")
    print(f"hello to welcome                      {shares(found.welcomed)}")
    unseen = sorted(found.unseen) or [0]
    print(f"characters unseen when an answer ends {unseen[len(unseen) // 2]} at the median, {unseen[-1]} at most")
    replayed = sorted(found.replayed)
    if replayed and replayed[min(len(replayed) - 1, int(0.99 * len(replayed)))] > REPLAYED_WITHIN_S:
        found.broken.append(f"more than {REPLAYED_WITHIN_S * 1000:.0f} ms to the first replayed frame at p99")
    report_end(cost, run.model, found.late, found.broken)
    return int(bool(found.broken))


async def story(options: argparse.Namespace, model: Model, servers: Pair) -> Callable[[Cost], int]:
    run = Run(options, model, servers)
    await run.run()
    return partial(report, run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=1_000)
    parser.add_argument("--visitors", type=int, default=12)
    run_beside(story, parser, first_s=FIRST_S, rate=RATE, tokens=TOKENS)


if __name__ == "__main__":
    main()
