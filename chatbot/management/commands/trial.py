"""``make run``: set up the demo shop and serve everything on one port. A second run starts in seconds."""

import socket
import time
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from chatbot.management.demo_shop import AGENT, demo_workspace, load_demo_shop
from chatbot.management.listening import listen
from chatbot.management.progress import ProgressLine
from chatbot.management.work_off import work_off
from workspace.login_links import make_login_link
from workspace.models import User, Workspace


class Command(BaseCommand):
    help = "Set up a demo shop on this machine and serve it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--prepare-only", action="store_true", help="set up and stop")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError("This command is for the trial. In production: see deploy/ and the README.")
        listener = None
        if not options["prepare_only"]:
            listener = listen(options["host"], options["port"], another="make run PORT={port}")
        self._step("translations", lambda: call_command("compile_texts"))
        self._step("database", lambda: call_command("migrate", verbosity=0))
        self._step("fast encoder, made once", self._prepare)
        workspace = demo_workspace() or self._load()
        work_off(workspace, progress=ProgressLine())
        self._step("intent classifier", lambda: self._train(workspace))
        if listener:
            self._welcome(options["host"], options["port"])
            _serve(listener)

    def _step(self, name: str, do: Any) -> Any:
        began = time.monotonic()
        self.stdout.write(f"  {name} … ", ending="")
        self.stdout.flush()
        result = do()
        self.stdout.write(f"done ({time.monotonic() - began:.1f} s)")
        return result

    def _load(self) -> Workspace:
        self.stdout.write("  the demo shop:")
        workspace = load_demo_shop(lambda what: self.stdout.write(f"    {what}"))
        self.stdout.write("  reading and indexing its knowledge:")
        return workspace

    def _prepare(self) -> None:
        from knowledge import embedding
        from knowledge.fast_encoder import CannotExport

        with suppress(CannotExport):  # questions are then embedded by the encoder itself
            embedding.prepare()

    def _train(self, workspace: Workspace) -> None:
        from chatbot.own_intents import recogniser

        recogniser().prepare(workspace.pk)

    def _welcome(self, host: str, port: int) -> None:
        base = f"http://{'localhost' if host == '127.0.0.1' else host}:{port}"
        link = reverse("login-link", args=[make_login_link(User.objects.get(username=AGENT))])
        model = settings.DEEPSEEK_MODEL if settings.DEEPSEEK_API_KEY else "none: answers quote the documents"
        self.stdout.write(
            f"\nBaton is running.\n\n"
            f"  The demo shop, with the chat widget   {base}{reverse('shop')}\n"
            f"  The agents' desk, signed in once by   {base}{link}\n"
            f"  The admin, once signed in             {base}{reverse('admin:index')}\n\n"
            f"  Language model: {model}\n"
            f"  Data: {settings.HOME}\n"
            f"  Stop with Ctrl+C.\n"
        )


def _serve(listener: socket.socket) -> None:
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(
            "chatbot.asgi:application",
            log_level="warning",
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            ws_max_size=1024 * 1024,
            lifespan="on",
            timeout_graceful_shutdown=3,
            server_header=False,
        )
    )
    with suppress(KeyboardInterrupt):  # raised again once all is shut down
        server.run(sockets=[listener])
