"""Work for a model that may wait, as rows: what is to be asked, what is under way, what came of it. Plain sync Django.

An item is `sent` before the provider is asked; its answer and what it cost are one transaction, the first thing that
happens once the answer has ended. What is done is never asked again (docs/decisions/0013). `chatbot.batch_run` does the asking.
"""

import base64
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.db import DatabaseError, transaction
from django.db.models import Count, F
from django.utils import timezone

from chatbot import ledger
from chatbot.llm.errors import Failure
from chatbot.llm.profile import Profile
from chatbot.llm.provider import Call, Completion
from chatbot.llm.request import ChatMessage, Image, Request
from chatbot.models import Batch, BatchItem, Provider
from chatbot.turn.tokens import estimate_tokens
from chatbot.turn.values import Usage
from workspace import leases
from workspace.crypto import seal_for
from workspace.models import Job, Workspace
from workspace.tenancy import OwnedQuerySet

logger = logging.getLogger(__name__)

RUN_JOB = "batch.run"
MAX_NAME, MAX_PURPOSE, MAX_AT_ONCE = 120, 24, 1000
MAX_TRIES = 3
MAX_LOST = 2  # a request whose worker died is asked again once
LOST = Failure("lost")
ROWS_AT_ONCE = 500
_LEFT = (BatchItem.Status.OPEN, BatchItem.Status.SENT)


class BadBatch(ValueError):
    """The requests cannot be taken as they are; says which and why."""


class AnotherRuns(Exception):
    """A workspace's batches run one after the other, so that the limit of each holds for all."""


class NotOurs(Exception):
    """The batch is cancelled, or another worker may run it by now."""


@dataclass(frozen=True)
class Progress:
    """Items by state; `of` is how many there are."""

    done: int
    failed: int
    of: int

    @property
    def left(self) -> int:
        return self.of - self.done - self.failed


def complete_many(
    *,
    workspace: Workspace,
    purpose: str,
    requests: Sequence[tuple[str, Request]],
    provider: Provider | None = None,
    off_peak: bool = True,
    at_once: int = 8,
    key: str = "",
) -> Batch:
    """Have each request answered once, some time; raises `BadBatch`. With a `key`, a second call returns the first batch.

    The names are the caller's own and unique. Without a `provider` it is the workspace's first that is active.
    """
    _check(purpose, requests, at_once)
    chosen = {"purpose": purpose, "provider": provider, "off_peak": off_peak, "at_once": at_once}
    batches: Any = Batch.objects.of(workspace).exclude(status=Batch.Status.CANCELLED)
    batch: Batch
    with transaction.atomic():
        if key:
            batch, new = batches.get_or_create(key=key, defaults=chosen)
        else:
            batch, new = batches.create(**chosen), True
        if new:
            rows: list[Any] = [(name, _as_json(request)) for name, request in requests]
            items = [BatchItem(workspace=workspace, batch=batch, name=name, request=held) for name, held in rows]
            BatchItem.objects.of(workspace).bulk_create(items, batch_size=ROWS_AT_ONCE)
            payload = {"batch": batch.public_id}
            leases.enqueue(workspace=workspace, kind=RUN_JOB, payload=payload, key=batch.public_id)
    return batch


def resume(batch: Batch, *, off_peak: bool, at_once: int) -> None:
    """Look now whether an unfinished batch can go on, under other terms if need be; also when its job was given up."""
    rows = Batch.objects.of(batch.workspace_id).filter(pk=batch.pk)
    with transaction.atomic():
        rows.update(off_peak=off_peak, at_once=at_once)
        _job(batch).filter(status=Job.Status.DEAD).update(
            status=Job.Status.QUEUED, ended_at=None, attempts=0, failures=0
        )
        _job(batch).filter(status=Job.Status.QUEUED).update(run_at=timezone.now())
        transaction.on_commit(leases.ring)


def hold(batch: Batch) -> bool:
    """Nobody goes on with it until `resume`. Returns False where a worker has it just now."""
    words = {"error": "stopped by hand", "ended_at": timezone.now()}
    return bool(_job(batch).filter(status=Job.Status.QUEUED).update(status=Job.Status.DEAD, **words))


