"""Work that may wait, by kind; taken by Celery workers or, in the trial, by threads of the server.

The rows of `workspace.models.Job` are the truth. Celery only wakes a worker; `sweep` finds what a dead one left behind.
"""

import asyncio
import datetime as dt
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
from django.conf import settings
from django.db import connection
from django.utils import timezone

from chatbot import redis_pool
from chatbot.batch_run import HANDLERS as BATCHES
from chatbot.celery import app
from chatbot.live.hub import Hub, hub
from chatbot.live.relay import Relay
from chatbot.markdown import plain
from chatbot.platforms.adapter import Adapter, Outgoing, Sent, split
from chatbot.platforms.registry import adapter_for
from chatbot.providers import close_providers
from chatbot.remembering import HANDLERS as MEMORY
from chatbot.remembering import Sweep
from chatbot.runner import Runner, runner
from conversations import services
from conversations.models import Author, Message, Turn
from knowledge.schedule import Clock
from knowledge.tasks import HANDLERS as KNOWLEDGE
from workspace import fetch, leases
from workspace.leases import GiveUp, Handler, RetryLater
from workspace.models import Job

logger = logging.getLogger(__name__)

SEND_S = 15.0
BETWEEN_PARTS_S = 1.0
FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 3600.0
PATIENCE = dt.timedelta(days=1)  # how long a platform may be away before a message counts as undeliverable
POLL_S = 2.0
IDLE_S = 0.5


def answer_turn(job: Job) -> None:
    """Answer a platform's message: on the server's own loop when this is the server, else on one of our own."""
    turn = Turn.objects.of(job.workspace_id).select_related("conversation").get(public_id=job.payload["turn"])
    loop = hub().loop
    if loop is not None and not loop.is_closed():
        asyncio.run_coroutine_threadsafe(_answer_here(turn), loop).result()
    else:
        asyncio.run(_answer_alone(turn))
    turn.refresh_from_db()
    if turn.outcome == Turn.Outcome.RUNNING:
        raise RetryLater(1.0, "the turn did not end")


async def _answer_here(turn: Turn) -> None:
    await runner().start(turn, conversation=turn.conversation.public_id, pace=0)


async def _answer_alone(turn: Turn) -> None:
    live = Hub()
    live.start()
    relay = Relay(live) if redis_pool.configured() else None
    if relay:
        relay.start()
    try:
        await Runner(live).start(turn, conversation=turn.conversation.public_id, pace=0)
    finally:
        if relay:
            await relay.stop()
        await live.stop()
        await close_providers()


def deliver_message(job: Job) -> None:
    """Send a message to its platform, part by part; a second try goes on after the last part that was sent."""
    message = (
        Message.objects.of(job.workspace_id)
        .select_related("conversation__inbox", "agent")
        .get(public_id=job.payload["message"])
    )
    try:
        _deliver(job, message)
    except RetryLater:
        raise
    except Exception as problem:
        if isinstance(problem, GiveUp) or (leases.is_last_failure(job) and not leases.is_outage(problem)):
            mark_undelivered(job)
        raise
    Message.every.filter(pk=message.pk).update(delivery=Message.Delivery.SENT)


def mark_undelivered(job: Job) -> None:
    """The delivery was given up, and nobody will try it again."""
    Message.objects.of(job.workspace_id).filter(public_id=job.payload["message"]).update(
        delivery=Message.Delivery.FAILED
    )


def _deliver(job: Job, message: Message) -> None:
    inbox = message.conversation.inbox
    adapter = adapter_for(inbox.kind, inbox.credentials)
    text = plain(message.text) if message.author == Author.BOT else message.text
    parts = list(split(text, adapter.limits))
    done = int(job.progress.get("sent", 0))
    with _client(adapter, inbox.credentials) as http:
        for at, part in enumerate(parts[done:], done):
            if at > done:
                time.sleep(BETWEEN_PARTS_S)
            sent = _send(adapter, http, _outgoing(message, part, at))
            if sent.outcome == "retry_later":
                raise _another_try(job, sent)
            if sent.outcome != "sent":
                raise GiveUp(f"{sent.outcome}: {sent.detail}")
            leases.report_progress(job, {"sent": at + 1, "of": len(parts), "id": sent.message_id or ""})


def _another_try(job: Job, sent: Sent) -> RetryLater | GiveUp:
    """When the platform says, else twice as late each time; not for ever."""
    if timezone.now() - job.created_at > PATIENCE:
        return GiveUp(f"not delivered in {PATIENCE.days} day: {sent.detail}")
    tries = int(job.progress.get("tries", 0)) + 1
    leases.report_progress(job, job.progress | {"tries": tries})
    wait_s = sent.retry_after or FIRST_RETRY_S * 2.0 ** min(tries - 1, 20)
    return RetryLater(min(wait_s, LONGEST_RETRY_S), sent.detail)


