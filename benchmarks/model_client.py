"""How many streams one core of this client sustains, against plain httpx, in one run.

    python benchmarks/model_client.py [--quick] [--rounds N] [--ahead]

Each stream is an answer of 90 tokens at 30 a second, and then the next answer. A load is sustained when at least 95 % of
the tokens that were due arrived on time, and 99 % within 250 ms of leaving the server. The client has one core, the
server the other. Loads alternate between the two clients, each in a process of its own; a load that fails is tried once
more. Only the ratio means anything: machines differ, and so do their hours. On a busy machine `--ahead` takes precedence
over other programs (root only); a large `lag`, the server's own, says that a row is worth nothing.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from upstream.paced import FIRST_S, RATE, STAMP, STREAM_S, TOKENS  # noqa: E402

LOADS = (50, 100, 150, 200, 250, 300, 400, 500, 600, 700, 800, 900, 1000, 1200, 1400)
QUICK = (100, 150, 200, 300, 450, 600, 800, 1000)
ON_TIME, HELD_MS = 0.95, 250.0
AIM = 3.0
NICE = -15
PROMPT = "Answer from the sources, briefly, and cite them.\n" + "A passage of the shop's knowledge. " * 90
QUESTION = "How long does the warranty last?"


@dataclass(frozen=True)
class Result:
    """`delivered`: share of the tokens due that arrived on time. `held_ms`: 99 % arrived within it after leaving the
    server. `cpu_us` a token. `lag_ms`: how late the server itself was at worst."""

    delivered: float
    held_ms: float
    cpu_us: float
    core: float
    failures: int
    lag_ms: float

    @property
    def sustained(self) -> bool:
        return self.delivered >= ON_TIME and self.held_ms <= HELD_MS


# --- the run -----------------------------------------------------------------------------------------------------------
def main() -> None:
    options = _options()
    if options.client:
        print(json.dumps(asdict(_measured(options))))
        return
    client_core, server_core = _cores()
    server = _started(["benchmarks/upstream/paced.py"], server_core, options.ahead)
    try:
        assert server.stdout is not None
        bench = Bench(int(server.stdout.readline()), client_core, options.ahead)
        knees = [bench.round(QUICK if options.quick else LOADS) for _ in range(options.rounds)]
    finally:
        server.terminate()
        server.wait()
    print()
    for plain, ours in knees:
        print(
            f"sustained streams on one core: plain httpx {plain}, Baton's client {ours}: {ours / max(plain, 1):.1f} x"
        )
    worst = min(ours / max(plain, 1) for plain, ours in knees)
    print(f"aim {AIM:.0f} x: {'reached' if worst >= AIM else 'missed'} ({worst:.1f} x)")


@dataclass(frozen=True)
class Bench:
    """Where the server listens, and the client's core."""

    port: int
    core: int
    ahead: bool

    def round(self, loads: tuple[int, ...]) -> tuple[int, int]:
        """The highest load each client sustained; one that has failed at two loads in a row is asked no more."""
        knee, failed = {"httpx": 0, "baton": 0}, {"httpx": 0, "baton": 0}
        print("\n streams client    on time  held p99  us/token   core  failed    lag")
        for streams in loads:
            for client in knee:
                if failed[client] >= 2:
                    continue
                if self._sustains(client, streams) or self._sustains(client, streams):
                    knee[client], failed[client] = streams, 0
                else:
                    failed[client] += 1
        return knee["httpx"], knee["baton"]

    def _sustains(self, client: str, streams: int) -> bool:
        command = [
            "benchmarks/model_client.py",
            "--client",
            client,
            "--streams",
            str(streams),
            "--port",
            str(self.port),
        ]
        with _started(command, self.core, self.ahead) as process:
            said, _ = process.communicate()
        return _tell(client, streams, Result(**json.loads(said))).sustained


def _started(command: list[str], core: int, ahead: bool) -> "subprocess.Popen[str]":
    """A program of this folder with a core for itself; `ahead` of others as far as the system allows."""
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    os.sched_setaffinity(process.pid, {core})
    if ahead:
        os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
        autogroup = Path(f"/proc/{process.pid}/autogroup")  # Linux weighs sessions first, then what is in them
        if autogroup.exists():
            autogroup.write_text(str(NICE))
    return process


def _tell(client: str, streams: int, result: Result) -> Result:
    print(
        f"{streams:8} {client:8}{result.delivered:9.1%}{result.held_ms:7.0f} ms{result.cpu_us:10.0f}{result.core:7.0%}"
        f"{result.failures:8}{result.lag_ms:4.0f} ms{'' if result.sustained else '  not sustained'}",
        flush=True,
    )
    return result


