"""Two hundred kills with -9, and what must hold all the same.

    python benchmarks/kills.py                       200 kills: web, worker, Redis, PostgreSQL in turn
    python benchmarks/kills.py --kills 24 --seed 7   as many as that, with another seed
    python benchmarks/kills.py --redis-forgets       Redis without a file: empty after each of its kills
    python benchmarks/kills.py --only web,postgres   those kinds only

The whole application as production runs it (see `installation.py`); visitors talk over WebSockets and send again what was
not acknowledged, a platform sends webhooks, documents are added, pages and routes are asked all the time. Every killed
process is started again, nothing else is touched. Exits with 1 when a promise is broken. Needs PostgreSQL and Redis.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from installation import Installation, Part, says_ok
from traffic import Papers, Probe, Prober, Shop
from upstream.paced import RATE
from visitors import Visitor

from tests.outside import Outside, Say, outside

KINDS = ("web", "worker", "redis", "postgres")
VISITORS = 6
SPEECH = """
Refunds take seven days from the moment your parcel reaches our warehouse [1]. We check that nothing is missing and that the
machine has not been damaged on its way [1]. Then the money goes back to the card you paid with, and your bank shows it a day
or two later [1]. Gift cards are refunded as a new gift card with the same balance [1]. If you paid on invoice we simply cancel
it, and you need not do anything else [1]. Parcels from abroad may need a few days more [1].
"""
TELLS = len(" ".join(SPEECH.split())) / (len(SPEECH.split()) / RATE)  # characters in a second
KNOWN_WITHIN_S, RETAKEN_WITHIN_S, MOST_LOST_S = 5.0, 15.0, 1.0
WARM_S, WARM_STEP_S = 90.0, 0.5
AIM_STEP_S = 0.02
AIM_S = 5.0  # how long a kill waits for the moment when it hurts
BREATH_S = (1.0, 2.0)
DOWN_S = (0.1, 2.0)  # how long PostgreSQL and Redis stay down; a supervisor is not always quick
SETTLE_S = 90.0
SECRET = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
FAQ = b"question,answer\nDo you ship to Norway?,We ship to Norway in ten days.\n"


@dataclass
class Measured:
    """Seconds, by what they were waited for; and the sentences of what was broken."""

    known: list[float] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)
    retaken: list[float] = field(default_factory=list)
    back: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    broken: list[str] = field(default_factory=list)


class Run:
    def __init__(self, home: Path, options: argparse.Namespace, receiver: Outside) -> None:
        self.dice = random.Random(options.seed)
        self.options, self.receiver = options, receiver
        speech = home / "speech.txt"
        speech.write_text(SPEECH)
        self.installation = Installation(
            home, speech=speech, fetch_allow=receiver.host, redis_keeps=not options.redis_forgets
        )
        self.measured = Measured()
        self.visitors: list[Visitor] = []
        self.booting: list[asyncio.Task[None]] = []
        self.kills = 0
        self.down: set[str] = set()  # names of parts that are not expected to run

    # --- before ---
    def prepare(self) -> None:
        """A business with knowledge, a platform, people and visitors."""
        self.installation.postgres.start()
        subprocess.run(self.installation.create_database, check=True)
        self.installation.redis.start()
        os.environ.update(self.installation.environment)
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        if self.options.encoders:
            shutil.copytree(self.options.encoders, self.installation.home / "home" / "encoders")
        else:
            call_command("prepare_encoder")
        self._people()
        self._visitors()
        self.installation.start_ours()

    def _people(self) -> None:
        from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
        from django.contrib.sessions.backends.db import SessionStore

        from chatbot.management.starter_intents import load_starter_intents
        from conversations.models import Inbox
        from knowledge import services as knowledge
        from knowledge.tasks import HANDLERS
        from workspace import leases
        from workspace.models import ApiKey, Membership, User, Workspace
        from workspace.roles import Role

        workspace = Workspace.objects.create(name="Northwind")
        self.inbox = Inbox.objects.of(workspace).create(name="Shop", language="en")
        credentials: Any = {"secrets": [SECRET], "url": f"{self.receiver.address}/hooks"}
        self.platform = Inbox.objects.of(workspace).create(name="System", kind="generic", credentials=credentials)
        load_starter_intents(workspace)
        collection = knowledge.find_or_create_collection(workspace=workspace, name="shop")
        knowledge.add_file(collection=collection, name="faq.csv", data=FAQ)
        guide = "# How long refunds take\n\n" + SPEECH.replace(" [1]", "")
        knowledge.add_file(collection=collection, name="refunds.md", data=guide.encode())
        while leases.run_next(HANDLERS):
            pass
        self.papers = Papers(lambda name, data: knowledge.add_file(collection=collection, name=name, data=data))
        user = User.objects.create_user(username="mei", display_name="Mei")
        Membership.objects.of(workspace).create(user=user, role=Role.ADMIN)
        session = SessionStore()
        session[SESSION_KEY], session[HASH_SESSION_KEY] = str(user.pk), user.get_session_auth_hash()
        session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        session.save()
        signed_in = {"cookie": f"sessionid={session.session_key}"}
        key = "btn_benchmark"
        import hashlib

        ApiKey.objects.of(workspace).create(name="b", secret_hash=hashlib.sha256(key.encode()).hexdigest(), hint="mark")
        bearer = {"authorization": f"Bearer {key}"}
        self.probes = [
            Probe("GET", "/healthz", {}),
            Probe("GET", "/readyz", {}),
            Probe("GET", "/desk/", signed_in),
            Probe("GET", "/knowledge/", signed_in),
            Probe("GET", "/analytics/", signed_in),
            Probe("GET", f"/widget/{self.inbox.public_id}/", {}),
            Probe("POST", f"/widget/{self.inbox.public_id}/session/", {"x-baton": "widget"}, b'{"language": "en"}'),
            Probe("GET", "/api/v1/conversations", bearer),
            Probe("POST", "/api/v1/ask", bearer, json.dumps({"question": "Do you ship to Norway?"}).encode()),
            Probe("GET", "/login/", {}),
        ]

    def _visitors(self) -> None:
        from chatbot.tokens import Visitor as Who
        from chatbot.tokens import visitor_token
        from conversations import services

        for number in range(VISITORS):
            contact = services.new_contact(inbox=self.inbox)
            conversation = services.open_conversation(inbox=self.inbox, contact=contact, language="en")
            token = visitor_token(Who(self.inbox.public_id, contact.public_id, conversation.public_id))
            dice = random.Random(f"{self.options.seed}:{number}")
            addresses = self.installation.addresses
            self.visitors.append(Visitor(conversation.public_id, token, self.inbox.public_id, addresses, dice))

    # --- the run ---
    async def run(self) -> None:
        over = asyncio.Event()
        self.shop = Shop(self.platform.public_id, SECRET, self.installation.addresses, self.dice)
        self.prober = Prober(self.probes, self.installation.addresses, self._is_up)
        talking = [asyncio.create_task(each.live()) for each in self.visitors]
        rest = [asyncio.create_task(each.live(over)) for each in (self.shop, self.prober, self.papers)]
        await self._warm_up()
        kinds = [kind for kind in KINDS if kind in (self.options.only or ",".join(KINDS)).split(",")]
        until = time.monotonic() + self.options.minutes * 60
        while self.kills < self.options.kills and time.monotonic() < until:
            await self._kill(self.kills, kinds[self.kills % len(kinds)])
            self.kills += 1
        await self._booted()
        for visitor in self.visitors:
            visitor.over = True
        await asyncio.gather(*talking)
        over.set()
        await asyncio.gather(*rest)

    async def _warm_up(self) -> None:
        """Until every visitor has had an answer: models are loaded with the first."""
        for _ in range(int(WARM_S / WARM_STEP_S)):
            if all(visitor.ended for visitor in self.visitors):
                break
            await asyncio.sleep(WARM_STEP_S)

    async def _kill(self, number: int, kind: str) -> None:
        await self._healed()
        await asyncio.sleep(self.dice.uniform(*BREATH_S))
        began, before = time.monotonic(), len(self.measured.broken)
        what = await getattr(self, f"_kill_{kind}")(number)
        for part in self.installation.parts:
            if not part.runs and part.name not in self.down:
                self.measured.broken.append(f"kill {number} ({what}): {part.name} died of it")
                self.down.add(part.name)
        lost = await asyncio.to_thread(self._acknowledged)
        self.measured.broken += [f"kill {number} ({what}): {each}" for each in lost]
        print(f"{number:4} {what:22} {time.monotonic() - began:6.1f} s  {self._state()}", flush=True)
        for sentence in self.measured.broken[before:]:
            print(f"     {sentence}; load {os.getloadavg()[0]:.0f}", flush=True)

    async def _healed(self) -> None:
        """One fault at a time: every server that runs has its database and Redis again."""
        for _ in range(int(WARM_S / WARM_STEP_S)):
            ready = [await asyncio.to_thread(says_ok, f"http://{each}/readyz") for each in self._running()]
            if all(ready):
                break
            await asyncio.sleep(WARM_STEP_S)

    def _running(self) -> list[str]:
        return [address for address in self.installation.addresses if self._is_up(address)]

    async def _kill_web(self, number: int) -> str:
        at = (number // len(KINDS)) % len(self.installation.web)
        part, address = self.installation.web[at], self.installation.addresses[at]
        await self._booted()
        await self._aim(lambda: any(visitor.waits_for(address) for visitor in self.visitors))
        cut = [(visitor, turn) for visitor in self.visitors for turn in visitor.waits_for(address)]
        self.down.add(part.name)
        part.kill()
        killed = time.monotonic()
        self.booting.append(asyncio.create_task(self._restart(part, "web", killed, 0.0)))
        for visitor, turn in cut:
            ended = await self._ended(visitor, turn, killed + 3 * KNOWN_WITHIN_S)
            if ended is None or ended.at - killed > KNOWN_WITHIN_S:
                after = "never" if ended is None else f"after {ended.at - killed:.1f} s"
                self.measured.broken.append(f"kill {number}: an interrupted answer was known {after}: {turn}")
            if ended is not None:
                self.measured.known.append(ended.at - killed)
        await asyncio.to_thread(self._measure_lost, number, cut)
        return part.name

    async def _kill_worker(self, number: int) -> str:
        from promises import read, running_jobs, still_held

        part = self.installation.worker
        only = self.dice.choice([None, None, "child"])
        held: dict[int, str] = {}
        until = time.monotonic() + AIM_S
        while not held and time.monotonic() < until:
            victims = part.children()
            victim = self.dice.choice(victims) if only and victims else None
            gone = {victim} if victim else {part.pid, *victims}
            rows = await asyncio.to_thread(read, running_jobs)
            held = {pk: holder for pk, _, holder in rows if int(holder.split(":")[1]) in gone}
        if victim is None:
            self.down.add(part.name)
        part.kill(only=victim)
        killed = time.monotonic()
        restart = asyncio.create_task(self._restart(part, "worker", killed, 0.0)) if not victim else None
        waiting = dict(held)
        while waiting and time.monotonic() - killed < 4 * RETAKEN_WITHIN_S:
            await asyncio.sleep(0.1)
            left = await asyncio.to_thread(read, partial(still_held, waiting))
            took = time.monotonic() - killed
            retaken = len(waiting) - len(left)
            self.measured.retaken += [took] * retaken
            if retaken and took > RETAKEN_WITHIN_S:
                self.measured.broken.append(f"kill {number}: {retaken} jobs were retaken after {took:.1f} s")
            waiting = {pk: waiting[pk] for pk in left}
        if waiting:
            self.measured.broken.append(f"kill {number}: jobs never retaken: {sorted(waiting)}")
        if restart:
            await restart
        return "worker's child" if victim else "worker"

    async def _kill_redis(self, number: int) -> str:
        await self._aim(lambda: any(visitor.speaking for visitor in self.visitors))
        part = self.installation.redis
        part.kill()
        await self._restart(part, "redis", time.monotonic(), self.dice.uniform(*DOWN_S))
        return "redis"

    async def _kill_postgres(self, number: int) -> str:
        await self._aim(lambda: any(visitor.speaking for visitor in self.visitors))
        part, killed = self.installation.postgres, time.monotonic()
        victims = part.children()
        if self.dice.random() < 0.3 and victims:  # one of its processes: it restarts itself
            part.kill(only=self.dice.choice(victims))
            await self._restart(part, "postgres", killed, 0.5)
            return "postgres's child"
        part.kill()
        await self._restart(part, "postgres", killed, self.dice.uniform(*DOWN_S))
        return "postgres"

    async def _booted(self) -> None:
        """Whatever was killed before is back; two web processes are never away at once."""
        booting, self.booting = self.booting, []
        await asyncio.gather(*booting)

    async def _restart(self, part: Part, kind: str, killed: float, after_s: float) -> None:
        self.down.add(part.name)
        await asyncio.sleep(after_s)
        await asyncio.to_thread(part.start)
        self.down.discard(part.name)
        self.measured.back[kind].append(time.monotonic() - killed)

    async def _aim(self, at: Callable[[], bool]) -> None:
        for _ in range(int(AIM_S / AIM_STEP_S)):
            if at():
                break
            await asyncio.sleep(AIM_STEP_S)
        await asyncio.sleep(self.dice.uniform(0, 1))

    async def _ended(self, visitor: Visitor, turn: str, until: float) -> Any:
        while time.monotonic() < until:
            for ended in reversed(visitor.ended):
                if ended.turn == turn:
                    return ended
            await asyncio.sleep(0.05)
        return None

    def _is_up(self, address: str) -> bool:
        part = self.installation.web[self.installation.addresses.index(address)]
        return part.down_since is None and part.runs

    # --- what is found ---
    def _acknowledged(self) -> list[str]:
        from promises import acknowledged_are_kept_once, read

        said = [(visitor.conversation, each) for visitor in self.visitors for each in visitor.acknowledged]
        return read(lambda: acknowledged_are_kept_once(said, self._sent))

    def _sent(self) -> dict[str, str]:
        return {key: text for visitor in self.visitors for key, text in dict(visitor.sent).items()}

    def _measure_lost(self, number: int, cut: Sequence[tuple[Visitor, str]]) -> None:
        """How much of what was shown is not in the record, in seconds of the model's speech."""
        from promises import kept_texts, read

        kept = read(lambda: kept_texts([turn for _, turn in cut]))
        for visitor, turn in cut:
            shown = next((ended.shown for ended in visitor.ended if ended.turn == turn), "")
            if turn not in kept:
                continue
            if not shown.startswith(kept[turn].rstrip()) and not kept[turn].startswith(shown.rstrip()):
                told = f"kill {number}: the record holds another text than was shown: {turn}"
                self.measured.broken.append(f"{told}: {kept[turn]!r} and {shown!r}")
            lost = max(0, len(shown) - len(kept[turn])) / TELLS
            self.measured.lost.append(lost)
            if lost > MOST_LOST_S:
                self.measured.broken.append(f"kill {number}: {lost:.2f} s of shown text is gone: {turn}")

    def _state(self) -> str:
        sent = sum(len(visitor.sent) for visitor in self.visitors)
        acknowledged = sum(len(visitor.acknowledged) for visitor in self.visitors)
        return f"{acknowledged}/{sent} messages, {len(self.shop.acknowledged)} webhooks, broken {len(self.measured.broken)}"

    def settle_and_check(self) -> None:
        """At the end: everything owed is done, and the record is as it must be."""
        import promises
        from promises import read

        until = time.monotonic() + SETTLE_S
        while read(promises.owed) and time.monotonic() < until:
            time.sleep(0.5)
        delivered = [
            (asked.headers["webhook-id"].split("-")[0], asked.json["data"]["message"]["text"])
            for asked in self.receiver.asked
        ]  # fmt: skip
        broken = self.measured.broken
        broken += self._acknowledged()
        platform_inbox = self.platform.public_id
        broken += read(lambda: promises.webhooks_are_taken_once(platform_inbox, self.shop.acknowledged))
        broken += read(promises.every_turn_ended_once)
        broken += read(promises.events_are_numbered)
        broken += read(promises.jobs_are_done)
        broken += read(lambda: promises.answers_were_delivered(platform_inbox, delivered))
        broken += read(lambda: promises.documents_are_read(self.papers.added))
        for visitor in self.visitors:
            broken += visitor.late
            if visitor.seqs != list(range(1, len(visitor.seqs) + 1)):
                broken.append(f"a visitor's events are not 1 to {len(visitor.seqs)}: {visitor.conversation}")
            if unknown := set(visitor.sent) - set(visitor.acknowledged):
                broken.append(f"never acknowledged: {unknown}")
        broken += [f"{what}: {count} times" for what, count in self.prober.broken.items()]
        self.outcomes = read(promises.answer_kinds)
        self.repeated = len(delivered) - len({message for message, _ in delivered})

    def report(self) -> None:
        measured = self.measured
        errors = sum((visitor.errors for visitor in self.visitors), start=type(self.shop.statuses)())
        print(f"\n{self.kills} kills; {self._state()}; documents {len(self.papers.added)}")
        print(f"turns: {dict(self.outcomes)}; errors told to visitors: {dict(errors)}")
        print(
            f"live text missing in a stream, made good by the record: {sum(visitor.gaps for visitor in self.visitors)}"
        )
        print(f"deliveries made more than once (same id): {self.repeated}")
        print(f"pages and routes: {dict(self.prober.statuses)}, slowest {self.prober.slowest_s:.1f} s")
        print(f"webhooks: {dict(self.shop.statuses)}")
        print(_spread("interrupted answer known after", measured.known))
        print(_spread("shown text that is gone", measured.lost))
        print(_spread("job of a killed worker retaken after", measured.retaken))
        for kind, seconds in measured.back.items():
            print(_spread(f"{kind} serves again after", seconds))
        print(f"\n{len(measured.broken)} promises broken")
        for sentence in measured.broken[:60]:
            print(f"  {sentence}")


