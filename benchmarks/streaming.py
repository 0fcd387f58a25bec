"""What streaming costs the whole application, against bare relays, in one interleaved run.

The application is all of it: signed sessions, messages stored and sealed, moderation, the gate, history, resume, on
PostgreSQL and Redis. The yardstick is a relay that does nothing but pass tokens on. Both are loaded by the same driver
from the same fake upstream, pinned to a core of their own, in turn, round by round; only ratios mean anything.

    python benchmarks/streaming.py                  CPU per token at 80 streams, time to first text
    python benchmarks/streaming.py --streams 300 --tokens 300 --ramp 12
                                                    as many streams on one core
    python benchmarks/streaming.py --idle 10000     memory per idle visitor

The load harness is looked for in BATON_BENCH (default: ../shared/bench).
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BENCH = Path(os.environ.get("BATON_BENCH") or ROOT.parent / "shared" / "bench")
QUESTION = "How long do refunds take?"
FAQ = f"question,answer\n{QUESTION},Refunds take seven days.\nDo you ship to Norway?,We ship to Norway in ten days.\n"
SERVER_CORE, LOAD_CORE = "0", "1"
UVICORN = [sys.executable, "-m", "uvicorn", "--loop", "uvloop", "--ws", "websockets-sansio", "--log-level", "warning"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


UPSTREAM, APPLICATION, RELAY, RELAY_AIOHTTP = (_free_port() for _ in range(4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--tokens", type=int, default=60)
    parser.add_argument("--ramp", type=float, default=1.5, help="seconds over which the visitors begin")
    parser.add_argument(
        "--idle", type=int, default=0, metavar="N", help="hold N connections and measure memory instead"
    )
    parser.add_argument("--only", default="", help="comma-separated names of the servers to run")
    options = parser.parse_args()
    if not (BENCH / "compare.py").exists():
        sys.exit(f"The load harness is not in {BENCH}; name its folder in BATON_BENCH.")
    with tempfile.TemporaryDirectory(prefix="baton-bench-", ignore_cleanup_errors=True) as scratch:
        home = Path(scratch)
        environment = prepare(home, visitors=max(options.streams, options.idle))
        spec = specification(home, environment, options)
        path = home / "spec.json"
        path.write_text(json.dumps(spec))
        command = [
            sys.executable,
            "compare.py",
            str(path),
            "--rounds",
            str(options.rounds),
            "--logs",
            str(home / "logs"),
        ]
        if options.only:
            command += ["--only", options.only]
        subprocess.run(command, cwd=BENCH, check=False)
        for log in sorted((home / "logs").glob("baton*.log")):
            sys.stderr.write(log.read_text()[-2_000:])


def prepare(home: Path, visitors: int) -> dict[str, str]:
    """A business with knowledge and as many visitors as will come; returns the environment of its server."""
    sys.path.insert(0, str(ROOT))
    from tests.servers import start_postgres, start_redis

    os.sched_setaffinity(0, {int(LOAD_CORE)})  # what is started here stays off the core that is measured
    environment = {
        "BATON_HOME": str(home / "home"),
        "BATON_WORKER_THREADS": "0",
        "DATABASE_URL": start_postgres(home),
        "REDIS_URL": start_redis(home),
        "DEEPSEEK_API_KEY": "sk-bench",
        "DEEPSEEK_BASE_URL": f"http://127.0.0.1:{UPSTREAM}",
        "DEEPSEEK_MODEL": "fake",
        "DEEPSEEK_MAX_CONCURRENCY": "5000",
        "DJANGO_SETTINGS_MODULE": "chatbot.settings",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "BATON_BENCH_VISITORS": str(home / "visitors.json"),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}{os.pathsep}{BENCH}",
    }
    os.environ.update(environment)
    import django

    django.setup()
    from django.core.management import call_command

    from chatbot.management.starter_intents import load_starter_intents
    from chatbot.tokens import Visitor, visitor_token
    from conversations import services
    from conversations.models import Inbox
    from knowledge import services as knowledge
    from knowledge.tasks import HANDLERS
    from workspace import leases
    from workspace.models import Workspace

    call_command("migrate", verbosity=0)
    call_command("prepare_encoder")
    workspace = Workspace.objects.create(name="Northwind")
    inbox = Inbox.objects.of(workspace).create(name="Shop", language="en")
    load_starter_intents(workspace)
    collection = knowledge.find_or_create_collection(workspace=workspace, name="shop")
    knowledge.add_file(collection=collection, name="faq.csv", data=FAQ.encode())
    while leases.run_next(HANDLERS):
        pass
    tokens = []
    for _ in range(visitors):
        contact = services.new_contact(inbox=inbox)
        conversation = services.open_conversation(inbox=inbox, contact=contact, language="en")
        tokens.append(visitor_token(Visitor(inbox.public_id, contact.public_id, conversation.public_id)))
    Path(environment["BATON_BENCH_VISITORS"]).write_text(json.dumps({"inbox": inbox.public_id, "tokens": tokens}))
    return environment


def specification(home: Path, environment: dict[str, str], options: argparse.Namespace) -> dict[str, Any]:
    if options.idle:
        load = ["--mode", "idle", "--conns", str(options.idle)]
    else:
        load = ["--conns", str(options.streams), "--secs", str(options.seconds)]
        load += ["--ramp", str(options.ramp), "--warm", str(options.ramp + 3)]
    inbox = json.loads(Path(environment["BATON_BENCH_VISITORS"]).read_text())["inbox"]
    baton = {
        "name": "baton",
        "cmd": [*UVICORN, "chatbot.asgi:application", "--port", str(APPLICATION), "--lifespan", "on",
                "--ws-per-message-deflate", "false"],
        "cwd": str(ROOT),
        "env": environment,
        "cpu": SERVER_CORE,
        "url": f"ws://127.0.0.1:{APPLICATION}/ws/widget/{inbox}/",
        "args": ["--adapter", "streaming_adapter:Baton"],
        "boot_s": 90,
        "settle": 30,
    }  # fmt: skip
    return {
        "upstream": {
            "cmd": [sys.executable, "fake_upstream.py", "--port", str(UPSTREAM), "--ttft-ms", "100", "--tps", "30",
                    "--tokens", str(options.tokens)],
            "url": f"127.0.0.1:{UPSTREAM}",
            "cpu": LOAD_CORE,
        },
        "driver": {"cmd": [sys.executable, "load.py"], "cpu": LOAD_CORE, "args": load},
        "baseline": "relay",
        "servers": [_relay("relay", RELAY, {}), _relay("relay aiohttp", RELAY_AIOHTTP, {"TRANSPORT": "aiohttp"}), baton],
    }  # fmt: skip


def _relay(name: str, port: int, environment: dict[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "cmd": [*UVICORN, "relay_starlette:app", "--port", str(port)],
        "cpu": SERVER_CORE,
        "env": {"UPSTREAM": f"http://127.0.0.1:{UPSTREAM}", **environment},
        "url": f"ws://127.0.0.1:{port}/ws/chat/",
    }


if __name__ == "__main__":
    main()
