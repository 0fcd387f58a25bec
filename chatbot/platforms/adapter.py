"""The interface of a platform: prove that a request is its own, read it, answer it, and send.

`verify` is a pure function of bytes and clock; `parse` is pure; only `send` touches the network. Nothing here knows
Django or the database.
"""

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

FLAG_LETTERS = "".join(map(chr, range(0x1F1E6, 0x1F200)))


class Reject(Exception):
    """The request is not authentic, or too old."""

    status = 403


class Malformed(Exception):
    """The request is authentic, but makes no sense."""


@dataclass(frozen=True, slots=True)
class Received:
    """An HTTP request as it came. Header names are lower case; `body` holds the exact bytes."""

    method: str
    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response."""

    status: int = 200
    body: str = ""
    media_type: str = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a message: by the platform's `id`, or by `url`. Neither is fetched while the request is answered."""

    type: str
    id: str | None = None
    url: str | None = None
    mime: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message of a platform. `dedupe_keys` are the ids under which the platform may send it again."""

    dedupe_keys: tuple[str, ...]
    user_id: str
    conversation_id: str
    type: str = "text"
    text: str | None = None
    message_id: str | None = None
    user_name: str | None = None
    is_group: bool = False
    mentions_bot: bool = False
    timestamp: int | None = None
    attachments: tuple[Attachment, ...] = ()
    event: str | None = None
    reply_context: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dedupe_key(self) -> str:
        return self.dedupe_keys[0]


@dataclass(frozen=True, slots=True)
class Limits:
    """What fits into one message: `text` in `unit` (characters, bytes or utf16)."""

    text: int
    unit: str = "characters"
    window: dt.timedelta | None = None
    replies_per_inbound: int | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One part of a message to send. `id` is the same for every try of the same part."""

    id: str
    text: str
    author: str
    thread_id: str
    created_at: dt.datetime
    citations: Sequence[Mapping[str, Any]] = ()
    reply_context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a part: ``sent``, ``retry_later``, ``window_closed``, ``permanent_failure`` or ``disable_endpoint``."""

    outcome: str
    message_id: str | None = None
    retry_after: float | None = None
    detail: str = ""


class Adapter(Protocol):
    """One inbox's platform. Made anew for each request with the inbox's settings and credentials."""

    limits: Limits

    def verify(self, request: Received, now: float) -> Any:
        """The authenticated payload. Raises `Reject` or `Malformed`."""

    def handshake(self, request: Received, payload: Any) -> Answer | None:
        """The answer to a platform's set-up call, if this is one."""

    def parse(self, payload: Any) -> list[Inbound]:
        """The messages in it; none: acknowledge only. Raises `Malformed`."""

    def acknowledge(self) -> Answer: ...

    def send(self, http: httpx.Client, part: Outgoing) -> Sent: ...

    @property
    def sends_outside(self) -> bool:
        """Whether `send` goes to an address the owner typed in, so that it needs the guarded client."""


def read_json(body: bytes) -> dict[str, Any]:
    """A JSON object from outside. Raises `Malformed` for anything else, however hostile."""
    try:
        payload = json.loads(body)
        json.dumps(payload, ensure_ascii=False).encode()  # half a surrogate pair cannot be stored
    except (ValueError, RecursionError):
        raise Malformed("not JSON") from None
    if not isinstance(payload, dict):
        raise Malformed("not an object")
    return payload


def want(value: Any, kind: type) -> Any:
    """`value` if it is of `kind` (a bool is not an int); raises `Malformed` else."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Malformed(f"expected {kind.__name__}")
    return value


def split(text: str, limits: Limits) -> Iterator[str]:
    """Parts that fit the platform, cut at paragraphs, sentences or words, never inside a character."""
    rest = text.strip()
    while rest:
        if _size(rest, limits.unit) <= limits.text:
            yield rest
            return
        room = _fitting(rest, limits)
        cut = max(
            (rest.rfind(mark, room // 2, room) + len(mark) for mark in ("\n\n", "\n", "。", "！", "？", ". ", " ")),
            default=0,
        )
        cut = cut if cut > room // 2 else room
        yield rest[:cut].rstrip()
        rest = rest[cut:].lstrip()


def _fitting(text: str, limits: Limits) -> int:
    """How many whole characters fit; a joined sequence (an emoji with its modifiers) stays together."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _size(text[:middle], limits.unit) <= limits.text else (low, middle - 1)
    while low > 1 and _is_inside(text, low):
        low -= 1
    return low


def _is_inside(text: str, at: int) -> bool:
    """Whether a cut before `at` would part what is shown as one character. A flag is a pair of letters."""
    letters = at - len(text[:at].rstrip(FLAG_LETTERS))
    return (
        _joins(text[at : at + 1])
        or text[at - 1] == "\u200d"
        or (letters % 2 == 1 and text[at : at + 1] in FLAG_LETTERS and at < len(text))
    )


def _joins(character: str) -> bool:
    return bool(character) and (
        character in "\u200d\ufe0f\u20e3"
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\u0300" <= character <= "\u036f"
    )


def _size(text: str, unit: str) -> int:
    match unit:
        case "bytes":
            return len(text.encode())
        case "utf16":
            return len(text.encode("utf-16-le")) // 2
        case _:
            return len(text)
