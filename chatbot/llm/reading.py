"""What every dialect's reader does with the pieces it finds: clean text, whole tool calls, one honest end. No network.

A reader is fed bytes and gives `ModelEvent` values; `end` is asked once the stream is over. It raises `ModelCallFailed`.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import orjson

from chatbot.llm import errors
from chatbot.llm.errors import ModelCallFailed
from chatbot.turn.values import Finished, ModelEvent, Reasoning, Started, Text, ToolCall, Usage

MAX_TEXT = 200_000  # characters of one answer
MAX_ARGUMENTS = 100_000
MAX_CALLS = 32
MAX_TOKENS = 100_000_000  # a count above this is nonsense
_TRANSIENT = {"insufficient_system_resource", "aborted"}
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_HIGH_SURROGATE = re.compile(r"[\ud800-\udbff]$")


class Reader(Protocol):
    """Sans-I/O: bytes in, events out. `done`: the stream has said that it is over."""

    done: bool

    @property
    def answer(self) -> "Answer": ...

    def feed(self, data: bytes) -> Iterable[ModelEvent]:
        """May raise `ModelCallFailed`; what was given before stands."""

    def end(self) -> Iterable[ModelEvent]:
        """The stream is over, well or not. Raises `ModelCallFailed` if it was not whole."""


class Answer:
    """An answer that is being put together."""

    def __init__(self, model: str, trace: str, offered: frozenset[str]) -> None:
        self.model, self.trace, self._offered = model, trace, offered
        self.finish = ""
        self.usage: Usage | None = None
        self.progress = 0  # grows with each sign of life that is more than a keep-alive
        self._started = self._said = self._reasoned = False
        self._length = 0
        self._half = ""  # a surrogate whose partner comes with the next piece
        self._calls: dict[int, dict[str, str]] = {}

    @property
    def is_full(self) -> bool:
        """Nobody will read on: the connection may be closed."""
        return self._length >= MAX_TEXT

    def begin(self, model: object) -> list[ModelEvent]:
        if self._started:
            return []
        self._started = True
        if isinstance(model, str) and model:
            self.model = model[:80]
        return [Started(self.model, "generated", self.trace)]

    def text(self, piece: object) -> list[ModelEvent]:
        """Text after the finish reason, and what is no text, is passed over."""
        if not isinstance(piece, str) or not piece or self.finish:
            return []
        self.progress += 1
        if not (clean := self._clean(piece)):
            return []
        clean = clean[: MAX_TEXT - self._length]
        self._length += len(clean)
        if self._length >= MAX_TEXT:
            self.finish = "length"
        self._said = self._said or bool(clean.strip())
        return [Text(clean)]

    def reasoning(self, piece: object) -> list[ModelEvent]:
        if not isinstance(piece, str) or not piece or self.finish:
            return []
        self.progress += 1
        self._reasoned = True
        return [Reasoning(_CONTROLS.sub("", piece).encode("utf-8", "replace").decode())]

    def tool_fragment(self, fragment: object, at: int) -> None:
        """A part of a call: name and id come with the first, the arguments in pieces."""
        if not isinstance(fragment, Mapping):
            return
        self.progress += 1
        index = fragment.get("index")
        call = self._calls.setdefault(index if isinstance(index, int) else at, {"id": "", "name": "", "arguments": ""})
        function = fragment.get("function")
        if isinstance(fragment.get("id"), str):
            call["id"] = call["id"] or fragment["id"][:200]
        if isinstance(function, Mapping):
            if isinstance(function.get("name"), str):
                call["name"] = call["name"] or function["name"]
            if isinstance(function.get("arguments"), str):
                call["arguments"] += function["arguments"]
        if len(self._calls) > MAX_CALLS or len(call["arguments"]) > MAX_ARGUMENTS:
            raise ModelCallFailed(errors.MALFORMED, "too many or too long tool calls")

    def finished(self, reason: object) -> None:
        """The first reason stands; a late chunk without one does not undo it."""
        if isinstance(reason, str) and reason and not self.finish:
            self.finish = reason[:40]
            self.progress += 1

    def counted(self, usage: object) -> None:
        """The last count wins, wherever it came."""
        if isinstance(usage, Mapping):
            self.usage = read_usage(usage)

    def conclude(self, *, ended: bool) -> list[ModelEvent]:
        """The last events. `ended`: the stream said so itself. Raises `ModelCallFailed` for anything but a whole answer."""
        if not ended and not self.finish:
            raise ModelCallFailed(errors.TRUNCATED)
        if self.finish in _TRANSIENT:
            raise ModelCallFailed(errors.SERVER, self.finish)
        calls = self._whole_calls()
        if not self._said and not calls and self.finish != "content_filter":
            why = "only reasoning" if self._reasoned else "tool not offered" if self._calls else self.finish
            raise ModelCallFailed(errors.EMPTY, why)
        return [*calls, Finished(self.finish or "stop")]

    def _clean(self, piece: str) -> str:
        """Without control characters, and with the halves of a split character put together."""
        if not self._half and piece.isprintable():
            return piece  # nearly every piece: neither a control character nor half of one
        piece, self._half = self._half + piece, ""
        if half := _HIGH_SURROGATE.search(piece):
            piece, self._half = piece[: half.start()], half.group()
        whole = piece.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return _CONTROLS.sub("", whole)

    def _whole_calls(self) -> list[ModelEvent]:
        if self.finish not in {"tool_calls", "stop", ""}:
            return []  # half a call is never made
        return [
            ToolCall(call["id"] or f"call_{index}", call["name"], call["arguments"] or "{}")
            for index, call in sorted(self._calls.items())
            if call["name"] in self._offered
        ]


def read_json(payload: str | bytes) -> dict[str, Any]:
    """An object of the stream. Half a surrogate pair and half a character, which a strict parser refuses, are let through.

    Raises `ModelCallFailed`.
    """
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError:
        try:
            value = _lenient(payload)
        except (ValueError, RecursionError):
            raise ModelCallFailed(errors.MALFORMED, "not JSON") from None
    if not isinstance(value, dict):
        raise ModelCallFailed(errors.MALFORMED, "not an object")
    return value


def _lenient(payload: str | bytes) -> Any:
    """By the standard library, which knows other encodings and a mark of their order, too. Raises `ValueError`."""
    try:
        return json.loads(payload)
    except UnicodeDecodeError:
        assert isinstance(payload, bytes)
        return json.loads(payload.decode("utf-8", "replace"))


def read_usage(usage: Mapping[str, Any]) -> Usage:
    """Counts are clamped: a provider's nonsense must not become a negative bill."""
    prompt_details = usage.get("prompt_tokens_details")
    completion_details = usage.get("completion_tokens_details")
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    cached = _count(usage.get("prompt_cache_hit_tokens")) or _inner(prompt_details, "cached_tokens")
    return Usage(
        prompt=prompt,
        completion=completion,
        cached=min(cached, prompt),
        reasoning=min(_inner(completion_details, "reasoning_tokens"), completion),
    )


def error_message(body: Mapping[str, Any]) -> str:
    """The words of an error, whichever of the usual envelopes it came in: for sorting and the log, never for a visitor."""
    error = body.get("error")
    if isinstance(error, Mapping):
        error = error.get("message") or error.get("code")
    words = error or body.get("message") or body.get("detail") or ""
    return str(words)[:500]


def _inner(details: object, name: str) -> int:
    return _count(details.get(name)) if isinstance(details, Mapping) else 0


def _count(value: object) -> int:
    return int(min(max(value, 0), MAX_TOKENS)) if isinstance(value, int | float) and value == value else 0
