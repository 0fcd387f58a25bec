"""The gateway dialect: ``POST /v1/text/completion`` of a private deployment, with one flat prompt.

Its contract is that of docs/deepseek.md. Streams come as server-sent events, as JSON lines or as raw text; each is told by
its content type or its first character. Chunks may be pieces, or each the whole text so far.
"""

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chatbot.llm import errors
from chatbot.llm.chat import MAX_BODY
from chatbot.llm.errors import ModelCallFailed
from chatbot.llm.profile import Profile
from chatbot.llm.reading import Answer, error_message, read_json
from chatbot.llm.request import ASSISTANT, ChatMessage, Request, repair
from chatbot.llm.sse import DONE, MAX_LINE, LineTooLong, SseDecoder
from chatbot.turn.values import ModelEvent

_MARKER = re.compile(r"<\|(system|context|user|assistant|tool)\|>", re.IGNORECASE)
_PATHS = (
    "choices.0.delta.content", "choices.0.text", "choices.0.message.content", "output.text", "data.text", "delta", "text",
    "content", "result",
)  # fmt: skip
_LANGUAGE_TAGS = {"zh": "zh-CN", "zh-hant": "zh-TW", "en": "en-US"}


class GatewayText:
    """One flat prompt; `language`, `context_window` and `logit_bias` as the gateway offers them."""

    path = "text/completion"

    def body(self, request: Request, profile: Profile) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": profile.model_for(request.language),
            "prompt": flatten(repair(request.messages, vision=False)),
            "max_tokens": request.max_tokens or profile.max_tokens,
            "temperature": profile.temperature if request.temperature is None else request.temperature,
            "stream": True,
        }
        if request.language:
            body["language"] = _LANGUAGE_TAGS.get(request.language, request.language)
        if profile.context_window:
            body["context_window"] = profile.context_window
        if profile.logit_bias:
            body["logit_bias"] = dict(profile.logit_bias)
        if request.stop:
            body["stop"] = list(request.stop)
        if request.user:
            body["user"] = request.user
        return {**body, **profile.extra}

    def reader(self, request: Request, profile: Profile, content_type: str, trace: str) -> "GatewayReader":
        answer = Answer(profile.model_for(request.language), trace, frozenset())
        return GatewayReader(answer, content_type, profile.text_path, profile.chunks)


def flatten(messages: Sequence[ChatMessage]) -> str:
    """Roles as fixed marks, which words from outside cannot write; the model's turn last."""
    parts = [f"<|{message.role}|>\n{_MARKER.sub(' ', message.text)}" for message in messages]
    if not messages or messages[-1].role != ASSISTANT:
        parts.append(f"<|{ASSISTANT}|>\n")
    return "\n".join(parts)


