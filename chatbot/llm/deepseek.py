"""DeepSeek's official API: ``POST /chat/completions``, streamed.

Facts and traps are those of the API's public documentation: thinking is on unless it is switched off; comments keep a
queued connection alive; usage rides on the last chunk or on one of its own with no choices; a stream that ends without
``[DONE]`` and without a finish reason was cut.
"""

import asyncio
import email.utils
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from chatbot.llm import errors
from chatbot.llm.errors import Failure, ModelCallFailed
from chatbot.llm.sse import LineTooLong, SseDecoder
from chatbot.turn.values import BOT, PERSON, Finished, ModelEvent, Prompt, Started, Text, Usage

RETRY_BASE_S = 0.5
RETRY_CAP_S = 6.0
RETRY_AFTER_CAP_S = 15.0
MAX_RETRIES = 2
MAX_ERROR_BYTES = 64 * 1024

_TRANSIENT_FINISHES = {"insufficient_system_resource", "aborted"}


@dataclass(frozen=True)
class Settings:
    """How the API is called. Times in seconds; the three clocks are this client's own, a keep-alive does not reset them."""

    api_key: str
    base_url: str = "https://api.deepseek.com"
    model: str = "deepseek-flash"
    max_tokens: int = 1024
    temperature: float = 0.5
    first_token_s: float = 25.0
    idle_s: float = 20.0
    total_s: float = 120.0
    max_streams: int = 200

    @property
    def endpoint(self) -> str:
        return f"{self.base_url.rstrip('/')}/chat/completions"


class DeepSeek:
    """One provider account. Share one instance a process and event loop; `aclose` it at the end."""

    def __init__(self, settings: Settings, client: httpx.AsyncClient | None = None) -> None:
        self._settings = settings
        self._client = client or new_client(settings.max_streams)
        self._places = asyncio.Semaphore(settings.max_streams)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        """See `chatbot.turn.seams.Model`. Raises `ModelCallFailed`; retries only before the first text."""
        if self._places.locked():
            raise ModelCallFailed(errors.BUSY)
        async with self._places:
            give_up_at = time.monotonic() + self._settings.total_s
            for attempt in range(MAX_RETRIES + 1):
                said_something = False
                try:
                    async with aclosing(self._once(prompt, give_up_at)) as events:
                        async for event in events:
                            said_something = said_something or isinstance(event, Text)
                            yield event
                    return
                except ModelCallFailed as problem:
                    pause = _pause(attempt, problem)
                    if (
                        said_something
                        or not problem.failure.retry
                        or attempt == MAX_RETRIES
                        or time.monotonic() + pause >= give_up_at
                    ):
                        raise
                await asyncio.sleep(pause)

    async def _once(self, prompt: Prompt, give_up_at: float) -> AsyncGenerator[ModelEvent, None]:
        request = self._client.build_request(
            "POST",
            self._settings.endpoint,
            content=orjson.dumps(self._body(prompt)),
            headers={
                "Authorization": f"Bearer {self._settings.api_key}",
                "Content-Type": "application/json",
                "Accept": "text/event-stream",
            },
        )
        deadline = min(time.monotonic() + self._settings.first_token_s, give_up_at)
        response = await _within(deadline, self._client.send(request, stream=True))
        try:
            if response.status_code != 200:
                raise await _error(response, deadline)
            async with aclosing(self._read(response, deadline, give_up_at)) as events:
                async for event in events:
                    yield event
        finally:
            await response.aclose()

    async def _read(
        self, response: httpx.Response, deadline: float, give_up_at: float
    ) -> AsyncGenerator[ModelEvent, None]:
        decoder, finish, usage, started, said, done = SseDecoder(), "", None, False, False, False
        clock = _Clock(deadline)
        async for payload in _payloads(response, decoder, clock):
            if payload.strip() == "[DONE]":
                done = True
                break
            chunk = _parse(payload)
            usage = _usage(chunk) or usage
            choice = next(iter(chunk.get("choices") or ()), None)
            if not isinstance(choice, dict):
                continue
            delta = choice.get("delta") or {}
            if not started:
                started = True
                yield Started(str(chunk.get("model") or self._settings.model), "generated")
            text = delta.get("content")
            if text or delta.get("reasoning_content") or delta.get("tool_calls"):
                clock.deadline = min(time.monotonic() + self._settings.idle_s, give_up_at)
            if isinstance(text, str) and text:
                said = True
                yield Text(text)
            finish = choice.get("finish_reason") or finish
        if not done and not finish:
            raise ModelCallFailed(errors.TRUNCATED)
        if finish in _TRANSIENT_FINISHES:
            raise ModelCallFailed(errors.SERVER, finish)
        if not said and finish != "content_filter":
            raise ModelCallFailed(errors.EMPTY)
        if usage:
            yield usage
        yield Finished(finish if finish in {"length", "content_filter"} else "stop")

    def _body(self, prompt: Prompt) -> dict[str, Any]:
        return {
            "model": self._settings.model,
            "messages": _messages(prompt),
            "thinking": {"type": "disabled"},
            "temperature": self._settings.temperature,
            "max_tokens": self._settings.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }


