"""What must hold in the record, whatever was killed: each check returns the sentences that are broken."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from django.db import DatabaseError, connection
from django.db.models import Count

from conversations import services
from conversations.models import Author, Event, Inbox, Message, Turn
from knowledge.models import Document
from workspace.models import Job

PATIENCE_S = 60.0
T = TypeVar("T")


def read(question: Callable[[], T]) -> T:
    """Ask the record, waiting for a database that is away."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return question()
        except DatabaseError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        finally:
            connection.close()


def acknowledged_are_kept_once(
    acknowledged: Iterable[tuple[str, str]], sent: Callable[[], dict[str, str]]
) -> list[str]:
    """`acknowledged`: conversation and client id; `sent` gives the texts by client id, as they were sent until then."""
    said = Message.every.filter(author=Author.VISITOR, conversation__inbox__kind=Inbox.Kind.WIDGET)
    rows = list(said.select_related("conversation"))
    found = Counter((row.conversation.public_id, row.client_id) for row in rows)
    texts = sent()
    broken = [f"acknowledged message kept {found[key]} times: {key}" for key in acknowledged if found[key] != 1]
    strange = [row.public_id for row in rows if row.client_id is None or texts.get(row.client_id) != row.text]
    return broken + [f"a message nobody sent: {each}" for each in strange]


def webhooks_are_taken_once(inbox: str, acknowledged: Sequence[str]) -> list[str]:
    rows = Message.every.filter(author=Author.VISITOR, conversation__inbox__public_id=inbox)
    found = Counter(rows.values_list("client_id", flat=True))
    return [f"acknowledged webhook kept {found[each]} times: {each}" for each in acknowledged if found[each] != 1]


def every_turn_ended_once() -> list[str]:
    broken = [f"turn never ended: {turn.public_id}" for turn in Turn.every.filter(outcome=Turn.Outcome.RUNNING)]
    said = Message.every.filter(author=Author.BOT).values("turn").annotate(count=Count("pk")).filter(count__gt=1)
    broken += [f"turn answered {row['count']} times: {row['turn']}" for row in said]
    begun = Turn.every.filter(repeats=None).values("question").annotate(count=Count("pk")).filter(count__gt=1)
    broken += [f"question taken up {row['count']} times: {row['question']}" for row in begun]
    variants = (
        Message.every.filter(author=Author.BOT)
        .values("turn__question", "turn__variant")
        .annotate(count=Count("pk"))
        .filter(count__gt=1)
    )
    broken += [f"variant said {row['count']} times: {row['turn__question']}" for row in variants]
    for turn in Turn.every.exclude(outcome__in=[Turn.Outcome.RUNNING, Turn.Outcome.MERGED]):
        told = (
            Message.every.filter(turn=turn).count()
            + Event.every.filter(conversation=turn.conversation, type="turn.ended", data__turn=turn.public_id).count()
        )
        if not told:
            broken.append(f"turn ended in silence: {turn.public_id} {turn.outcome}")
    return broken


def events_are_numbered() -> list[str]:
    broken = []
    for conversation in Event.every.values_list("conversation", flat=True).distinct():
        seqs = list(Event.every.filter(conversation=conversation).order_by("seq").values_list("seq", flat=True))
        if seqs != list(range(1, len(seqs) + 1)):
            broken.append(f"events of conversation {conversation} are not 1 to {len(seqs)}")
    return broken


def jobs_are_done() -> list[str]:
    rows = Job.every.exclude(status=Job.Status.DONE)
    return [f"job {row.kind} {row.public_id} is {row.status}, {row.attempts} tries: {row.error}" for row in rows]


def answers_were_delivered(inbox: str, delivered: Sequence[tuple[str, str]]) -> list[str]:
    """`delivered`: message id and text of each delivery that was answered. A message may come twice, never as another."""
    texts: dict[str, set[str]] = {}
    for message, text in delivered:
        texts.setdefault(message, set()).add(text)
    rows = Message.every.filter(author=Author.BOT, conversation__inbox__public_id=inbox)
    broken = [f"never delivered: {row.public_id}" for row in rows if row.public_id not in texts]
    known = set(rows.values_list("public_id", flat=True))
    broken += [f"delivered, but not in the record: {each}" for each in texts if each not in known]
    return broken + [f"delivered with {len(each)} texts: {message}" for message, each in texts.items() if len(each) > 1]


def documents_are_read(names: Sequence[str]) -> list[str]:
    status = dict(Document.every.values_list("source", "status"))
    return [f"document {name} is {status.get(name)}" for name in names if status.get(name) != Document.Status.LIVE]


def owed() -> int:
    """What is still to be done."""
    jobs = Job.every.filter(status__in=[Job.Status.QUEUED, Job.Status.RUNNING]).count()
    return jobs + Turn.every.filter(outcome=Turn.Outcome.RUNNING).count()


def kept_texts(turns: Iterable[str]) -> dict[str, str]:
    """What the record holds of interrupted answers, by turn."""
    rows = Message.every.filter(author=Author.BOT, turn__public_id__in=list(turns), state=Message.State.INTERRUPTED)
    return {row.turn.public_id: row.text for row in rows.select_related("turn") if row.turn}


def running_jobs() -> list[tuple[int, str, str]]:
    """Row, kind and lease holder of what is being done."""
    rows = Job.every.filter(status=Job.Status.RUNNING)
    return list(rows.values_list("pk", "kind", "leased_by"))


def still_held(held: dict[int, str]) -> set[int]:
    """Which jobs are held still by whom they were held (`held`: row -> lease holder)."""
    rows = Job.every.filter(pk__in=list(held), status=Job.Status.RUNNING).values_list("pk", "leased_by")
    return {pk for pk, holder in rows if held[pk] == holder}


def answer_kinds() -> Counter[str]:
    return Counter(Turn.every.values_list("outcome", flat=True))


DELIVER_JOB = services.DELIVER_JOB
