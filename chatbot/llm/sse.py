"""Server-sent events from bytes: incremental, bounded, and split only where the standard says.

Lines end at LF, CRLF or CR and nowhere else: a U+2028 inside a JSON string is text. Comments (``: keep-alive``) and
fields other than ``data`` are dropped. WHATWG HTML, section 9.2.
"""

import re
from collections.abc import Iterator

MAX_LINE = 1024 * 1024
DONE = b"[DONE]"
"""How APIs of this kind say that a stream is over."""

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")


class LineTooLong(Exception):
    """A line of more than `MAX_LINE` bytes: not a stream anyone meant to send."""


class SseDecoder:
    """Feed it bytes as they come; it yields the payload of each event."""

    def __init__(self) -> None:
        self._rest = b""  # of a line whose end has not come
        self._data: list[bytes] = []
        self._started = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields payloads, in UTF-8; an event is complete at its blank line. Raises `LineTooLong`."""
        data = self._rest + data
        if not self._started:
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._rest = data
                return
            self._started, data = True, data.removeprefix(_BOM)
        lines = _lines(data)
        self._rest = lines.pop()
        for line in lines:
            if line:
                if line.startswith(b"data") and line[4:5] in b":":  # nothing else is of use
                    self._data.append(line[5:].removeprefix(b" "))
            elif self._data:
                payload, self._data = b"\n".join(self._data), []
                yield payload
        if len(self._rest) > MAX_LINE:
            raise LineTooLong


def _lines(data: bytes) -> list[bytes]:
    """Split at line ends, which no other character of UTF-8 contains; the last item has no end yet."""
    if b"\r" not in data:
        return data.split(b"\n")
    half = data.endswith(b"\r")  # the LF of a CRLF may be in the next read
    lines = _LINE_END.split(data[:-1] if half else data)
    if half:
        lines[-1] += b"\r"
    return lines
