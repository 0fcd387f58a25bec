"""How each dialect writes the same things: a piece of text, an end, an error, a whole answer."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from chatbot.llm.simulator.script import Script, Step

KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
USAGE = {
    "prompt_tokens": 120,
    "completion_tokens": 2,
    "total_tokens": 122,
    "prompt_cache_hit_tokens": 64,
    "prompt_cache_miss_tokens": 56,
}


class Wording(Protocol):
    """One dialect's way to write. `done` closes a stream, where the form knows such a thing."""

    done: bytes
    content_type: str

    def piece(self, text: str) -> bytes: ...

    def finish(self, reason: str, usage: Mapping[str, Any] | None = None) -> bytes: ...

    def usage_alone(self, usage: Mapping[str, Any]) -> bytes: ...

    def failure(self, message: str) -> bytes: ...

    def whole(self, text: str, reason: str, usage: Mapping[str, Any]) -> bytes: ...


class ChatWording:
    """Chunks of ``/chat/completions``."""

    done, content_type = DONE, "text/event-stream"

    def __init__(self, model: str = "deepseek-flash") -> None:
        self._model = model

    def piece(self, text: str) -> bytes:
        return self.chunk(text)

    def finish(self, reason: str, usage: Mapping[str, Any] | None = None) -> bytes:
        return self.chunk("", finish=reason, usage=usage)

    def usage_alone(self, usage: Mapping[str, Any]) -> bytes:
        return event({"choices": [], "usage": dict(usage)})

    def failure(self, message: str) -> bytes:
        return event({"error": {"message": message, "type": "server_error"}})

    def whole(self, text: str, reason: str, usage: Mapping[str, Any]) -> bytes:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
        body = {"object": "chat.completion", "model": self._model, "choices": [choice], "usage": dict(usage)}
        return written(body)

    def chunk(
        self,
        content: str | None = None,
        *,
        finish: str | None = None,
        usage: Mapping[str, Any] | None = None,
        **delta: Any,
    ) -> bytes:
        """One event of a stream, as the API writes it."""
        if content is not None:
            delta["content"] = content
        return event(
            {
                "id": "sim-1",
                "object": "chat.completion.chunk",
                "created": 1_795_000_000,
                "model": self._model,
                "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
                "usage": usage,
            }
        )


class GatewayWording:
    """Chunks of ``/v1/text/completion`` as server-sent events."""

    done, content_type = DONE, "text/event-stream"

    def piece(self, text: str) -> bytes:
        return self._write(self._chunk(text, None))

    def finish(self, reason: str, usage: Mapping[str, Any] | None = None) -> bytes:
        return self._write({**self._chunk("", reason), **({"usage": dict(usage)} if usage else {})})

    def usage_alone(self, usage: Mapping[str, Any]) -> bytes:
        return self._write({"choices": [], "usage": dict(usage)})

    def failure(self, message: str) -> bytes:
        return self._write({"error": {"message": message}})

    def whole(self, text: str, reason: str, usage: Mapping[str, Any]) -> bytes:
        body = {**self._chunk(text, reason), "object": "text.completion", "usage": dict(usage)}
        return written(body)

    def _chunk(self, text: str, reason: str | None) -> dict[str, Any]:
        return {
            "id": "txt-1",
            "object": "text.completion.chunk",
            "created": 1_795_000_000,
            "model": "deepseek-zh-7b",
            "choices": [{"index": 0, "text": text, "finish_reason": reason}],
        }

    def _write(self, value: Mapping[str, Any]) -> bytes:
        return event(value)


class GatewayLinesWording(GatewayWording):
    """The same as JSON lines: the body's end is the stream's end."""

    done, content_type = b"", "application/x-ndjson"

    def _write(self, value: Mapping[str, Any]) -> bytes:
        return written(value) + b"\n"


def event(value: Mapping[str, Any]) -> bytes:
    return b"data: " + written(value) + b"\n\n"


def written(value: Mapping[str, Any]) -> bytes:
    """JSON as UTF-8; half a surrogate pair, which UTF-8 does not know, makes everything an escape."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def answer(
    texts: Sequence[str],
    *,
    finish: str = "stop",
    pause_s: float = 0.0,
    wording: Wording | None = None,
    usage: Mapping[str, Any] | None = None,
) -> Script:
    """A whole, well-formed answer."""
    wording = wording or ChatWording()
    steps: list[Step] = [wording.chunk("", role="assistant")] if isinstance(wording, ChatWording) else []
    for text in texts:
        steps += [pause_s, wording.piece(text)] if pause_s else [wording.piece(text)]
    counted = usage or {**USAGE, "completion_tokens": len(texts), "total_tokens": 120 + len(texts)}
    steps += [wording.finish(finish, counted), wording.done]
    return Script(tuple(steps), 200, {"content-type": wording.content_type})


def error(status: int, message: str, *, kind: str = "invalid_request_error", **headers: str) -> Script:
    """An error in the API's envelope; its content type is not always JSON, and so is not here."""
    body = json.dumps({"error": {"message": message, "type": kind, "param": None, "code": kind}}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Script((body,), status, {"content-type": "application/octet-stream", **named})


def reply(body: Any, status: int = 200) -> Script:
    return Script((json.dumps(body, ensure_ascii=False).encode(),), status, {"content-type": "application/json"})