def cancel(batch: Batch) -> bool:
    """Ask nothing more. What is under way is still kept. Returns whether there was anything to stop."""
    with transaction.atomic():
        going = [Batch.Status.WAITING, Batch.Status.RUNNING]
        rows = Batch.objects.of(batch.workspace_id).filter(pk=batch.pk, status__in=going)
        stopped = rows.update(status=Batch.Status.CANCELLED, ended_at=timezone.now())
        _job(batch).filter(status=Job.Status.QUEUED).update(status=Job.Status.DONE, ended_at=timezone.now())
    return bool(stopped)


def forget(*, workspace: Workspace, key: str) -> None:
    """What was handed in under this key stops, and is not found by it any more: the next call with it asks anew."""
    for batch in Batch.objects.of(workspace).filter(key=key):
        cancel(batch)
    Batch.objects.of(workspace).filter(key=key).update(key="")


def results(batch: Batch) -> Iterator[tuple[str, Completion | Failure]]:
    """What came of each item that has ended, by name, in the order they were given. Only a failure's code is known."""
    for item in _items(batch).exclude(status__in=_LEFT).iterator(chunk_size=ROWS_AT_ONCE):
        if item.status == BatchItem.Status.DONE:
            held = item.answer
            usage = Usage(**held["usage"]) if held["usage"] else None
            yield item.name, Completion(held["text"], held["finish"], held["model"], usage)
        else:
            yield item.name, Failure(item.failure)


def progress_of(batch: Batch) -> Progress:
    rows = _items(batch).order_by().values_list("status").annotate(count=Count("pk"))
    count: dict[str, int] = dict(rows)
    return Progress(count.get(BatchItem.Status.DONE, 0), count.get(BatchItem.Status.FAILED, 0), sum(count.values()))


# --- what a run does to the rows ---------------------------------------------------------------------------------------
def begin(job: Job) -> Batch | None:
    """Make a job's batch the one that runs; None when nothing of it is left to do. Raises `AnotherRuns`."""
    with transaction.atomic():
        Workspace.objects.select_for_update().get(pk=job.workspace_id)
        batches = Batch.objects.of(job.workspace_id)
        batch = batches.select_related("provider").filter(public_id=job.payload["batch"]).first()
        if batch is None or batch.status in {Batch.Status.DONE, Batch.Status.CANCELLED}:
            return None
        running = Job.objects.of(job.workspace_id).filter(
            kind=RUN_JOB, status=Job.Status.RUNNING, lease_until__gt=timezone.now()
        )
        others = running.exclude(pk=job.pk).values("key")
        if batches.filter(status=Batch.Status.RUNNING, public_id__in=others).exists():
            raise AnotherRuns
        batches.filter(pk=batch.pk).update(status=Batch.Status.RUNNING)
        batch.status = Batch.Status.RUNNING
    return batch


def forget_deaths(job: Job) -> None:
    """Workers that died in a row count towards giving up, not those in the whole life of a batch that gets on."""
    job.attempts = 1
    Job.objects.of(job.workspace_id).filter(pk=job.pk, leased_by=job.leased_by).update(attempts=1)


def take_back_lost(batch: Batch, profile: Profile) -> int:
    """What a dead worker had under way is asked again, once. Its cost goes into the ledger, estimated. Returns how many."""
    with transaction.atomic():
        sent = list(_items(batch).select_for_update().filter(status=BatchItem.Status.SENT))
        now = timezone.now()
        calls = [_lost_call(batch, item, profile) for item in sent]
        rows = _items(batch).filter(pk__in=[item.pk for item in sent], status=BatchItem.Status.SENT)
        rows.filter(lost__gte=MAX_LOST - 1).update(
            status=BatchItem.Status.FAILED, failure=LOST.code, lost=F("lost") + 1, ended_at=now
        )
        rows.update(status=BatchItem.Status.OPEN, tries=F("tries") - 1, lost=F("lost") + 1)
        _record(batch, calls)
    if sent:
        logger.warning("a worker died with requests under way", extra={"batch": batch.public_id, "lost": len(sent)})
    return len(sent)


