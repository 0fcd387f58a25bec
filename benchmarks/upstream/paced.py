"""A model server that only keeps time: each answer's tokens leave when they are due, each stamped with when it left.

    python benchmarks/upstream/paced.py                 prints its port
    python benchmarks/upstream/paced.py --say FILE      the words of a file instead of time stamps, over and over

``POST`` anything: a stream of `TOKENS` tokens in DeepSeek's format, the first after `FIRST_S`, then `RATE` a second.
``GET /lag``: by how much it was late itself since it was last asked, so that a run on a busy machine can be discarded.
One `asyncio.Protocol` and one timer, because what is measured is the client.
"""

import asyncio
import gc
import json
import sys
import time
from pathlib import Path
from typing import cast

FIRST_S, RATE, TOKENS = 0.1, 30.0, 90
STREAM_S = FIRST_S + TOKENS / RATE  # the pause behind the last token is a token's
STAMP = 16  # digits: nanoseconds of the monotonic clock, which all processes of a machine share
TICK_S = 0.001

_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def _event(delta: str, finish: str = "null", usage: str = "null") -> bytes:
    body = (
        'data: {"id":"8b0f2f6c-6a0e-4b5b-9f57-0d4c1c6a9f10","object":"chat.completion.chunk","created":1795000000,'
        '"model":"deepseek-flash","system_fingerprint":"fp_paced","choices":[{"index":0,"delta":'
        f'{delta},"logprobs":null,"finish_reason":{finish}}}],"usage":{usage}}}\n\n'
    ).encode()
    return b"%x\r\n%s\r\n" % (len(body), body)


_ROLE = _event('{"role":"assistant","content":""}')
_BEFORE, _AFTER = _event('{"content":"@%s "}' % ("0" * STAMP)).split(b"0" * STAMP)
_WORDS: list[bytes] = []
_USAGE = '{"prompt_tokens":900,"completion_tokens":90,"total_tokens":990,"prompt_cache_hit_tokens":640}'
_END = _event('{"content":""}', '"stop"', _USAGE) + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


class Pace:
    """Streams by the millisecond they are due in."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began, self._at = self._loop.time(), 0
        self._due: dict[int, list[Connection]] = {}
        self.worst_lag_s = 0.0
        self._loop.call_later(TICK_S, self._tick)

    def remind(self, connection: "Connection", at: float) -> None:
        slot = max(self._at + 1, int((at - self._began) / TICK_S) + 1)
        self._due.setdefault(slot, []).append(connection)

    def _tick(self) -> None:
        now = self._loop.time()
        while self._at < int((now - self._began) / TICK_S):
            self._at += 1
            if due := self._due.pop(self._at, None):
                self.worst_lag_s = max(self.worst_lag_s, now - self._began - self._at * TICK_S)
                for connection in due:
                    connection.step()
        self._loop.call_later(TICK_S, self._tick)


class Connection(asyncio.Protocol):
    """One client's connection; one answer at a time."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None
        self._left, self._next_at = 0, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's own class does not derive from it

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, rest = self._received.partition(b"\r\n\r\n")
        if not blank:
            return
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        if len(rest) < length:
            return
        self._received = rest[length:]
        if head.startswith(b"GET"):
            self._tell_lag()
        else:
            self._left = TOKENS
            self._next_at = asyncio.get_running_loop().time() + FIRST_S
            self._pace.remind(self, self._next_at)

    def step(self) -> None:
        if self._transport is None:
            return
        if _WORDS:
            token = _WORDS[(TOKENS - self._left) % len(_WORDS)]
        else:
            token = _BEFORE + b"%0*d" % (STAMP, time.monotonic_ns()) + _AFTER
        if self._left == TOKENS:
            token = _HEAD + _ROLE + token
        self._left -= 1
        if self._left:
            self._transport.write(token)
            self._next_at += 1 / RATE
            self._pace.remind(self, self._next_at)
        else:
            self._transport.write(token + _END)

    def _tell_lag(self) -> None:
        assert self._transport is not None
        body = json.dumps({"lag_s": self._pace.worst_lag_s}).encode()
        self._pace.worst_lag_s = 0.0
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )


async def main() -> None:
    pace = Pace()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(pace), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    gc.collect()
    gc.freeze()
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    if sys.argv[1:2] == ["--say"]:
        _WORDS.extend(_event(json.dumps({"content": f"{word} "})) for word in Path(sys.argv[2]).read_text().split())
    uvloop.run(main())
