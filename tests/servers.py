"""Real servers for tests: PostgreSQL and Redis on loopback, on free ports, with their data in the run's own folder."""

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

UNPRIVILEGED = ("postgres", "nobody")
PATIENCE_S = 30.0

_postgres: dict[int, tuple[Callable[[], subprocess.Popen[bytes]], subprocess.Popen[bytes]]] = {}  # by port


class NoServer(Exception):
    """A server program is not installed; `make test` says how to get it."""


def start_postgres(home: Path) -> str:
    """Make a cluster, start it, create a database. Returns its URL."""
    programs = postgres_programs()
    data, port = home / "postgres", free_port()
    as_user = unprivileged()
    data.mkdir()
    home.chmod(0o755)
    if as_user:
        shutil.chown(data, as_user)
    _run([programs / "initdb", "-D", data, "-U", "baton", "-A", "trust", "-E", "UTF8", "--no-sync"], as_user)

    def run() -> subprocess.Popen[bytes]:
        server = subprocess.Popen(
            [
                str(programs / "postgres"), "-D", str(data), "-p", str(port), "-k", str(data), "-h", "127.0.0.1",
                "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off",
                "-c", "max_connections=200",
            ],
            user=as_user, cwd=data, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        atexit.register(_end, server)
        return server

    _postgres[port] = (run, run())
    _wait_for(port)
    url = f"postgresql://baton@127.0.0.1:{port}/baton"
    _run_until([programs / "createdb", "-h", "127.0.0.1", "-p", port, "-U", "baton", "baton"], as_user)
    return url


@contextmanager
def postgres_away(url: str) -> Iterator[None]:
    """A PostgreSQL of ours is shut down, in the middle of whatever it does, and comes back when the block ends."""
    port = urlsplit(url).port
    assert port
    run, server = _postgres[port]
    server.send_signal(signal.SIGINT)
    server.wait(30)
    try:
        yield
    finally:
        _postgres[port] = (run, run())
        _patiently(lambda: _accepts(url))


def start_redis(home: Path) -> str:
    """Start a Redis that keeps nothing. Returns its URL."""
    program = shutil.which("redis-server")
    if program is None:
        raise NoServer("redis-server is not installed")
    port = free_port()
    server = start_redis_on(port, home, program)
    atexit.register(_end, server)
    return f"redis://127.0.0.1:{port}/0"


def start_redis_on(port: int, home: Path, program: str = "redis-server") -> subprocess.Popen[bytes]:
    server = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(home)],
        stdout=subprocess.DEVNULL,
    )
    _wait_for(port)
    return server


def _accepts(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def postgres_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if found:
        return found[-1]
    on_path = shutil.which("initdb")
    if on_path is None:
        raise NoServer("postgresql is not installed")
    return Path(on_path).resolve().parent


def unprivileged() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in UNPRIVILEGED if name in known)


def _run(command: list[object], as_user: str | None) -> None:
    subprocess.run([str(part) for part in command], user=as_user, check=True, cwd="/", stdout=subprocess.DEVNULL)


def _run_until(command: list[object], as_user: str | None) -> None:
    _patiently(
        lambda: (
            subprocess.run([str(p) for p in command], user=as_user, cwd="/", stderr=subprocess.DEVNULL).returncode == 0
        )
    )


def _wait_for(port: int) -> None:
    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    _patiently(answers)


def _patiently(done: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > until:
            raise TimeoutError("a test server did not start")
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
