"""The simulator as a plain ASGI application: no framework, no Django.

Each chat request takes the next `Script`; when none is left it gets a short answer that cites its first source.
"""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Cut:
    """End the connection without ending the response."""


@dataclass(frozen=True)
class Script:
    """What a request gets: a status, headers, and a body of bytes to write, pauses (seconds) and perhaps a `Cut`."""

    body: tuple[bytes | float | Cut, ...]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    body: Any


class CutShort(Exception):
    """Raised on purpose, so that the server drops the connection."""


class Simulator:
    """`scripts` are used up in order; `seen` holds every request; `open` counts answers under way."""

    def __init__(self, key: str = "sk-test") -> None:
        self.key = key
        self.scripts: deque[Script] = deque()
        self.seen: list[Seen] = []
        self.open = 0

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        data = await _body(receive)
        self.seen.append(Seen(scope["path"], headers, json.loads(data) if data else None))
        script = self._choose(scope["path"], headers)
        self.open += 1
        try:
            await self._play(script, receive, send)
        finally:
            self.open -= 1

    def _choose(self, path: str, headers: Mapping[str, str]) -> Script:
        if headers.get("authorization") != f"Bearer {self.key}":
            return error(401, "Authentication Fails, Your api key: ****0000 is invalid", kind="authentication_error")
        if path.endswith("/models"):
            return reply(
                {"object": "list", "data": [{"id": "deepseek-flash", "object": "model", "owned_by": "deepseek"}]}
            )
        if not path.endswith("/chat/completions"):
            return error(404, "Not Found")
        return self.scripts.popleft() if self.scripts else answer(["This is ", "what I found", ". [1]"])

    async def _play(self, script: Script, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(_wait_until_gone(receive))
        await send(
            {
                "type": "http.response.start",
                "status": script.status,
                "headers": [(name.encode(), value.encode()) for name, value in script.headers.items()],
            }
        )
        try:
            for step in script.body:
                if isinstance(step, Cut):
                    raise CutShort
                if isinstance(step, bytes):
                    await send({"type": "http.response.body", "body": step, "more_body": True})
                else:
                    done, _ = await asyncio.wait([gone], timeout=step)
                    if done:
                        return
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()


# --- scripts -----------------------------------------------------------------------------------------------------------
def chunk(
    content: str | None = None, *, finish: str | None = None, usage: Mapping[str, Any] | None = None, **delta: Any
) -> bytes:
    """One event of a stream, as the API writes it."""
    if content is not None:
        delta["content"] = content
    body = {
        "id": "sim-1",
        "object": "chat.completion.chunk",
        "created": 1_795_000_000,
        "model": "deepseek-flash",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
        "usage": usage,
    }
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


def answer(texts: list[str], *, finish: str = "stop", pause_s: float = 0.0) -> Script:
    """A whole, well-formed answer."""
    usage = {
        "prompt_tokens": 120,
        "completion_tokens": len(texts),
        "total_tokens": 120 + len(texts),
        "prompt_cache_hit_tokens": 64,
        "prompt_cache_miss_tokens": 56,
    }
    steps: list[bytes | float | Cut] = [chunk("", role="assistant")]
    for text in texts:
        steps += [pause_s, chunk(text)] if pause_s else [chunk(text)]
    return Script((*steps, chunk("", finish=finish, usage=usage), DONE))


def error(status: int, message: str, *, kind: str = "invalid_request_error", **headers: str) -> Script:
    """An error in the API's envelope; its content type is not always JSON, and so is not here."""
    body = json.dumps({"error": {"message": message, "type": kind, "param": None, "code": kind}}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Script((body,), status, {"content-type": "application/octet-stream", **named})


def reply(body: Any) -> Script:
    return Script((json.dumps(body).encode(),), 200, {"content-type": "application/json"})


async def _lifespan(receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
