"""Two web processes of the whole application on PostgreSQL and Redis, with a business in them, for the length of a run.

The databases are those of the tests (`tests/servers.py`): on loopback, in the run's own folder, ended with it. What a
visitor is told comes from `upstream/known.py`.
"""

import argparse
import asyncio
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upstream.known import KNOWLEDGE, Model

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from tests import servers  # noqa: E402

BOOT_S = 90.0
PROCESSES = 2


@dataclass(frozen=True)
class Line:
    """A conversation, and what its visitor proves itself with."""

    conversation: str
    token: str


@dataclass
class Pair:
    """`addresses` of the web processes, host and port. `agents`: name -> cookie header of somebody signed in."""

    addresses: list[str]
    inbox: str
    workspace: str
    agents: dict[str, str]
    pids: list[int]
    _inbox: Any

    def open_line(self) -> Line:
        """A new visitor with a conversation; blocking."""
        from chatbot.tokens import Visitor, visitor_token
        from conversations import services

        contact = services.new_contact(inbox=self._inbox)
        conversation = services.open_conversation(inbox=self._inbox, contact=contact, language="en")
        token = visitor_token(Visitor(self.inbox, contact.public_id, conversation.public_id))
        return Line(conversation.public_id, token)

    def processor_s(self) -> list[float]:
        """Seconds of processor time that each web process has used."""
        ticks = os.sysconf("SC_CLK_TCK")
        fields = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in self.pids]
        return [(int(each[11]) + int(each[12])) / ticks for each in fields]


@contextmanager
def pair(home: Path, *, model_port: int, knowledge: str, encoders: Path | None = None) -> Iterator[Pair]:
    """Everything started, with two agents, Mei and Tom. `encoders`: a folder made by ``prepare_encoder`` before."""
    os.environ.update(
        {
            "BATON_HOME": str(home / "home"),
            "BATON_WORKER_THREADS": "0",
            "DATABASE_URL": servers.start_postgres(home),
            "REDIS_URL": servers.start_redis(home),
            "DEEPSEEK_API_KEY": "sk-bench",
            "DEEPSEEK_BASE_URL": f"http://127.0.0.1:{model_port}",
            "DEEPSEEK_MODEL": "known",
            "DJANGO_SETTINGS_MODULE": "chatbot.settings",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        }
    )
    if encoders:
        shutil.copytree(encoders, home / "home" / "encoders")
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("prepare_encoder")
    business = _business(knowledge)
    ports = [servers.free_port() for _ in range(PROCESSES)]
    processes = [_web(home, port) for port in ports]
    addresses = [f"127.0.0.1:{port}" for port in ports]
    try:
        for address, process in zip(addresses, processes, strict=True):
            _wait_for(address, process)
        yield Pair(addresses=addresses, pids=[process.pid for process in processes], **business)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
        for log in sorted(home.glob("web-*.log")):
            sys.stderr.writelines(line for line in log.open() if " INFO " not in line)


@dataclass(frozen=True)
class Cost:
    """What a run took, in seconds, and what its web processes used of the processor meanwhile."""

    took_s: float
    used_s: float


Story = Callable[[argparse.Namespace, Model, Pair], Awaitable[Callable[[Cost], int]]]
"""Runs beside the two processes and gives what then, with them gone, reports and says what to exit with."""


