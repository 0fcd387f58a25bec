"""What else an installation has to do while its parts are killed: a platform's messages, documents, pages and the API."""

import asyncio
import contextlib
import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

SHOP_EVERY_S = (2.0, 5.0)
PAPER_EVERY_S = 15.0
PROBE_EVERY_S = 0.4
CUSTOMERS = 6


@dataclass
class Shop:
    """A system that tells us by signed webhook what its customers wrote, and repeats what was not taken."""

    inbox: str
    secret: str
    addresses: list[str]
    dice: random.Random
    acknowledged: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)

    async def live(self, over: asyncio.Event) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=15) as http:
            while not over.is_set():
                delivery = f"msg_{uuid.UUID(int=self.dice.getrandbits(128)).hex}"
                await self._tell(http, delivery, over)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), self.dice.uniform(*SHOP_EVERY_S))

    async def _tell(self, http: httpx.AsyncClient, delivery: str, over: asyncio.Event) -> None:
        from chatbot.platforms.generic import sign

        customer = self.dice.randrange(CUSTOMERS)
        body = json.dumps(
            {
                "type": "message.created", "timestamp": "2026-11-25T00:00:00Z",
                "data": {
                    "conversation_id": f"thread-{customer}", "user": {"id": f"customer-{customer}"},
                    "message": {"id": delivery, "type": "text", "text": f"How long do refunds take? ({delivery})"},
                },
            }
        ).encode()  # fmt: skip
        while not over.is_set():
            stamp = str(int(time.time()))
            headers = {
                "webhook-id": delivery, "webhook-timestamp": stamp, "x-forwarded-proto": "https",
                "webhook-signature": sign(self.secret, delivery, stamp, body), "content-type": "application/json",
            }  # fmt: skip
            address = self.dice.choice(self.addresses)
            try:
                answer = await http.post(f"http://{address}/webhooks/{self.inbox}/", content=body, headers=headers)
            except httpx.HTTPError as problem:
                self.statuses[type(problem).__name__] += 1
            else:
                self.statuses[str(answer.status_code)] += 1
                if answer.is_success:
                    self.acknowledged.append(delivery)
                    return
            await asyncio.sleep(0.5)


@dataclass(frozen=True)
class Probe:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass
class Prober:
    """Asks every page and route in turn at both servers; `is_up` says whether a server can be expected to answer at all."""

    probes: list[Probe]
    addresses: list[str]
    is_up: Callable[[str], bool]
    statuses: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0

    async def live(self, over: asyncio.Event) -> None:
        await asyncio.gather(*(self._ask(address, over) for address in self.addresses))

    async def _ask(self, address: str, over: asyncio.Event) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=30, base_url=f"http://{address}") as http:
            number = 0
            while not over.is_set():
                probe, number = self.probes[number % len(self.probes)], number + 1
                await self._one(http, address, probe)
                await asyncio.sleep(PROBE_EVERY_S)

    async def _one(self, http: httpx.AsyncClient, address: str, probe: Probe) -> None:
        began, was_up = time.monotonic(), self.is_up(address)
        try:
            answer = await http.request(
                probe.method, probe.path, headers={"x-forwarded-proto": "https", **probe.headers}, content=probe.body
            )
        except httpx.HTTPError as problem:
            if was_up and self.is_up(address):
                self.broken[f"{probe.method} {probe.path} {type(problem).__name__}"] += 1
            self.statuses["no answer"] += 1
            return
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        self.statuses[str(answer.status_code)] += 1
        in_words = answer.status_code == 503 and answer.text.strip()
        if answer.status_code >= 400 and not in_words:
            self.broken[f"{probe.method} {probe.path} {answer.status_code}"] += 1


@dataclass
class Papers:
    """Documents that are added to the knowledge, each a job to read it and one to publish."""

    add: Callable[[str, bytes], Any]
    added: list[str] = field(default_factory=list)

    async def live(self, over: asyncio.Event) -> None:
        number = 0
        while not over.is_set():
            number += 1
            name = f"paper-{number}.csv"
            data = f"question,answer\nWhat is in box {number}?,Box {number} holds {number} cups.\n".encode()
            with contextlib.suppress(Exception):  # the database is away: not added
                await asyncio.to_thread(self.add, name, data)
                self.added.append(name)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), PAPER_EVERY_S)
