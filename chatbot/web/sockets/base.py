"""What every socket of ours has in common.

Channels runs a thread hop on every frame and every layer event to close old connections; here database work happens only
in `chatbot.crossing`, which looks after its own. A handler awaits nothing longer than a query: turns are tasks of the
process. An idle socket is one task that waits for a frame.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer

from chatbot.crossing import Away
from chatbot.live.hub import Gone
from chatbot.web.errors import sentence
from conversations.broadcast import Doorbell
from conversations.events import EventView
from conversations.models import Conversation, Turn
from conversations.services import ConversationError

logger = logging.getLogger(__name__)

MAX_FRAME = 64 * 1024
BURST, PER_S = 20, 2.0

AGAIN_S = 1.0
LATEST_ENDED = 4  # answers of a conversation that are over, of which something may still be on its way
UNREAD_S = 10.0  # so long may a connection be full of what nobody reads; the record has the rest

CLOSE_ABNORMAL = 1006
CLOSE_AWAY = 1013  # "try again later": clients come back by themselves and send again what was not acknowledged
CLOSE_SESSION = 4001
CLOSE_NOT_ALLOWED = 4003


class BadFrame(Exception):
    """A frame that is not ours. `code` is for the client."""

    def __init__(self, code: str = "malformed") -> None:
        self.code = code
        super().__init__(code)


class Socket(AsyncWebsocketConsumer):
    """A WebSocket that speaks JSON objects with a ``type``, one handler a type."""

    handlers: Mapping[str, Callable[[Any, dict[str, Any]], Awaitable[None]]] = {}
    unmetered: frozenset[str] = frozenset()  # frames that look after their own rate
    language = "en"
    _catching_up: asyncio.Task[None] | None = None
    _sending = 0  # frames that wait for room in the connection
    _moved_at = 0.0  # when one last found it
    _closed = False  # by us
    _patience: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As Channels' own, without a channel of the layer, whose queue and tasks would take more than all the rest: news
        come from the hub."""
        self.scope, self._send = scope, send
        code = CLOSE_ABNORMAL
        try:
            while True:
                message = await receive()
                code = message.get("code", code)
                await self.dispatch(message)
        except (StopConsumer, Gone):
            pass
        finally:
            if self._catching_up:
                self._catching_up.cancel()
            if self._patience:
                self._patience.cancel()
            await self.disconnect(code)

    async def base_send(self, message: dict[str, Any]) -> None:
        """Waits while the connection is full. Raises `Gone` when it is closed, or was full for `UNREAD_S` and is cut off.

        One timer now and then, not one a frame: nearly every frame goes at once, and a timer for it costs more than it does.
        """
        if not self._sending:
            self._moved_at = time.monotonic()
        self._sending += 1
        self._closed = self._closed or message["type"] == "websocket.close"
        if self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(UNREAD_S, self._lose_patience)
        try:
            await self._send(message)
        except OSError:
            raise Gone from None
        except RuntimeError:  # the server's word for what comes after our own close; else it is a fault of ours
            if not self._closed:
                raise
            raise Gone from None
        finally:
            self._sending -= 1
            self._moved_at = time.monotonic()

    def _lose_patience(self) -> None:
        self._patience = None
        left = self._moved_at + UNREAD_S - time.monotonic()
        if self._sending and left > 0:
            self._patience = asyncio.get_running_loop().call_later(left, self._lose_patience)
        elif self._sending:
            logger.info("a socket that nobody reads is cut off")
            _cut_off(self._send)

    async def dispatch(self, message: dict[str, Any]) -> None:
        """As Channels' own, without its thread hop."""
        handler = getattr(self, message["type"].replace(".", "_"), None)
        if handler is None:
            raise ValueError(f"no handler for {message['type']}")
        await handler(message)

    async def websocket_connect(self, message: dict[str, Any]) -> None:
        self._tokens, self._filled_at = float(BURST), time.monotonic()
        self._more = False
        self._reading = asyncio.Lock()
        self._over: deque[str] = deque(maxlen=LATEST_ENDED)
        if not _same_origin(self.scope):
            await self.close(CLOSE_NOT_ALLOWED)
            return
        await self.connect()

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        raise StopConsumer

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        reference = None
        try:
            frame = _parse(text_data)
            reference = frame.get("id") if isinstance(frame.get("id"), str) else None
            handler = self.handlers.get(frame["type"])
            if handler is None:
                raise BadFrame
            if frame["type"] not in self.unmetered and not self._has_room():
                raise BadFrame("rate")
            await handler(self, frame)
        except BadFrame as problem:
            await self.say_error(problem.code, reference)
        except ConversationError as problem:
            await self.say_error(problem.code, reference)
        except Gone:
            raise
        except Away as problem:
            logger.warning("frame not taken", extra={"problem": type(problem).__name__})
            await self.close(CLOSE_AWAY)
        except OSError:
            logger.info("gone before the answer")
        except Exception:
            logger.exception("frame failed")
            await self.say_error("internal", reference)

    async def say(self, **frame: Any) -> None:
        await self.send_frame(orjson.dumps(frame).decode())

    async def send_frame(self, frame: str) -> None:
        """Raises `Gone`."""
        await self.base_send({"type": "websocket.send", "text": frame})

    async def say_error(self, code: str, reference: str | None = None) -> None:
        more = {"id": reference} if reference else {}
        await self.say(type="error", code=code, text=sentence(code, self.language), **more)

    # --- a watcher of the hub ---
    async def send_live(self, frame: str, turn: str) -> None:
        """What comes late of an answer whose end was told already would begin it anew: it is left out."""
        if not turn or turn not in self._over:
            await self.base_send({"type": "websocket.send", "text": frame})

    def note_end(self, event: EventView) -> None:
        """An event is about to be sent; remember which answer is over by it."""
        ended = event.message.turn if event.message else event.data.get("turn")
        if ended:
            self._over.append(ended)

    def rung(self, bell: Doorbell) -> None:
        self.ring()

    def ring(self) -> None:
        """There is news: read it in a task. Rings that come meanwhile are one more round."""
        self._more = True
        if self._catching_up is None or self._catching_up.done():
            self._catching_up = asyncio.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        try:
            while self._more:
                self._more = False
                try:
                    await self.hear()
                except Away as problem:
                    logger.warning("catching up later", extra={"problem": type(problem).__name__})
                    self._more = True
                    await asyncio.sleep(AGAIN_S)
        except Gone:
            pass
        except Exception:
            logger.exception("catching up failed")

    async def hear(self) -> None:
        """Send the news that was rung for."""
        await self.catch_up()

    async def catch_up(self) -> None:
        """Send what the record has beyond this socket's cursor; one reading at a time, or both would send the same."""
        async with self._reading:
            await self.read_news()

    async def read_news(self) -> None:
        """Read from the cursor on, send, move the cursor."""
        raise NotImplementedError

    def _has_room(self) -> bool:
        now = time.monotonic()
        self._tokens = min(float(BURST), self._tokens + (now - self._filled_at) * PER_S)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def last_ended(conversation: Conversation) -> str:
    """The conversation's latest answer, if it is over: whoever returns may know that, and another process not yet."""
    turns = Turn.objects.of(conversation.workspace_id).filter(conversation=conversation).order_by("-pk")
    last = turns.values_list("public_id", "outcome").first()
    return last[0] if last and last[1] != Turn.Outcome.RUNNING else ""


