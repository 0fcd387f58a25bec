"""A thousand takeovers at random moments of an answer: does the bot fall silent, and is what was shown what is kept?

    python benchmarks/takeovers.py                            1,000 takeovers
    python benchmarks/takeovers.py --takeovers 50 --seed 7    as many as that, at other moments
    python benchmarks/takeovers.py --encoders FOLDER          with an encoder that was made before (saves half a minute)

A visitor asks at one of two web processes and watches in a second tab at the other; an agent watches at either. At a
moment between the question and a little after the answer's end an agent presses the desk's button, half the time at the
process that does not write; now and then two agents press at once. Every frame is recorded with its time. Afterwards: no
frame of the bot later than 200 ms after the handover was written, no row of the bot after it, and the text that was shown
is the text that is kept. Exits with 1 when a promise is broken. Needs PostgreSQL and Redis.
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

import httpx
from pair import Cost, Line, Pair, machine, report_end, run_beside, shares
from screen import Screen
from upstream.known import Model, question
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

FIRST_S, RATE, TOKENS = 0.1, 30.0, 45
SILENT_WITHIN_S = 0.2
LISTENS_S = 1.2  # how long after a takeover frames are recorded
TWO_AGENTS = 0.2  # of the takeovers are made by both at once
ASKS_AFTER_S = 0.3
ENDS_AFTER_S = 0.5  # the latest moment, after the answer's expected end
WARM_WITHIN_S = 240.0
WARM_UP = 900_000  # the numbers of questions that do not count
CSRF = "b" * 32
NAMES = ("Mei", "Tom")


@dataclass
class Watcher:
    """A socket of a visitor or of an agent, and every live frame with the time it came (`time.monotonic`)."""

    name: str
    screen: Screen = field(default_factory=Screen)
    live: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    others: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    connection: ClientConnection | None = None
    reading: asyncio.Task[None] | None = None

    async def open(self, url: str, cookie: str, *hello: dict[str, Any]) -> None:
        headers = {"cookie": cookie} if cookie else {}
        self.connection = await connect(
            url, additional_headers=headers, ping_interval=None, compression=None, max_queue=None, close_timeout=1
        )
        for frame in hello:
            await self.connection.send(json.dumps(frame))
        self.reading = asyncio.create_task(self._read())

    async def close(self) -> None:
        if self.reading and self.connection:
            self.reading.cancel()
            with suppress(asyncio.CancelledError):
                await self.reading
            await self.connection.close()

    async def _read(self) -> None:
        assert self.connection
        with suppress(WebSocketException):
            async for raw in self.connection:
                now, frame = time.monotonic(), json.loads(raw)
                if frame["type"] in {"turn", "delta"}:
                    self.live.append((now, frame))
                    if self.name.startswith("visitor"):
                        self.screen.take(frame)
                else:
                    self.others.append((now, frame))
                    if self.name.startswith("visitor"):
                        self.screen.take(frame)

    @property
    def text(self) -> str:
        """All live text that came, by its offsets."""
        text = ""
        for _, frame in self.live:
            if frame["type"] == "delta":
                text = text[: frame["from"]] + frame["text"]
        return text

    def last_before(self, moment: float) -> float | None:
        return max((at for at, _ in self.live if at <= moment), default=None)


@dataclass
class Takeover:
    number: int
    conversation: str
    writer: int  # the process that writes the answer
    by: int  # the process through which the (first) agent takes over
    two: bool
    pressed_at: float
    returned_at: float
    winner: str
    told: str
    watchers: list[Watcher]


@dataclass
class Found:
    after_written: list[float] = field(default_factory=list)  # last bot frame - the event's time, where positive
    last_frame: list[float] = field(default_factory=list)  # the same, whatever its sign
    after_return: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    behind: list[int] = field(default_factory=list)  # characters that a reader at the other process had not seen
    late: list[float] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


class Run:
    def __init__(self, options: argparse.Namespace, model: Model, servers: Pair) -> None:
        self.options, self.model, self.pair, self.found = options, model, servers, Found()
        self._dice = random.Random(options.seed)
        self._left = options.takeovers
        self._number = 0
        self.taken: list[Takeover] = []

    async def run(self) -> None:
        for writer in range(len(self.pair.addresses)):
            await self._warm_up(writer)
        clock = asyncio.create_task(self._watch_own_clock())
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(trust_env=False, timeout=30, limits=limits) as http:
            await asyncio.gather(*(self._take_over_again_and_again(http) for _ in range(self.options.at_once)))
        clock.cancel()
        await asyncio.to_thread(self._check)

    async def _take_over_again_and_again(self, http: httpx.AsyncClient) -> None:
        while self._left > 0:
            self._left -= 1
            self._number += 1
            number, dice = self._number, random.Random(f"{self.options.seed}:{self._number}")
            try:
                self.taken.append(await self._one(http, number, dice))
            except (WebSocketException, httpx.HTTPError, OSError, TimeoutError) as problem:
                self.found.broken.append(f"takeover {number} could not be made: {problem!r}")
            if len(self.taken) % 100 == 0:
                print(f"{len(self.taken)} takeovers", flush=True)

    async def _one(self, http: httpx.AsyncClient, number: int, dice: random.Random) -> Takeover:
        line = await asyncio.to_thread(self.pair.open_line)
        writer, by = dice.randrange(2), dice.randrange(2)
        watchers = [self._visitor(line, writer, "visitor"), self._visitor(line, 1 - writer, "visitor's second tab")]
        desks = [self._desk(line, at, NAMES[at]) for at in range(2)]
        opened = [each for each, _ in [*watchers, *desks]]
        try:
            await asyncio.gather(*(opening for _, opening in [*watchers, *desks]))
            await asyncio.sleep(ASKS_AFTER_S)
            visitor = opened[0]
            assert visitor.connection
            await visitor.connection.send(json.dumps(_say(number)))
            expected = FIRST_S + len(self.model.pieces(number)) / RATE
            moment = dice.random()
            longest = expected + ENDS_AFTER_S if moment < 0.8 else 0.25 if moment < 0.9 else 0.0
            await asyncio.sleep(expected + dice.uniform(-0.1, 0.3) if longest == 0.0 else dice.uniform(0.0, longest))
            two = dice.random() < TWO_AGENTS
            pressed = time.monotonic()
            names = [NAMES[by], *([NAMES[1 - by]] if two else [])]
            ats = [by, *([1 - by] if two else [])]
            pages = await asyncio.gather(
                *(self._press(http, line, name, at) for name, at in zip(names, ats, strict=True))
            )
            returned = time.monotonic()
            await asyncio.sleep(LISTENS_S)
        finally:
            await asyncio.gather(*(each.close() for each in opened))
        winners = [name for name, page in zip(names, pages, strict=True) if "You have the line" in page]
        told = next((page for name, page in zip(names, pages, strict=True) if name not in winners), "")
        if len(winners) != 1:
            self.found.broken.append(f"takeover {number}: {len(winners)} agents have the line")
        elif two and f"Another agent has this conversation: {winners[0]}." not in told:
            self.found.broken.append(f"takeover {number}: the second agent was not told who was first")
        winner = winners[0] if winners else ""
        self.found.took.append(returned - pressed)
        return Takeover(number, line.conversation, writer, by, two, pressed, returned, winner, told, opened)

    def _visitor(self, line: Line, at: int, name: str) -> tuple[Watcher, Any]:
        watcher = Watcher(name)
        url = f"ws://{self.pair.addresses[at]}/ws/widget/{self.pair.inbox}/"
        return watcher, watcher.open(url, "", {"type": "hello", "after": 0, "language": "en", "token": line.token})

    def _desk(self, line: Line, at: int, name: str) -> tuple[Watcher, Any]:
        watcher = Watcher(f"desk of {name}")
        url = f"ws://{self.pair.addresses[at]}/ws/desk/{self.pair.workspace}/"
        watch = {"type": "watch", "conversation": line.conversation, "after": 0}
        return watcher, watcher.open(url, self.pair.agents[name], {"type": "hello", "language": "en"}, watch)

    async def _press(self, http: httpx.AsyncClient, line: Line, name: str, at: int) -> str:
        answer = await http.post(
            f"http://{self.pair.addresses[at]}/desk/{line.conversation}/take-over/",
            headers={
                "cookie": f"{self.pair.agents[name]}; csrftoken={CSRF}", "x-csrftoken": CSRF, "hx-request": "true",
                "accept-language": "en",
            },
        )  # fmt: skip
        if answer.status_code != 200:
            self.found.broken.append(f"{name} got {answer.status_code} for a takeover")
        return answer.text

    async def _warm_up(self, writer: int) -> None:
        """The first answer of a process takes longer."""
        line = await asyncio.to_thread(self.pair.open_line)
        watcher, opening = self._visitor(line, writer, "visitor")
        await opening
        assert watcher.connection
        await watcher.connection.send(json.dumps(_say(WARM_UP + writer)))
        until = time.monotonic() + WARM_WITHIN_S
        while not any(message["author"] == "bot" for message in watcher.screen.messages):
            if time.monotonic() > until:
                raise TimeoutError("a web process gave no first answer")
            await asyncio.sleep(0.1)
        await watcher.close()

    async def _watch_own_clock(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            self.found.late.append(time.monotonic() - before - 0.01)

    # --- afterwards ---
    def _check(self) -> None:
        between = time.time() - time.monotonic()
        for takeover in self.taken:
            for problem in self._check_one(takeover, between):
                self.found.broken.append(f"takeover {takeover.number} ({takeover.conversation}): {problem}")

    def _check_one(self, takeover: Takeover, between: float) -> list[str]:
        from conversations.models import Author, Event, Message

        broken: list[str] = []
        joined = Event.every.get(conversation__public_id=takeover.conversation, type="agent.joined")
        written_at = joined.at.timestamp() - between  # before its transaction's commit
        rows = list(Message.every.filter(conversation__public_id=takeover.conversation, author=Author.BOT))
        broken += [f"a bot's row after it: {row.state} {row.text[:40]!r}" for row in rows if row.seq > joined.seq]
        text, kept = self.model.text(takeover.number), rows[0] if rows else None
        if len(rows) > 1:
            broken.append(f"{len(rows)} rows of the bot")
        if kept and not text.startswith(kept.text):
            broken.append("the record holds another text than the model wrote")
        if kept and kept.state == Message.State.COMPLETE and kept.text != text:
            broken.append("an answer is called complete that is not")
        self._count(takeover, kept)
        last = max((each.live[-1][0] for each in takeover.watchers if each.live), default=None)
        if last is not None:
            self.found.last_frame.append(last - written_at)
        for watcher in takeover.watchers:
            broken += self._check_watcher(watcher, takeover, written_at, kept)
        return broken

    def _count(self, takeover: Takeover, kept: Any) -> None:
        if kept is None:
            self.found.kinds["before the first text"] += 1
        elif kept.state == "interrupted":
            whole = kept.text == self.model.text(takeover.number)
            self.found.kinds["between the last word and the record" if whole else "in mid-answer"] += 1
        else:
            self.found.kinds["after the answer"] += 1
        self.found.kinds[
            "at the process that " + ("writes" if takeover.by == takeover.writer else "does not write")
        ] += 1
        self.found.kinds["two agents at once"] += takeover.two

    def _check_watcher(self, watcher: Watcher, takeover: Takeover, written_at: float, kept: Any) -> list[str]:
        broken = [f"{watcher.name}: {problem}" for problem in watcher.screen.broken]
        if watcher.live:
            last = watcher.live[-1][0]
            if last > written_at:
                self.found.after_written.append(last - written_at)
            if last > takeover.returned_at:
                self.found.after_return.append(last - takeover.returned_at)
            if last - written_at > SILENT_WITHIN_S:
                broken.append(f"{watcher.name}: a bot's frame {(last - written_at) * 1000:.0f} ms after the handover")
        shown, stored = watcher.text, kept.text if kept else ""
        if not stored.startswith(shown):
            broken.append(f"{watcher.name}: shown was {shown[-40:]!r}, kept is {stored[-40:]!r}")
        elif watcher.name == "visitor" and kept and kept.state == "interrupted" and shown != stored:
            broken.append(f"visitor: {len(stored) - len(shown)} characters are kept that were not shown")
        elif kept and kept.state == "interrupted":
            self.found.behind.append(len(stored) - len(shown))
        return broken + self._check_told(watcher, kept)

    def _check_told(self, watcher: Watcher, kept: Any) -> list[str]:
        """Everybody is told who joined, and the message that was cut off as it is kept."""
        from chatbot.web.frames import bot_html
        from conversations.events import view_message

        events = [frame for _, frame in watcher.others if frame["type"] == "event"]
        broken = [] if any(each["kind"] == "agent.joined" for each in events) else [f"{watcher.name}: nobody joined"]
        said = [message for message in watcher.screen.messages if message["author"] == "bot"]
        if kept and watcher.name.startswith("visitor"):
            html = bot_html(view_message(kept))
            if [message["html"] for message in said] != [html]:
                broken.append(f"{watcher.name}: was told another message than is kept")
        return broken


def _say(number: int) -> dict[str, str]:
    return {"type": "say", "id": uuid.uuid4().hex, "text": question(number)}


def report(run: Run, cost: Cost) -> int:
    found = run.found
    print(machine())
    counted = f"{len(run.taken)} takeovers in {cost.took_s:.0f} s, {run.options.at_once} at once"
    print(f"seed {run.options.seed}; {counted}")
    print("  " + "; ".join(f"{count} {kind}" for kind, count in found.kinds.items()))
    print(f"the takeover took the agent             {shares(found.took)}")
    print(f"last bot frame - handover written       {shares(found.last_frame)}")
    print(f"  of the frames that came after it      {shares(found.after_written)}")
    print(f"  of those after the call had returned  {shares(found.after_return)}")
    behind = sorted(found.behind) or [0]
    unseen = f"{behind[len(behind) // 2]} at the median, {behind[-1]} at most"
    print(f"characters kept that other readers had not seen live: {unseen}")
    report_end(cost, run.model, found.late, found.broken)
    return int(bool(found.broken) or len(run.taken) != run.options.takeovers)


async def story(options: argparse.Namespace, model: Model, servers: Pair) -> Callable[[Cost], int]:
    run = Run(options, model, servers)
    await run.run()
    return partial(report, run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--takeovers", type=int, default=1_000)
    parser.add_argument("--at-once", type=int, default=6)
    run_beside(story, parser, first_s=FIRST_S, rate=RATE, tokens=TOKENS)


if __name__ == "__main__":
    main()
