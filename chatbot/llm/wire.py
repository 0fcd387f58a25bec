"""The door to the network: one HTTP client an event loop, calls under clocks of our own, every transport error sorted."""

import asyncio
import email.utils
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import orjson

from chatbot.llm import errors
from chatbot.llm.errors import ModelCallFailed
from chatbot.llm.reading import error_message, read_json

MAX_ERROR_BYTES = 64 * 1024
MAX_BODY = 16 * 1024 * 1024
CONNECT_S = 5.0
_TRACES = ("x-ds-trace-id", "x-request-id", "x-deepseek-request-id")

T = TypeVar("T")


@dataclass
class Clock:
    """When the next sign of life is due, and when all must be over; both on `time.monotonic`."""

    deadline: float
    give_up_at: float

    def alive(self, idle_s: float) -> None:
        self.deadline = min(time.monotonic() + idle_s, self.give_up_at)


@dataclass(frozen=True)
class Reply:
    """A response whose head is here."""

    response: httpx.Response

    @property
    def content_type(self) -> str:
        return str(self.response.headers.get("content-type", "")).lower()

    @property
    def trace(self) -> str:
        return next((self.response.headers[name][:100] for name in _TRACES if name in self.response.headers), "")

    async def pieces(self, clock: Clock) -> AsyncGenerator[bytes, None]:
        """The body. The clock runs around each read, not around this generator, so that a slow reader is not timed out."""
        pieces: AsyncIterator[bytes] = self.response.aiter_bytes()
        while True:
            try:
                yield await within(clock.deadline, anext(pieces))
            except StopAsyncIteration:
                return


class Wire:
    """Connections to one provider. They cannot live across two event loops; `aclose` ends them."""

    def __init__(self, max_streams: int, ca: str = "") -> None:
        self._client = _new_client(max_streams, ca)

    async def aclose(self) -> None:
        await self._client.aclose()

    @asynccontextmanager
    async def post(self, url: str, body: Any, headers: Mapping[str, str], clock: Clock) -> AsyncIterator[Reply]:
        """A streamed answer; leaving the context closes it at once. Raises `ModelCallFailed` for any status but 200."""
        request = self._client.build_request("POST", url, content=orjson.dumps(body), headers=dict(headers))
        response = await within(clock.deadline, self._client.send(request, stream=True))
        try:
            if response.status_code != 200:
                raise await _refusal(response, clock)
            yield Reply(response)
        finally:
            await response.aclose()

    async def ask(
        self, method: str, url: str, headers: Mapping[str, str], *, body: Any = None, within_s: float = 10.0
    ) -> tuple[int, dict[str, Any]]:
        """A small call: its status (200 to 299) and the object it answered. Raises `ModelCallFailed`."""
        clock = Clock(time.monotonic() + within_s, time.monotonic() + within_s)
        content = None if body is None else orjson.dumps(body)
        request = self._client.build_request(method, url, content=content, headers=dict(headers))
        response = await within(clock.deadline, self._client.send(request, stream=True))
        try:
            if not 200 <= response.status_code < 300:
                raise await _refusal(response, clock)
            held = bytearray()
            async for piece in Reply(response).pieces(clock):
                held += piece
                if len(held) > MAX_BODY:
                    raise ModelCallFailed(errors.MALFORMED, "body too long")
        finally:
            await response.aclose()
        return response.status_code, read_json(bytes(held))


async def within(deadline: float, step: Awaitable[T]) -> T:
    """Await one step of a call under its clock. Raises `ModelCallFailed`, or what ends an iteration."""
    try:
        async with asyncio.timeout_at(asyncio.get_running_loop().time() + deadline - time.monotonic()):
            return await step
    except TimeoutError:
        raise ModelCallFailed(errors.TIMEOUT) from None
    except httpx.ConnectTimeout:  # aiohttp's transport calls a refused connection this too
        raise ModelCallFailed(errors.TRANSPORT, "connect") from None
    except httpx.TimeoutException:
        raise ModelCallFailed(errors.TIMEOUT) from None
    except httpx.InvalidURL:
        raise ModelCallFailed(errors.BAD_REQUEST, "address") from None
    except (httpx.HTTPError, OSError) as problem:
        raise ModelCallFailed(errors.TRANSPORT, type(problem).__name__) from None


def _new_client(max_streams: int, ca: str) -> httpx.AsyncClient:
    """httpx over aiohttp's transport (docs/decisions/0006), with more connections than streams: the pool never queues."""
    from httpx_aiohttp import AiohttpTransport

    limits = httpx.Limits(max_connections=2 * max_streams + 8, max_keepalive_connections=2 * max_streams + 8)
    verify: ssl.SSLContext | bool = True
    if ca:
        verify = ssl.create_default_context()
        verify.load_verify_locations(cadata=ca)
    return httpx.AsyncClient(
        transport=AiohttpTransport(limits=limits, verify=verify),
        timeout=httpx.Timeout(None, connect=CONNECT_S),
        follow_redirects=False,
        trust_env=False,
    )


async def _refusal(response: httpx.Response, clock: Clock) -> ModelCallFailed:
    """The body is parsed whatever its content type says, and may be HTML from some machine on the way."""
    body = bytearray()
    async for piece in Reply(response).pieces(clock):
        body += piece
        if len(body) > MAX_ERROR_BYTES:
            break
    try:
        message = error_message(read_json(bytes(body)))
    except ModelCallFailed:
        message = body[:200].decode("utf-8", "replace")
    failure = errors.from_status(response.status_code, message)
    return ModelCallFailed(failure, f"HTTP {response.status_code}", _retry_after(response.headers))


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds, or a date; None where there is none, or nonsense."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
        return max(0.0, seconds) if seconds == seconds else None
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
