"""What visitors cost who are there and say nothing: memory of the server for each, and work that is not theirs.

    python benchmarks/idle.py                       10,000 visitors, beside the bare relay
    python benchmarks/idle.py --visitors 2000 --rounds 1

Every visitor has proven who it is, has got its record and watches its conversation, and offers compression as browsers do.
One-off growth of a process is not a visitor's: before the baseline is taken, `WARMERS` visitors come, ask one question,
read the answer and leave, and then the first tenth of the idle ones comes in. What the process grows by with the other
nine tenths (proportional set size, so without kernel buffers) is divided among them. After that some of those present ask
and read, once with the first tenth and once with all: if the idle ones cost nothing, a token costs the same.

Exits non-zero when a visitor takes more than `MOST_KIB`, or idle ones make the others' tokens dearer than `DEARER`.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from crowd import Crowd, Server, go_ahead, running, upstream
from streaming import BENCH, LOAD_CORE, prepare, specification

WARMERS, READERS = 50, 20
A_SECOND = {"baton": 250.0, "relay": 1_000.0}
ADAPTERS = {"baton": "streaming_adapter:Baton", "relay": "json"}
SETTLE_S, IDLE_S = 3.0, 21.0
MOST_KIB, DEARER = 40.0, 1.3


@dataclass(frozen=True)
class Result:
    """`kib` a visitor; `open_ms` of the processor to let one in; `idle_cpu` share of a core while all are silent;
    `token_us` of the processor for a token, with the first tenth present and with all."""

    kib: float
    open_ms: float
    idle_cpu: float
    token_us: tuple[float, float]
    whole_mib: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", default="", help="comma-separated: relay, baton")
    parser.add_argument("--ahead", action="store_true", help="take precedence over other programs (root only)")
    options = parser.parse_args()
    if not (BENCH / "load.py").exists():
        sys.exit(f"The load harness is not in {BENCH}; name its folder in BATON_BENCH.")
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    if options.ahead:
        go_ahead()
    results: dict[str, list[Result]] = {"relay": [], "baton": []}
    with tempfile.TemporaryDirectory(prefix="baton-bench-", ignore_cleanup_errors=True) as scratch:
        home = Path(scratch)
        environment = prepare(home, visitors=options.visitors + WARMERS)
        plan = specification(home, environment, argparse.Namespace(idle=0, streams=1, seconds=1, tokens=60, ramp=1.0))
        servers = {server["name"]: server for server in plan["servers"]}
        servers["relay"]["cmd"] += ["--ws-per-message-deflate", "false"]  # as ours
        for _ in range(options.rounds):
            for name in results:
                if not options.only or name in options.only.split(","):
                    with upstream(plan, home, options.ahead), running(servers[name], home, options.ahead) as server:
                        result = uvloop.run(_measure(name, server, home / "visitors.json", options.visitors))
                    results[name].append(result)
                    print(f"{name:8} {result}", file=sys.stderr, flush=True)
            for log in home.glob("*.log"):
                sys.stderr.write(log.read_text()[-2_000:])
    sys.exit(_judge(results))


async def _measure(name: str, server: Server, visitors: Path, count: int) -> Result:
    crowd = Crowd(server, ADAPTERS[name], visitors)
    warmers = await crowd.enter(WARMERS, 50)
    await crowd.ask(warmers[0])
    await asyncio.gather(*(crowd.ask(each) for each in warmers))
    crowd.leave(warmers)
    first = await crowd.enter(count // 10, A_SECOND[name])
    await asyncio.sleep(SETTLE_S)
    few = await _token_us(crowd, server, first[:READERS])
    await asyncio.sleep(SETTLE_S)
    memory, cpu = server.memory, server.cpu
    await crowd.enter(count - len(first), A_SECOND[name])
    await asyncio.sleep(SETTLE_S)
    whole, opened = server.memory, server.cpu
    await asyncio.sleep(IDLE_S)
    idle_cpu = (server.cpu - opened) / IDLE_S
    many = await _token_us(crowd, server, first[:READERS])
    if crowd.rec.errors:
        raise ConnectionError(crowd.rec.errors)
    crowd.leave(list(crowd.conns))
    rest = count - len(first)
    return Result(
        kib=round((whole - memory) / rest, 1),
        open_ms=round(1000 * (opened - cpu) / rest, 2),
        idle_cpu=round(idle_cpu, 3),
        token_us=(round(few), round(many)),
        whole_mib=round(whole / 1024),
    )


async def _token_us(crowd: Crowd, server: Server, readers: list[Any]) -> float:
    """Microseconds of the processor for a token, over three answers to each of the readers."""
    crowd.rec.on, tokens, cpu = True, crowd.rec.tokens, server.cpu
    for _ in range(3):
        await asyncio.gather(*(crowd.ask(each) for each in readers))
    crowd.rec.on = False
    return 1e6 * (server.cpu - cpu) / int(crowd.rec.tokens - tokens)


def _judge(results: dict[str, list[Result]]) -> int:
    print(
        "| server | KiB each | ms CPU to let one in | idle CPU % | us/token, a tenth present | all present | MiB in all |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, found in results.items():
        if found:
            cells = [
                statistics.median(cell)
                for cell in zip(
                    *((r.kib, r.open_ms, 100 * r.idle_cpu, *r.token_us, r.whole_mib) for r in found), strict=True
                )
            ]
            print(f"| {name} | " + " | ".join(f"{cell:.4g}" for cell in cells) + " |")
    baton = results["baton"]
    if not baton:
        return 0
    kib = statistics.median(result.kib for result in baton)
    dearer = statistics.median(result.token_us[1] / result.token_us[0] for result in baton)
    broken = [
        *([f"an idle visitor takes {kib} KiB, more than {MOST_KIB}"] if kib > MOST_KIB else []),
        *([f"a token costs {dearer:.2f} times as much beside idle visitors"] if dearer > DEARER else []),
    ]
    for problem in broken:
        print(f"BROKEN: {problem}")
    return len(broken)


if __name__ == "__main__":
    main()