def new_client(max_streams: int) -> httpx.AsyncClient:
    """httpx over aiohttp's transport: five times the streams of httpx's own (docs/decisions/0006)."""
    from httpx_aiohttp import AiohttpTransport

    limits = httpx.Limits(max_connections=2 * max_streams, max_keepalive_connections=2 * max_streams)
    return httpx.AsyncClient(
        transport=AiohttpTransport(limits=limits),
        timeout=httpx.Timeout(None, connect=5.0),
        follow_redirects=False,
        trust_env=False,
    )


def _messages(prompt: Prompt) -> list[dict[str, str]]:
    """System, history, request; neighbours of one role are merged, as some servers refuse two in a row."""
    roles = {BOT: "assistant", PERSON: "assistant"}
    said = [("system", prompt.system), *((roles.get(u.author, "user"), u.text) for u in prompt.history)]
    messages: list[dict[str, str]] = []
    for role, text in [*said, ("user", prompt.request)]:
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += f"\n\n{text}"
        else:
            messages.append({"role": role, "content": text})
    return messages


async def _payloads(response: httpx.Response, decoder: SseDecoder, clock: "_Clock") -> AsyncGenerator[str, None]:
    """Event payloads. The clock runs around each read, not around this generator, so a slow consumer is not timed out."""
    pieces: AsyncIterator[bytes] = response.aiter_bytes()
    while True:
        try:
            data = await _within(clock.deadline, anext(pieces))
        except StopAsyncIteration:
            return
        try:
            for payload in decoder.feed(data):
                if payload.strip():
                    yield payload
        except LineTooLong:
            raise ModelCallFailed(errors.MALFORMED, "line too long") from None


@dataclass
class _Clock:
    """When the next sign of life is due, on `time.monotonic`."""

    deadline: float


async def _within(deadline: float, step: Any) -> Any:
    """Await one step of a call under its clock, with every transport error sorted."""
    try:
        async with asyncio.timeout_at(asyncio.get_running_loop().time() + deadline - time.monotonic()):
            return await step
    except TimeoutError:
        raise ModelCallFailed(errors.TIMEOUT) from None
    except httpx.ConnectTimeout:  # aiohttp's transport calls a refused connection this too
        raise ModelCallFailed(errors.TRANSPORT, "connect") from None
    except httpx.TimeoutException:
        raise ModelCallFailed(errors.TIMEOUT) from None
    except (httpx.HTTPError, OSError) as problem:
        raise ModelCallFailed(errors.TRANSPORT, type(problem).__name__) from None


def _parse(payload: str) -> dict[str, Any]:
    try:
        chunk = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise ModelCallFailed(errors.MALFORMED, "not JSON") from None
    if not isinstance(chunk, dict):
        raise ModelCallFailed(errors.MALFORMED, "not an object")
    if chunk.get("error"):
        raise ModelCallFailed(errors.SERVER, "error event")
    return chunk


def _usage(chunk: Mapping[str, Any]) -> Usage | None:
    usage = chunk.get("usage")
    if not isinstance(usage, dict):
        return None
    details = usage.get("prompt_tokens_details") or {}
    return Usage(
        prompt=int(usage.get("prompt_tokens") or 0),
        completion=int(usage.get("completion_tokens") or 0),
        cached=int(usage.get("prompt_cache_hit_tokens") or details.get("cached_tokens") or 0),
    )


async def _error(response: httpx.Response, deadline: float) -> ModelCallFailed:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > MAX_ERROR_BYTES or time.monotonic() > deadline:
            break
    try:
        message = str(orjson.loads(bytes(body))["error"]["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        message = body[:200].decode("utf-8", "replace")
    failure: Failure = errors.from_status(response.status_code, message)
    return ModelCallFailed(failure, f"HTTP {response.status_code}", _retry_after(response.headers))


def _retry_after(headers: httpx.Headers) -> float | None:
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _pause(attempt: int, problem: ModelCallFailed) -> float:
    """How long to wait before the next try: what the provider asked for, or growing, with full jitter."""
    asked = problem.retry_after_s
    if asked is not None:
        return asked if asked <= RETRY_AFTER_CAP_S else float("inf")
    return random.uniform(0, min(RETRY_CAP_S, RETRY_BASE_S * 2**attempt))  # jitter, not a secret