def run_beside(story: Story, parser: argparse.ArgumentParser, *, first_s: float, rate: float, tokens: int) -> None:
    """The main program of a script that does something to the two processes while the model answers.

    `first_s`: seconds to the model's first token; `rate`: tokens a second; `tokens`: of an answer. Exits the interpreter.
    """
    parser.add_argument("--seed", type=int, default=20261125)
    parser.add_argument("--encoders", type=Path)
    options = parser.parse_args()

    async def beside(home: Path) -> int:
        model = Model(seed=options.seed, first_s=first_s, rate=rate, tokens=tokens)
        await model.start()
        started = pair(home, model_port=model.port, knowledge=KNOWLEDGE, encoders=options.encoders)
        servers = await asyncio.to_thread(started.__enter__)
        try:
            began, before = time.monotonic(), sum(servers.processor_s())
            conclude = await story(options, model, servers)
            cost = Cost(time.monotonic() - began, sum(servers.processor_s()) - before)
        finally:
            await asyncio.to_thread(started.__exit__, None, None, None)
        return conclude(cost)

    with tempfile.TemporaryDirectory(prefix="baton-bench-", ignore_cleanup_errors=True) as scratch:
        ended = asyncio.run(beside(Path(scratch)))
    sys.exit(ended)


def report_end(cost: Cost, model: Model, late: list[float], broken: list[str]) -> None:
    """The last lines of a report: how far the run can be trusted, and which promises were broken."""
    print(f"the driver's own lateness {shares(late)}; the model's at most {model.latest_s * 1000:.0f} ms")
    used = cost.used_s / cost.took_s
    print(f"the web processes used {used:.2f} of a core together; load of the machine {os.getloadavg()[0]:.1f}")
    print(f"broken promises: {len(broken)}")
    for problem in broken[:40]:
        print("  BROKEN", problem)


def machine() -> str:
    """One line on what a figure was measured with."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = names[0].split(":", 1)[1].strip() if names else platform.processor()
    return f"{os.cpu_count()} × {model}, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def shares(values: list[float], *, unit: float = 1000.0) -> str:
    """The distribution of seconds, in milliseconds."""
    if not values:
        return "none"
    ordered = sorted(values)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * unit

    return (
        f"p50 {at(0.5):.1f}, p90 {at(0.9):.1f}, p99 {at(0.99):.1f}, max {ordered[-1] * unit:.1f} ms of {len(ordered)}"
    )


def _business(knowledge: str) -> dict[str, Any]:
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    from chatbot.management.starter_intents import load_starter_intents
    from chatbot.own_intents import recogniser
    from conversations.models import Inbox
    from knowledge import services
    from knowledge.tasks import HANDLERS
    from workspace import leases
    from workspace.models import Membership, User, Workspace
    from workspace.roles import Role

    workspace = Workspace.objects.create(name="Northwind")
    inbox = Inbox.objects.of(workspace).create(name="Shop", language="en")
    load_starter_intents(workspace)
    collection = services.find_or_create_collection(workspace=workspace, name="shop")
    services.add_file(collection=collection, name="policy.md", data=knowledge.encode())
    while leases.run_next(HANDLERS):
        pass
    recogniser().prepare(workspace.pk)  # the processes then find what was learnt
    agents = {}
    for name in ("Mei", "Tom"):
        user = User.objects.create_user(username=name.lower(), display_name=name)
        Membership.objects.of(workspace).create(user=user, role=Role.AGENT)
        session = SessionStore()
        session[SESSION_KEY], session[HASH_SESSION_KEY] = str(user.pk), user.get_session_auth_hash()
        session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        session.save()
        agents[name] = f"sessionid={session.session_key}"
    return {"inbox": inbox.public_id, "workspace": workspace.public_id, "agents": agents, "_inbox": inbox}


def _web(home: Path, port: int) -> subprocess.Popen[bytes]:
    with (home / f"web-{port}.log").open("ab") as log:
        return subprocess.Popen(
            [
                sys.executable, "-m", "uvicorn", "chatbot.asgi:application", "--ws", "websockets-sansio",
                "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning", "--timeout-graceful-shutdown", "2",
            ],
            cwd=ROOT, stdout=log, stderr=log,
        )  # fmt: skip


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + BOOT_S
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        with suppress(OSError):
            opener.open(f"http://{address}/readyz", timeout=2)
            return
        if time.monotonic() > until or process.poll() is not None:
            raise TimeoutError("a web process did not start; see its log")
        time.sleep(0.1)
