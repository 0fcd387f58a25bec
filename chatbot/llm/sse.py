"""Server-sent events from bytes: incremental, bounded, and split only where the standard says.

Lines end at LF, CRLF or CR and nowhere else: a U+2028 inside a JSON string is text. Comments (``: keep-alive``) and
fields other than ``data`` are dropped. WHATWG HTML, section 9.2.
"""

import codecs
import re
from collections.abc import Iterator

MAX_LINE = 1024 * 1024
_LINE_END = re.compile(r"\r\n|\n|\r")


class LineTooLong(Exception):
    """A line of more than `MAX_LINE` characters: not a stream anyone meant to send."""


class SseDecoder:
    """Feed it bytes as they come; it yields the payload of each event."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._buffer = ""
        self._data: list[str] = []
        self._started = False

    def feed(self, data: bytes) -> Iterator[str]:
        """Yields payloads; an event is complete at its blank line. Raises `LineTooLong`."""
        text = self._decoder.decode(data)
        if text and not self._started:
            self._started, text = True, text.removeprefix("\ufeff")
        self._buffer += text
        at = 0
        for end in _LINE_END.finditer(self._buffer):
            if end.group() == "\r" and end.end() == len(self._buffer):
                break  # the LF of a CRLF may be in the next read
            line, at = self._buffer[at : end.start()], end.end()
            if line:
                self._take(line)
            elif self._data:
                yield "\n".join(self._data)
                self._data = []
        self._buffer = self._buffer[at:]
        if len(self._buffer) > MAX_LINE:
            raise LineTooLong

    def _take(self, line: str) -> None:
        field, _, value = line.partition(":")
        if field == "data":
            self._data.append(value.removeprefix(" "))