def open_items(batch: Batch) -> list[tuple[int, bool]]:
    """Keys of what is still to be asked, and whether alone: it failed or was lost before. What failed least comes first."""
    rows = _items(batch).filter(status=BatchItem.Status.OPEN).order_by("tries", "pk")
    return [(pk, bool(failure or lost)) for pk, failure, lost in rows.values_list("pk", "failure", "lost")]


def send(job: Job, batch: Batch, keys: Sequence[int]) -> list[BatchItem]:
    """Mark as under way what is still open. Raises `NotOurs`."""
    now = timezone.now()
    with transaction.atomic():
        held = _job(batch).filter(leased_by=job.leased_by, status=Job.Status.RUNNING, lease_until__gt=now)
        running = Batch.objects.of(batch.workspace_id).filter(pk=batch.pk, status=Batch.Status.RUNNING)
        if not held.exists() or not running.exists():
            raise NotOurs
        free = _items(batch).filter(pk__in=keys, status=BatchItem.Status.OPEN)
        items = list(free.select_for_update())
        _items(batch).filter(pk__in=[item.pk for item in items]).update(
            status=BatchItem.Status.SENT, sent_at=now, tries=F("tries") + 1
        )
    for item in items:
        item.tries, item.sent_at = item.tries + 1, now
    return items


def keep(batch: Batch, answers: Sequence[tuple[BatchItem, Completion]], calls: Sequence[Call]) -> None:
    """Keep answers and what they cost, together. A worker that lost its lease keeps its answer too, if it is the first."""
    with transaction.atomic():
        for item, answer in answers:
            usage = asdict(answer.usage) if answer.usage else None
            held = {"text": answer.text, "finish": answer.finish, "model": answer.model, "usage": usage}
            _items(batch).filter(pk=item.pk).exclude(status=BatchItem.Status.DONE).update(
                status=BatchItem.Status.DONE, answer=seal_for(item, "answer", held), failure="", ended_at=timezone.now()
            )
        _record(batch, calls)


def fail(batch: Batch, item: BatchItem, failure: Failure, call: Call | None) -> None:
    """This request failed for good."""
    with transaction.atomic():
        _under_way(batch, item).update(status=BatchItem.Status.FAILED, failure=failure.code, ended_at=timezone.now())
        _record(batch, [call] if call else [])


def give_back(
    batch: Batch,
    items: Sequence[BatchItem],
    *,
    counts: bool,
    failure: Failure | None = None,
    calls: Sequence[Call] = (),
) -> None:
    """These are to be asked again. `counts`: it was a try of the request's own; else the provider could not have answered."""
    with transaction.atomic():
        for item in items:
            _under_way(batch, item).update(
                status=BatchItem.Status.OPEN,
                tries=F("tries") - (0 if counts else 1),
                failure=failure.code if failure else "",
            )
        _record(batch, calls)


def pause_or_end(batch: Batch) -> Progress:
    """A run is over: the batch waits, or, with nothing left, is done."""
    with transaction.atomic():
        progress = progress_of(batch)
        status, ended_at = (Batch.Status.WAITING, None) if progress.left else (Batch.Status.DONE, timezone.now())
        running = Batch.objects.of(batch.workspace_id).filter(pk=batch.pk, status=Batch.Status.RUNNING)
        running.update(status=status, ended_at=ended_at)
    return progress


def request_of(batch: Batch, item: BatchItem) -> Request:
    """The request as it was given, for the batch's purpose; `about` names the item."""
    held: dict[str, Any] = dict(item.request)
    messages = tuple(_message(row) for row in held.pop("messages"))
    about = held.pop("about", {}) | {"item": item.name}
    return Request(messages, **(held | {"stop": tuple(held.get("stop", ())), "purpose": batch.purpose}), about=about)


