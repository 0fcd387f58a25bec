"""Many visitors in one program, and the server they visit: what `idle.py` and `overload.py` have in common.

The visitors are the connections of the load harness (see `streaming.py`); here a script decides what each of them does.
The server has the first core, everything else the second.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from streaming import BENCH, LOAD_CORE, ROOT, SERVER_CORE, UPSTREAM

sys.path[:0] = [str(BENCH), str(ROOT)]

import load  # type: ignore[import-not-found]  # noqa: E402 - of the load harness
from compare import stop, wait_port  # type: ignore[import-not-found]  # noqa: E402

BOOT_S, PATIENCE_S = 120, 120
AHEAD = -15


@dataclass(frozen=True)
class Server:
    """A process tree under load. `memory` in KiB, proportional to what is shared; `cpu` in seconds so far."""

    pid: int
    url: str

    @property
    def memory(self) -> int:
        return int(load.mem(self.pid)[1])

    @property
    def cpu(self) -> float:
        return float(load.cpu(self.pid))


def go_ahead(pid: int = 0) -> None:
    """Let a process and its session take precedence over other programs (root only): where sessions share the processor
    evenly, what counts is the session's own niceness."""
    os.setpriority(os.PRIO_PROCESS, pid, AHEAD)
    group = Path(f"/proc/{pid or os.getpid()}/autogroup")
    if group.exists():
        group.write_text(str(AHEAD))


@contextmanager
def running(server: dict[str, Any], logs: Path, ahead: bool = False) -> Iterator[Server]:
    """A server as `streaming.specification` describes it, ended with the block."""
    port = int(server["url"].split(":")[2].split("/")[0])
    with (logs / f"{server['name']}.log").open("ab") as log:
        process = subprocess.Popen(
            ["taskset", "-c", SERVER_CORE, *server["cmd"]],
            cwd=server.get("cwd", BENCH), env=os.environ | server.get("env", {}), stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        try:
            if ahead:
                go_ahead(process.pid)
            if not wait_port("127.0.0.1", port, process, BOOT_S):
                raise TimeoutError(f"{server['name']} did not start")
            yield Server(process.pid, server["url"])
        finally:
            stop([process])


@contextmanager
def upstream(specification: dict[str, Any], logs: Path, ahead: bool = False) -> Iterator[None]:
    """The model that all servers ask."""
    with (logs / "upstream.log").open("ab") as log:
        command = ["taskset", "-c", LOAD_CORE, *specification["upstream"]["cmd"]]
        process = subprocess.Popen(command, cwd=BENCH, stdout=log, stderr=log, start_new_session=True)
        try:
            if ahead:
                go_ahead(process.pid)
            if not wait_port("127.0.0.1", UPSTREAM, process):
                raise TimeoutError("the upstream did not start")
            yield
        finally:
            stop([process])


class Crowd(load.Driver):  # type: ignore[misc]
    """Visitors of one server. `conns` are those who are in; each answers with what its adapter makes of the frames."""

    def __init__(self, server: Server, adapter: str, visitors: Path | None = None) -> None:
        os.environ["BATON_BENCH_VISITORS"] = str(visitors or "")
        super().__init__(
            SimpleNamespace(
                url=server.url, adapter=adapter, send=None, done=None, error=None, deflate=True, header=[], open_timeout=60,
                mode="crowd", think=0,
            )
        )  # fmt: skip
        self.loop = asyncio.get_running_loop()
        self.conns: list[Any] = []
        self._waiting: dict[Any, asyncio.Future[None]] = {}

    async def enter(self, count: int, a_second: float) -> list[Any]:
        """So many visitors come in, at most `a_second`; returns their connections. Raises when one is turned away."""
        before, began = len(self.conns), time.monotonic()
        step = max(1, int(a_second / 20))
        for at in range(0, count, step):
            await asyncio.gather(*(self.connect(before + at + each) for each in range(min(step, count - at))))
            ahead = (at + step) / a_second - (time.monotonic() - began)
            if ahead > 0:
                await asyncio.sleep(ahead)
        if self.rec.errors:
            raise ConnectionError(self.rec.errors)
        return list(self.conns[before:])

    async def ask(self, connection: Any) -> None:
        """Ask and wait for the whole answer. Raises `TimeoutError`."""
        self._waiting[connection] = self.loop.create_future()
        connection.ask()
        await asyncio.wait_for(self._waiting[connection], PATIENCE_S)

    def done(self, connection: Any) -> None:
        if (waiting := self._waiting.pop(connection, None)) and not waiting.done():
            waiting.set_result(None)

    def lost(self, connection: Any) -> None:
        if (waiting := self._waiting.pop(connection, None)) and not waiting.done():
            waiting.set_exception(ConnectionError("closed in the middle of an answer"))

    def leave(self, connections: list[Any]) -> None:
        for each in connections:
            each.d = SimpleNamespace(closing=True)  # its end is meant
            if each.t:
                each.t.abort()
        self.conns = [each for each in self.conns if each not in connections]
