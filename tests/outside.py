"""Somebody else's server: answers as told, one answer after the other, and remembers what it was asked."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A request as it came. Header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Say:
    """An answer, given after `after_s` seconds. A `body` that is not bytes is sent as JSON."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    after_s: float = 0.0


class Outside:
    """`answers` are given in order, the last one for ever. `address` has no slash at its end."""

    def __init__(self, port: int) -> None:
        self.host = f"127.0.0.1:{port}"
        self.address = f"http://{self.host}"
        self.asked: list[Asked] = []
        self.answers: list[Say] = [Say()]
        self._lock = threading.Lock()

    def hear(self, asked: Asked) -> Say:
        with self._lock:
            self.asked.append(asked)
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def wait_for(self, count: int, patience_s: float = 60.0) -> list[Asked]:
        """The first `count` requests, once they are here."""
        until = time.monotonic() + patience_s
        while len(self.asked) < count:
            assert time.monotonic() < until, f"{len(self.asked)} of {count} requests came"
            time.sleep(0.02)
        return self.asked


def telegram_says(message_id: int = 777) -> Say:
    """What Telegram answers when it has taken a message."""
    return Say(body={"ok": True, "result": {"message_id": message_id, "date": 1, "chat": {"id": 1, "type": "private"}}})


@contextmanager
def outside() -> Iterator[Outside]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    http.daemon_threads = True
    http.outside = server = Outside(http.server_port)  # type: ignore[attr-defined]
    threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()


class _Handler(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        say = self.server.outside.hear(Asked(self.command, self.path, headers, body))  # type: ignore[attr-defined]
        time.sleep(say.after_s)
        content = say.body if isinstance(say.body, bytes) else json.dumps(say.body).encode()
        self.send_response(say.status)
        for name, value in {"Content-Length": str(len(content)), **say.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None: ...
