"""``manage.py deepseek_simulator``: play DeepSeek's API and a private gateway on this machine, faults included."""

import logging
import socket
import textwrap
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chatbot.llm.simulator.app import CutShort, Simulator
from chatbot.llm.simulator.faults import FAULTS
from chatbot.management.listening import address_of, listen

CLIENT, SECRET = "app-1", "a-secret-of-at-least-thirty-two-bytes"
KEPT = 20  # requests, so that hours of load cost no memory


class Command(BaseCommand):
    help = "Play DeepSeek's official API and a private gateway on this machine, byte for byte, with faults on demand."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8100)
        parser.add_argument("--key", default="sk-test", help="the API key it accepts (sk-test)")
        parser.add_argument(
            "--client", default=f"{CLIENT}:{SECRET}", metavar="ID:SECRET", help="the gateway's client; 32 bytes or more"
        )
        parser.add_argument("--first-ms", type=int, default=150, metavar="N", help="until the first token (150)")
        parser.add_argument("--pause-ms", type=int, default=20, metavar="N", help="between tokens (20)")
        parser.add_argument(
            "--fault",
            action="append",
            default=[],
            metavar="NAME[=RATE]",
            help="fail like that, for a share of the requests (0 to 1) or for all; may be given several times",
        )
        parser.add_argument("--no-batch", action="store_true", help="a gateway without /v1/batch")
        parser.add_argument("--no-moderation", action="store_true", help="a gateway without /v1/moderation")
        parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the dice that --fault=RATE throws (1)")

    def handle(self, *args: Any, **options: Any) -> None:
        client, _, secret = options["client"].partition(":")
        if not client or not secret:
            raise CommandError("--client takes an id and a secret with a colon between them.")
        for name in ("first_ms", "pause_ms"):
            if options[name] < 0:
                raise CommandError(f"--{name.replace('_', '-')} is a time in milliseconds, 0 or more.")
        rates = dict(_rate(fault) for fault in options["fault"])
        offered = {name for name in ("batch", "moderation") if not options[f"no_{name}"]}
        simulator = Simulator(
            options["key"],
            {client: secret},
            rates=rates,
            first_s=options["first_ms"] / 1000,
            pause_s=options["pause_ms"] / 1000,
            offers=frozenset(offered),
            keep_seen=KEPT,
            seed=options["seed"],
        )
        listener = listen(options["host"], options["port"], another="--port {port}")
        self._welcome(address_of(listener), options["key"], client, secret, rates)
        _serve(simulator, listener)

    def _welcome(self, address: str, key: str, client: str, secret: str, rates: dict[str, float]) -> None:
        failing = ", ".join(f"{name} ({rate:.0%})" for name, rate in rates.items()) or "nothing"
        names = textwrap.fill(", ".join(sorted(FAULTS)), 76, initial_indent="    ", subsequent_indent="    ")
        self.stdout.write(
            f"DeepSeek is played here.\n\n"
            f"  Official API   {address}   key {key}\n"
            f"  Gateway        {address}   client id {client}, client secret {secret}\n\n"
            f"  Point Baton at it:\n"
            f"    DEEPSEEK_BASE_URL={address} DEEPSEEK_API_KEY={key} make run\n"
            f"  or, for the gateway, add a model provider in the admin with this address, client id and secret.\n\n"
            f"  Failing by itself: {failing}\n"
            f"  A question that contains !fault:NAME fails like that, for example: !fault:cut\n"
            f"{names}\n\n"
            f"  Stop with Ctrl+C.\n"
        )
        self.stdout.flush()


def _rate(fault: str) -> tuple[str, float]:
    name, given, share = fault.partition("=")
    if name not in FAULTS:
        raise CommandError(f"There is no fault {name!r}. Faults: {', '.join(sorted(FAULTS))}.")
    try:
        rate = float(share) if given else 1.0
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:
        raise CommandError(f"{fault}: the rate is a share of the requests, from 0 to 1.")
    return name, rate


def _serve(simulator: Simulator, listener: socket.socket) -> None:
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(
            simulator,
            log_level="warning",
            ws="none",
            lifespan="off",
            timeout_graceful_shutdown=1,
            server_header=False,
        )
    )
    logging.getLogger("uvicorn.error").addFilter(_is_meant)
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


def _is_meant(record: logging.LogRecord) -> bool:
    """A connection that a fault cuts is no error of the server's."""
    return not (record.exc_info and isinstance(record.exc_info[1], CutShort))