def _cores() -> tuple[int, int]:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("Client and server need a core each; this machine offers one.")
    return cores[0], cores[1]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer loads")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--ahead", action="store_true", help="go before other programs of this machine")
    parser.add_argument("--seconds", type=float, default=6.0, help=argparse.SUPPRESS)
    parser.add_argument("--client", choices=["httpx", "baton"], default="", help=argparse.SUPPRESS)
    for name in ("streams", "port"):
        parser.add_argument(f"--{name}", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


# --- one measurement, in its own process ---------------------------------------------------------------------------------
Note = Callable[[str], None]
Ask = Callable[[Note], Awaitable[None]]


def _measured(options: argparse.Namespace) -> Result:
    import uvloop

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    base_url = f"http://127.0.0.1:{options.port}"
    return uvloop.run(_load(options.client, base_url, options.streams, options.seconds))


async def _load(name: str, base_url: str, streams: int, seconds: float) -> Result:
    held: list[float] = []
    failures = 0

    def note(text: str) -> None:
        if (at := text.find("@")) >= 0:
            held.append((time.monotonic_ns() - int(text[at + 1 : at + 1 + STAMP])) / 1e6)

    async def keep_asking(ask: Ask, begin_s: float) -> None:
        nonlocal failures
        await asyncio.sleep(begin_s)
        while True:
            try:
                await ask(note)
            except Exception:
                failures += 1
                await asyncio.sleep(0.1)

    connect = {"httpx": _plain_httpx, "baton": _baton}[name]
    async with connect(base_url, streams) as ask:
        tasks = [asyncio.create_task(keep_asking(ask, STREAM_S * n / streams)) for n in range(streams)]
        await asyncio.sleep(STREAM_S + 1.0)
        await _lag_ms(base_url)
        held.clear()
        failures, cpu, began = 0, time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        cpu, took, heard = time.process_time() - cpu, time.monotonic() - began, sorted(held)
        lag_ms = await _lag_ms(base_url)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    due = streams * took * TOKENS / (FIRST_S + (TOKENS - 1) / RATE)
    on_time = sum(1 for ms in heard if ms <= HELD_MS)
    return Result(
        delivered=min(1.0, on_time / due),
        held_ms=heard[int(len(heard) * 0.99)] if heard else float("inf"),
        cpu_us=1e6 * cpu / max(1, len(heard)),
        core=cpu / took,
        failures=failures,
        lag_ms=lag_ms,
    )


async def _lag_ms(base_url: str) -> float:
    host, port = base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /lag HTTP/1.1\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    lag: float = json.loads(await reader.readuntil(b"}"))["lag_s"]
    writer.close()
    return 1000 * lag


# --- the two clients -----------------------------------------------------------------------------------------------------
@asynccontextmanager
async def _plain_httpx(base_url: str, streams: int) -> AsyncIterator[Ask]:
    """httpx as its documentation shows it, with as many connections as it needs."""
    import httpx

    body = {
        "model": "deepseek-flash",
        "messages": [{"role": "system", "content": PROMPT}, {"role": "user", "content": QUESTION}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    headers = {"Authorization": "Bearer sk-test"}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=2 * streams + 8)
    async with httpx.AsyncClient(limits=limits, timeout=httpx.Timeout(60, connect=5), trust_env=False) as client:

        async def ask(note: Note) -> None:
            async with client.stream("POST", f"{base_url}/chat/completions", json=body, headers=headers) as response:
                response.raise_for_status()
                async for line in response.aiter_lines():
                    if line.startswith("data: ") and line != "data: [DONE]":
                        for choice in json.loads(line[6:])["choices"]:
                            if text := choice["delta"].get("content"):
                                note(text)

        yield ask


@asynccontextmanager
async def _baton(base_url: str, streams: int) -> AsyncIterator[Ask]:
    from chatbot.llm.profile import Profile
    from chatbot.llm.provider import Provider
    from chatbot.llm.request import SYSTEM, USER, ChatMessage, Request
    from chatbot.turn.values import Text

    provider = Provider(Profile(base_url=base_url, key="sk-test", max_streams=streams))
    request = Request((ChatMessage(SYSTEM, PROMPT), ChatMessage(USER, QUESTION)))

    async def ask(note: Note) -> None:
        async for event in provider.stream(request):
            if isinstance(event, Text):
                note(event.text)

    try:
        yield ask
    finally:
        await provider.aclose()


if __name__ == "__main__":
    main()
