"""Twice as many questions as a process answers at a time: who was let in reads smoothly, everybody else knows at once.

    python benchmarks/overload.py                   twice BATON_MAX_ANSWERS, for half a minute
    python benchmarks/overload.py --most 150 --times 2 --seconds 20

`most` visitors ask again and again, as fast as they are answered (ten seconds: 300 tokens), and so do as many others who
find no room: whoever is refused reads that and asks again after `AGAIN_S`, for as long as it lasts. "Held" is the time from
the upstream's writing a token to its arrival. "Busy" is the time from sending a question to the answer that there is no
room. For comparison the bare relay, which refuses nobody, is given the same visitors.

The server has one core; visitors, upstream, PostgreSQL and Redis share the other. Exits non-zero when a token of those who
were let in is held longer than `HELD_MS` (p99), when the busy answer takes longer than `BUSY_MS` (p99), when too few
streams are let in, or when a question gets neither answer.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from crowd import Crowd, Server, go_ahead, running, upstream
from streaming import BENCH, LOAD_CORE, prepare, specification
from streaming_adapter import Baton

RAMP_S, AGAIN_S, WARMERS, TOKENS = 10.0, 20.0, 20, 300
HELD_MS, BUSY_MS, LET_IN = 500.0, 200.0, 0.8


class Told(Baton):
    """As `Baton`; notes whether the answer was that there is no room."""

    def refused(self, conn: Any) -> bool:
        conn.refused = True
        return True


@dataclass(frozen=True)
class Result:
    """Times in milliseconds: p50 and p99. `streams`: how many were being answered at a time, on average."""

    streams: float
    delivered: float
    held_ms: tuple[float, float]
    first_ms: tuple[float, float]
    busy_ms: tuple[float, float]
    answered: int
    refused: int
    errors: dict[str, int]
    cpu: float

    def broken(self, most: int) -> list[str]:
        return [
            *([f"a token is held {self.held_ms[1]} ms"] if self.held_ms[1] > HELD_MS else []),
            *([f"it takes {self.busy_ms[1]} ms to say that there is no room"] if self.busy_ms[1] > BUSY_MS else []),
            *([f"{self.streams} streams were let in, of {most}"] if self.streams < LET_IN * most else []),
            *(["nobody was refused"] if not self.refused else []),
            *([f"errors: {self.errors}"] if self.errors else []),
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=int(os.environ.get("BATON_MAX_ANSWERS") or 200))
    parser.add_argument("--times", type=float, default=2.0, help="so many times as many visitors")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--only", default="", help="comma-separated: relay aiohttp, baton")
    parser.add_argument("--ahead", action="store_true", help="take precedence over other programs (root only)")
    options = parser.parse_args()
    if not (BENCH / "load.py").exists():
        sys.exit(f"The load harness is not in {BENCH}; name its folder in BATON_BENCH.")
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    if options.ahead:
        go_ahead()
    visitors = round(options.most * options.times)
    with tempfile.TemporaryDirectory(prefix="baton-bench-", ignore_cleanup_errors=True) as scratch:
        home = Path(scratch)
        environment = prepare(home, visitors=visitors + WARMERS) | {"BATON_MAX_ANSWERS": str(options.most)}
        plan = specification(
            home, environment, argparse.Namespace(idle=0, streams=1, seconds=1, tokens=TOKENS, ramp=RAMP_S)
        )
        results = {}
        for server in plan["servers"]:
            if server["name"] in (options.only or "relay aiohttp,baton").split(","):
                with upstream(plan, home, options.ahead), running(server, home, options.ahead) as run:
                    result = uvloop.run(
                        _measure(server["name"], run, home / "visitors.json", visitors, options.seconds)
                    )
                results[server["name"]] = result
                print(f"{server['name']}: {result}", file=sys.stderr, flush=True)
    sys.exit(_judge(results, options.most, visitors))


async def _measure(name: str, server: Server, visitors: Path, count: int, seconds: float) -> Result:
    baton = name == "baton"
    crowd = Crowd(server, "overload:Told" if baton else "json", visitors)
    warmers = await crowd.enter(WARMERS, 50)
    await crowd.ask(warmers[0])
    await asyncio.gather(*(crowd.ask(each) for each in warmers))
    crowd.leave(warmers)
    came = await crowd.enter(count, 50 if baton else 500)
    record = _Record()
    asking = [asyncio.create_task(_ask_on(crowd, each, at * RAMP_S / count, record)) for at, each in enumerate(came)]
    await asyncio.sleep(RAMP_S)
    crowd.rec.on = record.on = True
    began, cpu, tokens = time.monotonic(), server.cpu, crowd.rec.tokens
    under_way = []
    while time.monotonic() - began < seconds:
        await asyncio.sleep(0.25)
        under_way.append(sum(1 for each in came if each.t_sent is not None and each.t_first is not None))
    took = time.monotonic() - began
    crowd.rec.on = record.on = False
    used, tokens = server.cpu - cpu, crowd.rec.tokens - tokens
    for task in asking:
        task.cancel()
    ended = await asyncio.gather(*asking, return_exceptions=True)
    crowd.leave(came)
    errors = dict(crowd.rec.errors)
    for each in ended:
        if isinstance(each, Exception):
            errors[type(each).__name__] = errors.get(type(each).__name__, 0) + 1
    streams = sum(under_way) / len(under_way)
    return Result(
        streams=round(streams, 1),
        delivered=round(tokens / (took * 30 * streams), 3) if streams else 0.0,
        held_ms=_share(crowd.rec.held, 1000.0),
        first_ms=_share(crowd.rec.ttft, 1000.0),
        busy_ms=_share(record.busy, 1000.0),
        answered=record.answered,
        refused=len(record.busy),
        errors=errors,
        cpu=round(used / took, 2),
    )


class _Record:
    def __init__(self) -> None:
        self.on, self.answered = False, 0
        self.busy: list[float] = []


async def _ask_on(crowd: Crowd, connection: Any, after_s: float, record: _Record) -> None:
    """One visitor: asks, reads to the end, asks again; refused, waits a while first."""
    await asyncio.sleep(after_s)
    while True:
        connection.refused = False
        began = time.monotonic()
        await crowd.ask(connection)
        if connection.t is None:
            return
        if connection.refused and record.on:
            record.busy.append(time.monotonic() - began)
        record.answered += record.on and not connection.refused
        if connection.refused:
            await asyncio.sleep(AGAIN_S)


def _share(values: Any, factor: float) -> tuple[float, float]:
    """p50 and p99."""
    ordered = sorted(values)
    if not ordered:
        return 0.0, 0.0
    return tuple(round(factor * ordered[min(len(ordered) - 1, int(len(ordered) * q))], 1) for q in (0.5, 0.99))


def _judge(results: dict[str, Result], most: int, visitors: int) -> int:
    print(f"{visitors} visitors, room for {most} answers")
    print(
        "| server | streams | held p50 / p99 ms | first text p50 / p99 ms | busy p50 / p99 ms | answered | refused | core |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, r in results.items():
        pairs = [f"{pair[0]} / {pair[1]}" for pair in (r.held_ms, r.first_ms, r.busy_ms)]
        print(f"| {name} | {r.streams} | {' | '.join(pairs)} | {r.answered} | {r.refused} | {r.cpu} |")
    broken = results["baton"].broken(most) if "baton" in results else []
    for problem in broken:
        print(f"BROKEN: {problem}")
    return len(broken)


if __name__ == "__main__":
    main()
