"""The door to the network: one HTTP client an event loop, calls under clocks of our own, every transport error sorted."""

import asyncio
import email.utils
import math
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import httpx
import orjson

from chatbot.llm import errors
from chatbot.llm.errors import ModelCallFailed
from chatbot.llm.reading import error_message, read_json

MAX_ERROR_BYTES = 64 * 1024
MAX_BODY = 16 * 1024 * 1024
CONNECT_S = 5.0
_HEADERS = {"User-Agent": "Baton", "Accept-Encoding": "identity"}  # a packed stream comes in lumps
_EXTENSIONS = {"timeout": {"connect": CONNECT_S, "read": None, "write": None, "pool": None}}  # the rest: `Watch`
BEAT_S = 0.05
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

    async def pieces(self, clock: Clock, pause_s: Callable[[], float] = lambda: 0.0) -> AsyncGenerator[bytes, None]:
        """The body. The clock runs around each read, not around this generator, so that a slow reader is not timed out.

        `pause_s` is asked after each piece how long to let the network gather before the next.
        """
        watch, rest = Watch(clock), _Rest(self.response.stream)
        pieces = self._bytes()
        try:
            while True:
                try:
                    with watch:
                        piece = await anext(pieces)
                except StopAsyncIteration:
                    return
                yield piece
                if (pause := pause_s()) and not rest.begin(pause):
                    await asyncio.sleep(pause)
        finally:
            watch.stop()
            rest.end()
            await pieces.aclose()

    def _bytes(self) -> AsyncGenerator[bytes, None]:
        """As they come from the network: a stream has no need of httpx's own layers, unless it came packed unasked."""
        if "content-encoding" in self.response.headers:
            return cast("AsyncGenerator[bytes, None]", self.response.aiter_bytes())
        return cast("AsyncGenerator[bytes, None]", aiter(cast(httpx.AsyncByteStream, self.response.stream)))


class Wire:
    """Connections to one provider. They cannot live across two event loops; `aclose` ends them."""

    def __init__(self, max_streams: int, ca: str = "") -> None:
        self._transport = _new_transport(max_streams, ca)

    async def aclose(self) -> None:
        await self._transport.aclose()

    @asynccontextmanager
    async def post(self, url: str, body: Any, headers: Mapping[str, str], clock: Clock) -> AsyncIterator[Reply]:
        """A streamed answer; leaving the context closes it at once. Raises `ModelCallFailed` for any status but 200."""
        response = await within(clock, self._send("POST", url, headers, orjson.dumps(body)))
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
        response = await within(clock, self._send(method, url, headers, content))
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

    async def _send(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> httpx.Response:
        """Straight to the transport: an httpx client would add redirects, cookies and packed bodies, none of them wanted."""
        if not all(value.isascii() and value.isprintable() for value in headers.values()):
            raise ModelCallFailed(errors.AUTH, "a key that cannot be sent")  # the library's own error would quote it
        try:
            request = httpx.Request(
                method, url, headers={**_HEADERS, **headers}, content=content, extensions=_EXTENSIONS
            )
            return await self._transport.handle_async_request(request)
        except ValueError:  # of the resolver: an address that cannot be a host's name
            raise ModelCallFailed(errors.BAD_REQUEST, "address") from None


class Watch:
    """A clock's eye on the reads of a stream, as a context around each. It raises what the read did, sorted.

    It is `asyncio.timeout_at` with one timer for all reads: most reads come long before their deadline, and a timer for
    each costs more than all else that is done with a token.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0
        self._reading: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._rang = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._reading, self._cancelling = task, task.cancelling()
        if self._timer is None or self._clock.deadline < self._rings_at:
            self._set()

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, _: object) -> None:
        """Raises `ModelCallFailed` for a deadline and for every error of the network."""
        task, self._reading = self._reading, None
        if self._rang:
            self._rang = False
            assert task is not None
            if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
                raise ModelCallFailed(errors.TIMEOUT) from None
        if isinstance(problem, Exception) and (failure := _sorted(problem)):
            raise failure from None

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _set(self) -> None:
        self.stop()
        self._rings_at = self._clock.deadline
        self._timer = asyncio.get_running_loop().call_later(max(0.0, self._rings_at - time.monotonic()), self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._reading is None:
            return  # the reader of the pieces takes its time; the next read sets the timer anew
        if time.monotonic() < self._clock.deadline:
            self._set()
        else:
            self._rang = True
            self._reading.cancel()


async def within(clock: Clock, step: Awaitable[T]) -> T:
    """Await one step of a call under its clock. Raises `ModelCallFailed`."""
    watch = Watch(clock)
    try:
        with watch:
            return await step
    finally:
        watch.stop()


def _sorted(problem: Exception) -> ModelCallFailed | None:
    """What an error of the network means; None: it is none."""
    match problem:
        case httpx.ConnectTimeout():  # aiohttp's transport calls a refused connection this too
            return ModelCallFailed(errors.TRANSPORT, "connect")
        case httpx.TimeoutException() | TimeoutError():
            return ModelCallFailed(errors.TIMEOUT)
        case httpx.InvalidURL() | httpx.UnsupportedProtocol():
            return ModelCallFailed(errors.BAD_REQUEST, "address")
        case httpx.HTTPError() | OSError():
            return ModelCallFailed(errors.TRANSPORT, type(problem).__name__)
    return None


class _Rest:
    """A stream that is not read for a while.

    What comes meanwhile gathers in the socket's buffer, and wakes nobody: a token at a time, that costs as much as using it.
    (Over TLS the bytes are still taken from the socket and made readable; nothing above that is woken.)
    Its next read waits until it is over, and longer where nothing came. Rests end on beats that all streams share: answers
    that are carried on one after the other cost a fifth less than each at a time of its own, between other work.

    The transport under aiohttp's response is its own public way; only httpx-aiohttp hides the response.
    """

    def __init__(self, stream: object) -> None:
        self._response = getattr(stream, "_aiohttp_response", None)
        self._transport: asyncio.Transport | None = None
        self._over: asyncio.TimerHandle | None = None

    def begin(self, pause_s: float) -> bool:
        """False: there is nothing to be found that could be left unread."""
        if self._over:
            return True  # what is read meanwhile came before
        connection = getattr(self._response, "connection", None)
        transport = connection.transport if connection else None
        if transport is None or transport.is_closing() or not transport.is_reading():
            return False
        transport.pause_reading()
        self._transport = transport
        loop = asyncio.get_running_loop()
        self._over = loop.call_at(beat_after(loop.time(), pause_s), self.end)
        return True

    def end(self) -> None:
        if self._over:
            self._over.cancel()
            self._over = None
            assert self._transport
            if not self._transport.is_closing():
                self._transport.resume_reading()


def beat_after(now: float, pause_s: float) -> float:
    """The last beat within a pause that begins now, and at least the next."""
    return BEAT_S * max(math.floor(now / BEAT_S) + 1, math.floor((now + pause_s) / BEAT_S))


def _new_transport(max_streams: int, ca: str) -> httpx.AsyncBaseTransport:
    """httpx over aiohttp's transport (docs/decisions/0006), with more connections than streams: the pool never queues."""
    from httpx_aiohttp import AiohttpTransport

    limits = httpx.Limits(max_connections=2 * max_streams + 8, max_keepalive_connections=2 * max_streams + 8)
    verify: ssl.SSLContext | bool = True
    if ca:
        verify = ssl.create_default_context()
        verify.load_verify_locations(cadata=ca)
    transport: httpx.AsyncBaseTransport = AiohttpTransport(limits=limits, verify=verify, trust_env=False)
    return transport


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
