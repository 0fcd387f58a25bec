"""What a simulated server does with one request."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Cut:
    """End the connection without ending the response."""


Step = bytes | float | Cut


@dataclass(frozen=True)
class Script:
    """What a request gets: a status, headers, and a body of bytes to write, pauses (seconds) and perhaps a `Cut`."""

    body: tuple[Step, ...]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    body: Any