def _client(adapter: Adapter, credentials: dict[str, str]) -> httpx.Client:
    if adapter.sends_outside:
        try:
            fetch.check_url(str(credentials.get("url") or ""))
        except fetch.FetchRefused as reason:
            raise GiveUp(f"the inbox's address is refused: {reason}") from None
        return fetch.guarded_client()
    return httpx.Client(timeout=SEND_S, follow_redirects=False, trust_env=False)


def _send(adapter: Adapter, http: httpx.Client, part: Outgoing) -> Sent:
    try:
        return adapter.send(http, part)
    except fetch.FetchRefused as reason:
        return Sent("permanent_failure", detail=str(reason))
    except httpx.HTTPError as problem:
        return Sent("retry_later", detail=type(problem).__name__)


def _outgoing(message: Message, text: str, at: int) -> Outgoing:
    conversation = message.conversation
    return Outgoing(
        id=f"{message.public_id}-{at}" if at else message.public_id,
        text=text,
        author=message.author,
        thread_id=conversation.external_id or conversation.public_id,
        created_at=message.created_at,
        citations=message.citations,
        reply_context=conversation.reply_context or {},
    )


_look_for_memories = Sweep()

_knowledge_clock = Clock()

HANDLERS: dict[str, Handler] = {
    **KNOWLEDGE,
    **BATCHES,
    **MEMORY,
    services.ANSWER_JOB: answer_turn,
    services.DELIVER_JOB: deliver_message,
}
leases.on_given_up(services.DELIVER_JOB, mark_undelivered)


# --- Celery ------------------------------------------------------------------------------------------------------------
class Crew:
    """Does everything that is due, several jobs at a time: most of them wait for a model or a platform.

    Whoever finds nothing looks again as long as another still works, so that what comes meanwhile does not wait for that,
    and looks after what no bell rings for.
    """

    def __init__(self, size: int) -> None:
        self._size, self._working = size, 0
        self._counting, self._looking = threading.Lock(), threading.Lock()

    def work(self) -> None:
        """Returns when nobody has anything to do. Raises what kept the first of them from looking."""
        if not leases.is_anything_due(HANDLERS):  # as most seconds
            return
        with ThreadPoolExecutor(self._size, thread_name_prefix="job") as threads:
            others = [threads.submit(self._member) for _ in range(self._size)]
        for each in others:
            each.result()

    def _member(self) -> None:
        try:
            while True:
                found = self._one()
                if not found and not self._working:
                    return
                if not found:
                    time.sleep(IDLE_S)
                    self._look_after()
        finally:
            connection.close()

    def _look_after(self) -> None:
        if self._looking.acquire(blocking=False):
            try:
                look_after()
            finally:
                self._looking.release()

    def _one(self) -> bool:
        with self._counting:
            self._working += 1
        try:
            return leases.run_next(HANDLERS)
        finally:
            with self._counting:
                self._working -= 1


@app.task(ignore_result=True)
def work() -> None:
    """Do everything that is due."""
    Crew(settings.JOBS_AT_ONCE).work()


@app.task(ignore_result=True)
def sweep() -> None:
    """Do what no bell rings for, and what was left behind."""
    look_after()
    work()


def look_after() -> None:
    """End turns whose process died (server processes do so too, sooner), and begin what is due by the clock."""
    services.sweep_turns()
    _knowledge_clock()
    _look_for_memories()


def ring_celery() -> None:
    """Wake a Celery worker. With the broker away nothing is lost: the sweep finds the row."""
    try:
        work.apply_async(retry=False, expires=30)
    except Exception as problem:  # the broker's client raises whatever its transport raises
        logger.warning("Celery was not woken", extra={"problem": type(problem).__name__})


# --- threads of the server ---------------------------------------------------------------------------------------------
class WorkerThreads:
    """Does the jobs inside the server's process, for the trial."""

    def __init__(self, count: int) -> None:
        self._wake, self._over = threading.Semaphore(0), threading.Event()
        self._threads = [threading.Thread(target=self._loop, name=f"worker {at}", daemon=True) for at in range(count)]

    def start(self) -> None:
        leases.on_enqueue(self._wake.release)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for _ in self._threads:
            self._wake.release()
        for thread in self._threads:
            thread.join(timeout=5)

    def _work(self) -> None:
        while not self._over.is_set() and leases.run_next(HANDLERS):
            pass

    def _loop(self) -> None:
        while not self._over.is_set():
            try:
                _knowledge_clock()
                self._work()
                _look_for_memories()
            except Exception:
                logger.exception("worker step failed")
            connection.close()
            self._wake.acquire(timeout=POLL_S)


def connect_bells() -> None:
    """Let `workspace.leases.enqueue` wake Celery where there is a broker."""
    if settings.CELERY_BROKER_URL:
        leases.on_enqueue(ring_celery)