def text_of(frame: Mapping[str, Any], name: str, longest: int = 100_000) -> str:
    """A string of a frame. Raises `BadFrame`."""
    value = frame.get(name, "")
    if not isinstance(value, str) or len(value) > longest or ("\x00" in value and name != "text"):
        raise BadFrame  # PostgreSQL keeps no NUL; in what is said it is left out
    return value


def number_of(frame: Mapping[str, Any], name: str) -> int:
    value = frame.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise BadFrame
    return value


def _cut_off(send: Any) -> None:
    """End the connection at once. Closing it in good order would wait, without end, for the peer to read what is under way;
    ASGI has no word for this, so that uvicorn's own transport is taken. Another server's send waits until it gives up."""
    owner: Any = getattr(send, "__self__", None)
    while hasattr(owner, "real_send"):  # what Channels puts around it for a session
        owner = getattr(owner.real_send, "__self__", None)
    transport = getattr(owner, "transport", None)
    if transport is not None:
        transport.abort()


def _parse(text: str | None) -> dict[str, Any]:
    if text is None:
        raise BadFrame("binary")
    if len(text) > MAX_FRAME:
        raise BadFrame("too_long")
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadFrame from None
    if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
        raise BadFrame
    return frame


def _same_origin(scope: Mapping[str, Any]) -> bool:
    """A browser's page must be ours to the letter: same scheme, host and port. Programs send no origin."""
    headers = dict(scope["headers"])
    origin = headers.get(b"origin")
    if origin is None:
        return True
    page = urlsplit(origin.decode("latin-1"))
    secure = scope.get("scheme") == "wss" or headers.get(b"x-forwarded-proto") == b"https"
    host: str = headers.get(b"host", b"").decode("latin-1")
    return bool(page.netloc == host and page.scheme == ("https" if secure else "http"))
