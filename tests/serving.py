"""A real uvicorn: in a thread, for whatever ASGI application a test brings, or as a process of its own, to be killed."""

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import uvicorn
from django.db import connection

from tests.environment import PRODUCTION, free_port

ROOT = Path(__file__).parents[1]
PATIENCE_S = 60.0


@contextmanager
def serving(application: Any, *, lifespan: Literal["on", "off"] = "off") -> Iterator[int]:
    """Gives the port."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(
            application, host="127.0.0.1", port=port, log_level="critical", lifespan=lifespan,
            ws="websockets-sansio", ws_per_message_deflate=False, ws_max_size=1024 * 1024, timeout_graceful_shutdown=2,
        )
    )  # fmt: skip
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not server.started:
        if time.monotonic() > until or not thread.is_alive():
            raise TimeoutError("the server did not start")
        time.sleep(0.01)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join(10)


class ServerProcess:
    """An ASGI application as a process of its own, on the test's database and broker."""

    def __init__(self, application: str, folder: Path, **environment: str) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        with (folder / f"server-{self.port}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-m", "uvicorn", application, "--ws", "websockets-sansio",
                    "--host", "127.0.0.1", "--port", str(self.port), "--timeout-graceful-shutdown", "2",
                ],
                cwd=ROOT, env=os.environ | {"DATABASE_URL": database_url()} | environment, stdout=log, stderr=log,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self) -> None:
        """Until it serves."""
        until = time.monotonic() + PATIENCE_S
        while True:
            with suppress(OSError):
                urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://{self.address}/healthz")
                return
            if time.monotonic() > until or self._process.poll() is not None:
                raise TimeoutError("the server process did not start")
            time.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
        self._process.wait(10)


@contextmanager
def server_processes(application: str, count: int, folder: Path, **environment: str) -> Iterator[list[ServerProcess]]:
    servers = [ServerProcess(application, folder, **environment) for _ in range(count)]
    try:
        for server in servers:
            server.wait()
        yield servers
    finally:
        for server in servers:
            server.end()


def database_url() -> str:
    """The test's database, for a process that a test starts."""
    name = connection.settings_dict["NAME"]
    return f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{name}" if PRODUCTION else f"sqlite:///{name}"