def _spread(name: str, seconds: Sequence[float]) -> str:
    if not seconds:
        return f"{name}: nothing measured"
    ordered = sorted(seconds)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return f"{name}: p50 {statistics.median(ordered):.2f} s, p95 {p95:.2f} s, longest {ordered[-1]:.2f} s (n = {len(ordered)})"


def machine() -> str:
    models = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    versions = [
        subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.split("\n")[0]
        for program in ("redis-server",)
    ]
    return f"{os.cpu_count()} × {models[0] if models else platform.machine()}, Python {platform.python_version()}, {versions[0]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=120, help="no further kill after that many")
    parser.add_argument("--seed", type=int, default=20261125)
    parser.add_argument("--redis-forgets", action="store_true")
    parser.add_argument("--only", default="", help=f"comma-separated, of {', '.join(KINDS)}")
    parser.add_argument("--encoders", metavar="FOLDER", help="take a prepared encoder from here instead of making one")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended, too
    home = Path(tempfile.mkdtemp(prefix="baton-kills-"))
    print(f"{machine()}\nseed {options.seed}, {options.kills} kills", flush=True)
    if options.keep:
        print(f"logs in {home}", flush=True)
    with outside() as receiver:
        receiver.answers = [Say(after_s=0.6)]
        run = Run(home, options, receiver)
        try:
            run.prepare()
            asyncio.run(run.run())
            run.settle_and_check()
            run.report()
        finally:
            run.installation.end()
            if not options.keep:
                subprocess.run(["rm", "-rf", str(home)], check=False)
    sys.exit(1 if run.measured.broken else 0)


if __name__ == "__main__":
    main()
