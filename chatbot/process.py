"""What a server process does besides answering requests: its ears, its tick, its sweep, its worker threads, its warm-up."""

import asyncio
import ctypes
import gc
import logging
import os
import sys

from django.conf import settings

from chatbot import redis_pool
from chatbot.crossing import cross
from chatbot.live.hub import hub
from chatbot.live.relay import Relay
from chatbot.lookout import Lookout
from chatbot.providers import close_providers
from chatbot.runner import runner
from chatbot.tasks import WorkerThreads, connect_bells
from chatbot.web import health
from chatbot.wiring import warm_up
from conversations import checkpoints, services
from workspace.models import Workspace

logger = logging.getLogger(__name__)

# How long a thread may keep the interpreter while the event loop waits for it. Python's own 5 ms, for each of the threads
# that compete, make streams uneven.
SWITCH_S = 0.001
SWEEP_S = 1.0  # a dead process's answer is marked within the lease of a turn and this


class Process:
    """Started and stopped with the server, on its event loop."""

    def __init__(self) -> None:
        self._relay: Relay | None = None
        self._workers: WorkerThreads | None = None
        self._warming: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        sys.setswitchinterval(SWITCH_S)
        hub().start()
        runner()
        if redis_pool.configured():
            self._relay = Relay(hub())
            self._relay.start()
        connect_bells()
        self._workers = WorkerThreads(settings.WORKER_THREADS)
        self._workers.start()
        self._warming = asyncio.create_task(self._warm_up())
        self._sweeping = asyncio.create_task(self._sweep(), name="sweeper")
        self._looking = asyncio.create_task(Lookout(hub()).watch(), name="lookout")

    async def stop(self) -> None:
        if self._warming:
            self._warming.cancel()
        await runner().drain()
        for task in (self._sweeping, self._looking):
            if task:
                task.cancel()
        if self._workers:
            await asyncio.to_thread(self._workers.stop)
        if self._relay:
            await self._relay.stop()
        await hub().stop()
        await close_providers()

    async def _sweep(self) -> None:
        """End what dead processes left. After a time without a database the living renew their leases first."""
        while True:
            try:
                await cross(services.sweep_turns, spare=runner().turns())
                await asyncio.sleep(SWEEP_S)
            except Exception as problem:
                logger.warning("sweep failed", extra={"problem": type(problem).__name__})
                await asyncio.sleep(checkpoints.TURN_LEASE_S)

    async def _warm_up(self) -> None:
        health.warming.set()
        try:
            await warm_up(await cross(lambda: list(Workspace.objects.values_list("pk", flat=True)[:20])))
        except Exception:
            logger.exception("warm-up failed; the first questions will be slow")
        finally:
            lay_aside()
            health.warming.clear()


def lay_aside() -> None:
    """What is loaded by now stays: looking through it for garbage would hold every answer up. What loading took is given back."""
    gc.collect()
    gc.freeze()
    if os.name == "posix" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)  # glibc's, which keeps what was freed for itself else: 20 MB and more after loading
