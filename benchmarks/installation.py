"""A whole installation as production runs it, each of whose processes can be killed and comes back, as under a supervisor.

Two web processes, a Celery worker, beat, PostgreSQL with its own durable settings, Redis with an append-only file, and
the paced model server. Nothing is shared with a test run; everything lives in one folder.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from tests import servers  # noqa: E402

BOOT_S = 120.0
AGAIN_S = 0.3  # how long a supervisor waits when something did not start


class Part:
    """A process and, with it, whatever it started. `answers` says whether it serves."""

    def __init__(
        self, name: str, command: Sequence[object], folder: Path, environment: Mapping[str, str], answers: Callable[[], bool],
        user: str | None = None,
    ) -> None:  # fmt: skip
        self.name, self._command, self._folder, self._user = name, [str(part) for part in command], folder, user
        self._environment, self._answers = dict(environment), answers
        self._process: subprocess.Popen[bytes] | None = None
        self.down_since: float | None = 0.0  # on the clock of `time.monotonic`; None: serves
        self.starts = 0

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> Path:
        return self._folder / f"{self.name}.log"

    def children(self) -> list[int]:
        """Direct children, by pid."""
        listed = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in listed.read_text().split()] if listed.exists() else []

    def start(self) -> None:
        """Start it and wait until it serves. Raises `TimeoutError`."""
        until = time.monotonic() + BOOT_S
        while True:
            if not self.runs:
                self._spawn()
            if self._answers():
                self.down_since = None
                return
            if time.monotonic() > until:
                raise TimeoutError(f"{self.name} did not start; see {self.log}")
            time.sleep(0.05 if self.runs else AGAIN_S)

    def kill(self, *, only: int | None = None) -> None:
        """With -9: the whole, or the process `only`."""
        if only is not None:
            with suppress(ProcessLookupError):
                os.kill(only, signal.SIGKILL)
            return
        self.down_since = time.monotonic()
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        assert self._process
        self._process.wait(10)

    def end(self) -> None:
        if self.runs:
            os.killpg(self.pid, signal.SIGTERM)
            try:
                assert self._process
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)

    def _spawn(self) -> None:
        self.starts += 1
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=os.environ | self._environment, stdout=log, stderr=log,
                start_new_session=True, user=self._user,
            )  # fmt: skip


class Installation:
    """All parts by name; `environment` is what every process of ours is given. The model says the words of `speech`."""

    def __init__(self, home: Path, *, speech: Path, fetch_allow: str, redis_keeps: bool = True) -> None:
        self.home = home
        home.chmod(0o755)
        self._model = subprocess.Popen(
            [sys.executable, str(ROOT / "benchmarks" / "upstream" / "paced.py"), "--say", str(speech)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._model.stdout
        model_port = int(self._model.stdout.readline())
        database_port, redis_port = servers.free_port(), servers.free_port()
        self.environment = {
            "BATON_PRODUCTION": "1",
            "BATON_SSL_REDIRECT": "0",
            "BATON_SECRET_KEY": secrets.token_urlsafe(60),
            "BATON_KEYS": f"k1:{_key()},index:{_key()}",
            "BATON_HOSTS": "127.0.0.1",
            "BATON_HOME": str(home / "home"),
            "BATON_FETCH_ALLOW": fetch_allow,
            "DATABASE_URL": f"postgresql://baton@127.0.0.1:{database_port}/baton",
            "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
            "DEEPSEEK_API_KEY": "sk-bench",
            "DEEPSEEK_BASE_URL": f"http://127.0.0.1:{model_port}",
            "DEEPSEEK_MODEL": "paced",
            "DJANGO_SETTINGS_MODULE": "chatbot.settings",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        }
        self.postgres = self._postgres(database_port)
        self.redis = self._redis(redis_port, redis_keeps)
        self.web = [self._web(number) for number in (1, 2)]
        self.worker = self._part("worker", "-m", "celery", "-A", "chatbot", "worker", "-c", "2")
        self.beat = self._part("beat", "-m", "celery", "-A", "chatbot", "beat", "--schedule", home / "beat")

    @property
    def parts(self) -> list[Part]:
        return [self.postgres, self.redis, *self.web, self.worker, self.beat]

    def start_ours(self) -> None:
        for part in (*self.web, self.worker, self.beat):
            part.start()

    def end(self) -> None:
        for part in reversed(self.parts):
            part.end()
        self._model.terminate()
        self._model.wait(10)

    def _part(self, name: str, *arguments: object, answers: Callable[[], bool] = lambda: True) -> Part:
        return Part(name, [sys.executable, *arguments], self.home, self.environment, answers)

    def _web(self, number: int) -> Part:
        port = servers.free_port()
        part = self._part(
            f"web-{number}", "-m", "uvicorn", "chatbot.asgi:application", "--ws", "websockets-sansio", "--host", "127.0.0.1",
            "--port", port, answers=lambda: says_ok(f"http://127.0.0.1:{port}/healthz"),
        )  # fmt: skip
        self.addresses = [*getattr(self, "addresses", []), f"127.0.0.1:{port}"]
        return part

    def _redis(self, port: int, keeps: bool) -> Part:
        folder = self.home / "redis"
        folder.mkdir()
        command = [
            "redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save", "",
            "--appendonly", "yes" if keeps else "no", "--appendfsync", "everysec",
        ]  # fmt: skip
        return Part("redis", command, self.home, {}, lambda: _redis_answers(port))

    def _postgres(self, port: int) -> Part:
        """Its own defaults: what is committed is on disk."""
        programs, data, user = servers.postgres_programs(), self.home / "postgres", servers.unprivileged()
        data.mkdir()
        if user:
            shutil.chown(data, user)
        initdb = [programs / "initdb", "-D", data, "-U", "baton", "-A", "trust", "-E", "UTF8"]
        subprocess.run([str(each) for each in initdb], user=user, cwd="/", check=True, stdout=subprocess.DEVNULL)
        command = [
            programs / "postgres", "-D", data, "-p", port, "-k", data, "-h", "127.0.0.1", "-c", "max_connections=200",
        ]  # fmt: skip
        ask = [programs / "psql", "-h", "127.0.0.1", "-p", port, "-U", "baton", "-d", "postgres", "-c", "select 1"]
        self.create_database = [
            str(each) for each in (programs / "createdb", "-h", "127.0.0.1", "-p", port, "-U", "baton", "baton")
        ]
        return Part("postgres", command, self.home, {}, lambda: _succeeds(ask), user=user)


def _key() -> str:
    import base64

    return base64.b64encode(secrets.token_bytes(32)).decode()


def says_ok(url: str) -> bool:
    try:
        ask = urllib.request.Request(url, headers={"X-Forwarded-Proto": "https"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(ask, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _redis_answers(port: int) -> bool:
    """Not while it reads its file in."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as line:
            line.sendall(b"PING\r\n")
            return line.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def _succeeds(command: Sequence[object]) -> bool:
    done: Any = subprocess.run([str(each) for each in command], cwd="/", capture_output=True, check=False)
    return bool(done.returncode == 0)