def _record(batch: Batch, calls: Sequence[Call]) -> None:
    """Into the ledger; should that refuse, the answer stands all the same, and the log says what is missing."""
    if not calls:
        return
    try:
        with transaction.atomic():
            ledger.record_calls([(batch.workspace_id, call) for call in calls])
    except DatabaseError:
        logger.exception("model calls were not recorded", extra={"batch": batch.public_id, "calls": len(calls)})


def _lost_call(batch: Batch, item: BatchItem, profile: Profile) -> Call:
    request, at = request_of(batch, item), (item.sent_at or timezone.now()).timestamp()
    prompt = sum(estimate_tokens(message.text) for message in request.messages)
    return Call(
        profile.id,
        profile.name,
        profile.dialect,
        profile.model_for(request.language),
        request,
        started_at=at,
        ended_at=at,
        tries=1,
        usage=Usage(prompt, 0, estimated=True),
        failure=LOST.code,
    )


def _under_way(batch: Batch, item: BatchItem) -> OwnedQuerySet[BatchItem]:
    """The very asking that `item` was marked with, if nobody has taken it back since."""
    return _items(batch).filter(pk=item.pk, status=BatchItem.Status.SENT, sent_at=item.sent_at)


def _items(batch: Batch) -> OwnedQuerySet[BatchItem]:
    return BatchItem.objects.of(batch.workspace_id).filter(batch=batch)


def _job(batch: Batch) -> OwnedQuerySet[Job]:
    return Job.objects.of(batch.workspace_id).filter(kind=RUN_JOB, key=batch.public_id)


# --- requests as they are taken in -------------------------------------------------------------------------------------
def _check(purpose: str, requests: Sequence[tuple[str, Request]], at_once: int) -> None:
    if not purpose or len(purpose) > MAX_PURPOSE:
        raise BadBatch(f"A purpose has 1 to {MAX_PURPOSE} characters: {purpose!r}")
    if not 1 <= at_once <= MAX_AT_ONCE:
        raise BadBatch(f"1 to {MAX_AT_ONCE} requests at the same time, not {at_once}.")
    if not requests:
        raise BadBatch("There is nothing to ask: the batch has no requests.")
    seen: set[str] = set()
    for name, request in requests:
        if not name.isprintable() or not 1 <= len(name) <= MAX_NAME:
            raise BadBatch(f"A request's name has 1 to {MAX_NAME} printable characters: {name[:MAX_NAME]!r}")
        if name in seen:
            raise BadBatch(f"Two requests have the same name: {name!r}")
        seen.add(name)
        if problem := why_not(request):
            raise BadBatch(f"{name!r}: {problem}")


def why_not(request: Request) -> str:
    """Why a request cannot be part of a batch; empty: it can."""
    if not any(message.text.strip() or message.images for message in request.messages):
        return "it asks nothing"
    if request.tools or any(message.tool_calls or message.tool_call_id for message in request.messages):
        return "tools need somebody to run them; a batch has nobody"
    try:
        "".join(message.text for message in request.messages).encode()
    except UnicodeEncodeError:
        return "it holds half a character (a lone surrogate)"
    return ""


def _as_json(request: Request) -> dict[str, Any]:
    """Only what was set, so that what a later version adds has its own default."""
    plain = Request(())
    fields = ("language", "json", "thinking", "max_tokens", "temperature", "stop", "user", "prompt_version", "about")
    held = {name: getattr(request, name) for name in fields if getattr(request, name) != getattr(plain, name)}
    return {"messages": [_message_as_json(message) for message in request.messages], **held}


def _message_as_json(message: ChatMessage) -> dict[str, Any]:
    images = [{"mime": image.mime, "data": base64.b64encode(image.data).decode()} for image in message.images]
    return {"role": message.role, "text": message.text, **({"images": images} if images else {})}


def _message(row: dict[str, Any]) -> ChatMessage:
    images = tuple(Image(image["mime"], base64.b64decode(image["data"])) for image in row.get("images", ()))
    return ChatMessage(row["role"], row["text"], images)