class GatewayReader:
    """Finds out what the stream is, then reads it."""

    def __init__(self, answer: Answer, content_type: str, text_path: str = "", chunks: str = "auto") -> None:
        self._answer, self._text_path = answer, text_path
        self._pieces = _Pieces(chunks)
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._sse = SseDecoder()
        self._buffer, self._head = "", bytearray()  # the head as bytes too: half a character may stand at its end
        self._form = "sse" if "event-stream" in content_type else "lines" if "ndjson" in content_type else ""
        self._whole = not self._form and "json" in content_type
        self.done = False

    @property
    def answer(self) -> Answer:
        return self._answer

    def feed(self, data: bytes) -> Iterator[ModelEvent]:
        if self._form == "sse":
            yield from self._events(data)
            return
        if not self._form and not self._whole:
            self._head += data
        self._buffer += self._utf8.decode(data)
        if len(self._buffer) > (MAX_BODY if self._whole else MAX_LINE):
            raise ModelCallFailed(errors.MALFORMED, "line too long")
        if self._whole:
            return
        if not self._form:
            yield from self._sniff()
        elif self._form == "raw":
            text, self._buffer = self._buffer, ""
            yield from self.answer.begin(None)
            yield from self.answer.text(text)
        if self._form == "lines":
            yield from self._lines()

    def end(self) -> Iterator[ModelEvent]:
        if self.answer.is_full:
            self._buffer = ""
        if self._form == "" and not self._whole:
            yield from self._decide(self._buffer)
            if self._form == "lines":
                yield from self._lines()
        rest = self._buffer.strip()
        if (self._whole and rest) or (self._form == "lines" and rest and not self.done):
            yield from self._object(read_json(rest))
        if piece := self._pieces.last():
            yield from self.answer.text(piece)
        clean = self._form in {"raw", "lines"} or (self._whole and bool(rest))  # there the end of the body is the end
        yield from self.answer.conclude(ended=self.done or clean)

    def _sniff(self) -> Iterator[ModelEvent]:
        """Decide once a first line, or enough of it, is here."""
        text = self._buffer.lstrip()
        if "\n" in text or len(text) >= 8:
            yield from self._decide(text)

    def _decide(self, text: str) -> Iterator[ModelEvent]:
        text = text.lstrip("\ufeff\r\n\t ")
        if text.startswith(("data:", "event:", ":", "id:", "retry:")):
            self._form, self._buffer = "sse", ""
            yield from self._events(bytes(self._head))
        elif text.startswith("{"):
            self._form = "lines"
        elif text.startswith("<"):
            raise ModelCallFailed(errors.MALFORMED, "a page, not an answer")
        elif text:
            self._form, self._buffer = "raw", ""
            yield from self.answer.begin(None)
            yield from self.answer.text(text)

    def _events(self, data: bytes) -> Iterator[ModelEvent]:
        try:
            for payload in self._sse.feed(data):
                stripped = payload.strip()
                if stripped == DONE:
                    self.done = True
                    return
                if stripped:
                    yield from self._object(read_json(payload))
        except LineTooLong:
            raise ModelCallFailed(errors.MALFORMED, "line too long") from None

    def _lines(self) -> Iterator[ModelEvent]:
        """One object a line; what is no object by itself is the beginning of one that spans lines."""
        while "\n" in self._buffer and not self.done:
            line, rest = self._buffer.split("\n", 1)
            if line.strip() == "[DONE]":
                self.done = True
                return
            if line.strip():
                try:
                    value = read_json(line)
                except ModelCallFailed:
                    if self.answer.progress:
                        raise
                    self._whole = True
                    return
                self._buffer = rest
                yield from self._object(value)
            else:
                self._buffer = rest

    def _object(self, value: Mapping[str, Any]) -> Iterator[ModelEvent]:
        if value.get("error") or (value.get("code") not in (None, 0, 200, "0", "ok") and "message" in value):
            raise ModelCallFailed(errors.from_event(error_message(value)), "error event")
        self.answer.counted(value.get("usage"))
        yield from self.answer.begin(value.get("model"))
        yield from self.answer.reasoning(_at(value, "choices.0.delta.reasoning_content"))
        text = self._text(value)
        for piece in self._pieces.take(text) if text else ():
            yield from self.answer.text(piece)
        finish = _at(value, "choices.0.finish_reason") or value.get("finish_reason")
        if finish:
            if piece := self._pieces.last():
                yield from self.answer.text(piece)
            self.answer.finished(finish)
        if value.get("done") is True:
            self.done = True

    def _text(self, value: Mapping[str, Any]) -> str:
        for path in (self._text_path,) if self._text_path else _PATHS:
            found = _at(value, path)
            if isinstance(found, str):
                return found
        return ""


class _Pieces:
    """Tells pieces from texts that each repeat all before. Where the second chunk leaves it open, the third decides."""

    def __init__(self, mode: str) -> None:
        self._mode = mode  # auto, delta, cumulative
        self._first = self._held = ""

    def take(self, text: str) -> list[str]:
        if self._mode == "delta":
            return [text]
        if self._mode == "cumulative":
            before, self._first = self._first, text if text.startswith(self._first) else self._first + text
            return [self._first[len(before) :]]
        if not self._first:
            self._first = text
            return [text]
        if not self._held:
            if text.startswith(self._first) and len(text) > len(self._first):
                self._held = text
                return []
            self._mode = "delta"
            return [text]
        held, self._held = self._held, ""
        if text.startswith(held):
            grown, self._mode = held[len(self._first) :], "cumulative"
            self._first = text
            return [grown, text[len(held) :]]
        self._mode = "delta"
        return [held, text]

    def last(self) -> str:
        """What was held back when no further chunk came: two chunks, the second beginning with the whole first."""
        held, self._held = self._held, ""
        if not held:
            return ""
        return held[len(self._first) :] if len(self._first) > 1 else held


def _at(value: Any, path: str) -> Any:
    for step in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def moderation_of(body: Mapping[str, Any]) -> tuple[bool, tuple[str, ...]]:
    """What ``/v1/moderation`` answered: whether anything is flagged, and which categories. Raises `ModelCallFailed`."""
    result = _at(body, "results.0")
    if not isinstance(result, Mapping) or not isinstance(result.get("flagged"), bool):
        raise ModelCallFailed(errors.MALFORMED, "moderation")
    categories = result.get("categories")
    named = [str(name) for name, hit in categories.items() if hit] if isinstance(categories, Mapping) else []
    return result["flagged"], tuple(sorted(named))
