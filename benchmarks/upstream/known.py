"""A model whose every answer is known beforehand: the question carries a number, the answer follows from it.

It runs on the event loop of the benchmark that asks it and remembers what it wrote, when, and how often it was asked.
The texts are Markdown of many blocks, in words of the business's own knowledge so that every sentence has a source.
"""

import asyncio
import contextlib
import json
import random
import re
import time
from collections import Counter
from dataclasses import dataclass, field

KNOWLEDGE = """# Refunds and returns

Refunds take seven days after the parcel has reached our warehouse. The money goes back to the card that paid for the
order, and a letter tells the customer when it was sent. How long a refund takes depends on the bank as well.

Returns are free within thirty days. Pack the grinder in its carton, print the label from the account page, and bring the
parcel to any counter of the carrier. Opened coffee cannot be returned, but broken cups are replaced at once.
"""
MARK = re.compile(r"\[q(\d+)\]")
_WORDS = sorted({word for word in re.findall(r"[a-z]+", KNOWLEDGE.lower()) if len(word) > 3})
_SEEN = ("☕", "退款", "包裹", "👍🏽", "é", "ß")
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"Connection: close\r\n\r\n"
)


def question(number: int) -> str:
    """What a visitor asks to be given answer `number`."""
    return f"How long do refunds take? [q{number}]"


def tokens_of(seed: int, number: int, count: int) -> list[str]:
    """The pieces of an answer, about `count`: paragraphs, lists, emphasis, wide and astral characters."""
    dice = random.Random(f"{seed}:{number}")
    pieces: list[str] = []
    while len(pieces) < count:
        kind = dice.choice(("paragraph", "paragraph", "list", "heading", "quote", "code"))
        lines = dice.randint(2, 4) if kind == "list" else 1
        if kind == "code":
            pieces += ["```\n", *_sentence(dice, 4), "\n", "```"]
        for line in range(lines if kind != "code" else 0):
            pieces.append({"paragraph": "", "list": "- ", "heading": "### ", "quote": "> "}[kind])
            pieces += _sentence(dice, dice.randint(5, 12))
            pieces.append("\n" if line + 1 < lines else "")
        pieces.append("\n\n")
    while pieces and not pieces[-1].strip():
        pieces.pop()
    return [piece for piece in pieces if piece]


def _sentence(dice: random.Random, words: int) -> list[str]:
    said = [dice.choice(_WORDS) + " " for _ in range(words)]
    said[0] = said[0].capitalize()
    if dice.random() < 0.4:
        at = dice.randrange(words)
        said[at] = f"**{said[at].strip()}** "
    if dice.random() < 0.4:
        said.insert(dice.randrange(words), dice.choice(_SEEN) + " ")
    said[-1] = said[-1].strip() + "."
    return said


@dataclass
class Written:
    """What the model wrote of an answer: the whole text when done, and after each piece the time and the length."""

    text: str
    steps: list[tuple[float, int]] = field(default_factory=list)  # `time.monotonic`, characters
    done_at: float | None = None

    def length_at(self, moment: float) -> int:
        return next((length for at, length in reversed(self.steps) if at <= moment), 0)


class Model:
    """Speaks DeepSeek's format on a port of its own: the first piece after `first_s`, then `rate` a second."""

    def __init__(self, *, seed: int, first_s: float, rate: float, tokens: int) -> None:
        self._seed, self._first_s, self._rate, self._tokens = seed, first_s, rate, tokens
        self.written: dict[int, Written] = {}
        self.asked: Counter[int] = Counter()
        self.latest_s = 0.0  # by how much a piece left too late
        self.port = 0

    async def start(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._server = server

    def pieces(self, number: int) -> list[str]:
        return tokens_of(self._seed, number, self._tokens)

    def text(self, number: int) -> str:
        return "".join(self.pieces(number))

    @property
    def longest_s(self) -> float:
        return self._first_s + (self._tokens + 40) / self._rate

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(
            OSError, asyncio.IncompleteReadError, asyncio.CancelledError
        ):  # the last: at the end of all
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            body = json.loads(await reader.readexactly(length))
            await self._answer(int(MARK.findall(json.dumps(body["messages"][-1]))[-1]), writer)
        writer.close()

    async def _answer(self, number: int, writer: asyncio.StreamWriter) -> None:
        pieces = self.pieces(number)
        written = self.written[number] = Written("".join(pieces))
        self.asked[number] += 1
        due, length = time.monotonic() + self._first_s, 0
        writer.write(_HEAD + _event({"role": "assistant", "content": ""}))
        for piece in pieces:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.latest_s = max(self.latest_s, time.monotonic() - due)
            writer.write(_event({"content": piece}))
            await writer.drain()
            length += len(piece)
            written.steps.append((time.monotonic(), length))
            due += 1 / self._rate
        written.done_at = time.monotonic()
        writer.write(_event({"content": ""}, "stop") + b"data: [DONE]\n\n")
        await writer.drain()


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    body = {
        "id": "known", "object": "chat.completion.chunk", "created": 1795000000, "model": "known",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}], "usage": None,
    }  # fmt: skip
    return b"data: " + json.dumps(body).encode() + b"\n\n"
