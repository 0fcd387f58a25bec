"""What conversations leave behind for later turns: their exchanges, by what these are found again, what they came to.

Recollections hold no words: those are read from the messages when they are needed, so that what was edited, redacted or
deleted is never told again. Summaries do hold words, and are void as soon as their messages are not what they were. Both
are sealed, go with their conversation, and are read for its own contact only.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import CharField, Count, Exists, F, OuterRef, Q, QuerySet, Sum, Value
from django.db.models.functions import Cast, Concat, Length
from django.utils import timezone

from conversations.models import (
    Author,
    Contact,
    Conversation,
    Episode,
    Inbox,
    Message,
    Recollection,
    Summary,
    Turn,
)
from workspace import leases
from workspace.models import Job

REMEMBER_JOB = "remember_conversation"
EVERY_EVENTS = 8  # a conversation that goes on is looked at this often, before its words leave the prompt's window
QUIET_S = 60.0  # and once nobody has spoken for so long
AT_ONCE = 50
MOST = 1_000  # exchanges of a contact that are searched, the newest; what is older is in the summaries
MOST_MESSAGES = 2_000  # that are read of one conversation at once
MOST_SUMMARIES = 4
KEPT_JOBS_S = 3_600.0


@dataclass(frozen=True)
class Said:
    """One message. `speaker` is an agent's name. Not `sourced`: the bot's, cut short, or without a source for all of it."""

    seq: int
    author: Author
    text: str
    speaker: str
    at: dt.datetime
    sourced: bool = True


@dataclass(frozen=True)
class Exchange:
    """What a visitor said, and what was answered before the next one spoke. `question` is the key of the first message."""

    conversation: int
    question: int
    said: tuple[Said, ...]

    @property
    def seq(self) -> int:
        return self.said[0].seq

    @property
    def through_seq(self) -> int:
        return self.said[-1].seq

    @property
    def replies(self) -> tuple[Said, ...]:
        return tuple(said for said in self.said if said.author != Author.VISITOR)

    @property
    def words(self) -> tuple[Said, ...]:
        """The visitor's own."""
        return tuple(said for said in self.said if said.author == Author.VISITOR)


@dataclass(frozen=True)
class Reach:
    """How far a turn may remember: its conversation alone, or all of the contact's."""

    workspace: int
    conversation: int
    contact: int | None


# --- what is due -------------------------------------------------------------------------------------------------------
def enqueue_due(now: dt.datetime | None = None) -> int:
    """Have conversations looked at that went on, or fell quiet, since the last time. Returns how many, at most `AT_ONCE`."""
    now = now or timezone.now()
    quiet = Q(last_message_at__lt=now - dt.timedelta(seconds=QUIET_S))
    went_on = Q(last_seq__gte=F("remembered_seq") + EVERY_EVENTS)
    key = Concat(OuterRef("public_id"), Value(":"), Cast(OuterRef("last_seq"), CharField()))
    asked = Job.every.filter(workspace=OuterRef("workspace"), kind=REMEMBER_JOB, key=key)
    due = (
        Conversation.every.filter(quiet | went_on, last_seq__gt=F("remembered_seq"))
        .exclude(Exists(asked))
        .order_by("-last_message_at")
        .values_list("workspace_id", "public_id", "last_seq")[:AT_ONCE]
    )
    for workspace, public_id, seq in due:
        leases.enqueue(
            workspace=workspace, kind=REMEMBER_JOB, payload={"conversation": public_id}, key=f"{public_id}:{seq}"
        )
    return len(due)


# --- remembering -------------------------------------------------------------------------------------------------------
def new_exchanges(conversation: Conversation) -> list[Exchange]:
    """The exchanges since the last recollection, that one's included: it may have grown, or been edited."""
    last = _recollections(conversation).order_by("-seq").values_list("seq", flat=True).first()
    return exchanges_of(conversation.pk, read(conversation, since_seq=last or 0))


def read(conversation: Conversation, *, since_seq: int = 0, before_seq: int | None = None) -> list[Message]:
    """The newest messages of a stretch as they are valid today, oldest first (see `valid`)."""
    rows = Message.objects.of(conversation.workspace_id).filter(conversation=conversation, seq__gte=since_seq)
    if before_seq is not None:
        rows = rows.filter(seq__lt=before_seq)
    return valid(list(_standing(rows).order_by("-seq")[:MOST_MESSAGES])[::-1])


def remember(
    conversation: Conversation, made: Sequence[tuple[Exchange, Any]], *, made_by: str, since_seq: int, through_seq: int
) -> None:
    """Replace the recollections from `since_seq` on by these, each an exchange and its trace."""
    with transaction.atomic():
        Conversation.objects.of(conversation.workspace_id).select_for_update().get(pk=conversation.pk)
        _recollections(conversation).filter(seq__gte=since_seq).delete()
        Recollection.objects.of(conversation.workspace_id).bulk_create(
            Recollection(
                workspace_id=conversation.workspace_id,
                conversation=conversation,
                question_id=exchange.question,
                seq=exchange.seq,
                through_seq=exchange.through_seq,
                made_by=made_by,
                trace=trace,
            )
            for exchange, trace in made
        )
        Conversation.objects.of(conversation.workspace_id).filter(pk=conversation.pk).update(remembered_seq=through_seq)
        recount(conversation)


def summarise(episode: Episode, *, text: str, source: Summary.Source, through_seq: int, basis: str) -> None:
    """Keep what an episode came to, unless its messages have changed since `basis` was taken."""
    with transaction.atomic():
        Conversation.objects.of(episode.workspace_id).select_for_update().get(pk=episode.conversation_id)
        Summary.objects.of(episode.workspace_id).filter(episode=episode).delete()
        if text and basis == basis_of(episode, through_seq):
            Summary.objects.of(episode.workspace_id).create(
                conversation_id=episode.conversation_id,
                episode=episode,
                text=text,
                source=source,
                through_seq=through_seq,
                basis=basis,
            )


def basis_of(episode: Episode, through_seq: int) -> str:
    """Changes with every message of the stretch that is deleted, edited or rewritten: their number and sealed length."""
    rows = Message.objects.of(episode.workspace_id).filter(
        conversation=episode.conversation_id, seq__gte=episode.started_seq, seq__lte=through_seq, revised_by=None
    )
    held = rows.aggregate(count=Count("pk"), length=Sum(Length("text")))
    return f"{held['count']}:{held['length'] or 0}"


def summary_of(episode: Episode) -> Summary | None:
    """What the episode came to, if that still holds."""
    found: Summary | None = Summary.objects.of(episode.workspace_id).filter(episode=episode).first()
    return found if found and found.basis == basis_of(episode, found.through_seq) else None


# --- recalling ---------------------------------------------------------------------------------------------------------
def reach_of(workspace: int, conversation: str) -> Reach | None:
    """How far a turn of the conversation (public id) may remember.

    Earlier conversations count where the contact is one person: on a platform a thread may be a group's, and what its first
    writer said elsewhere is nobody else's business; only a thread that goes by the person's own id is theirs alone.
    """
    row = Conversation.objects.of(workspace).select_related("contact", "inbox").filter(public_id=conversation).first()
    if row is None:
        return None
    alone = row.inbox.kind == Inbox.Kind.WIDGET or (row.external_id or "") == (row.contact.external_id or None)
    return Reach(workspace, row.pk, row.contact_id if alone else None)


def recollections(reach: Reach) -> list[Recollection]:
    """By what to find exchanges again, those of this conversation first, then the newest; at most `MOST`."""
    rows = Recollection.objects.of(reach.workspace).select_related("conversation")
    own = list(rows.filter(conversation=reach.conversation).order_by("-seq")[:MOST])
    if reach.contact is None or len(own) == MOST:
        return own
    others = rows.filter(conversation__contact=reach.contact).exclude(conversation=reach.conversation)
    return own + list(others.order_by("-conversation_id", "-seq")[: MOST - len(own)])


def exchanges(reach: Reach, chosen: Collection[Recollection]) -> dict[int, Exchange]:
    """The words behind recollections as they stand today, by key; what is gone, or was edited, is missing."""
    if not chosen:
        return {}
    wanted: dict[int, set[int]] = defaultdict(set)
    for each in chosen:
        wanted[each.conversation_id].update(range(each.seq, each.through_seq + 1))
    stretches = Q(pk__in=())
    for conversation, seqs in wanted.items():
        stretches |= Q(conversation_id=conversation, seq__in=seqs)
    rows = valid(_standing(Message.objects.of(reach.workspace).filter(stretches)).order_by("conversation_id", "seq"))
    by_conversation: dict[int, list[Message]] = defaultdict(list)
    for message in rows:
        by_conversation[message.conversation_id].append(message)
    found = {
        exchange.question: exchange
        for conversation, messages in by_conversation.items()
        for exchange in exchanges_of(conversation, messages)
    }
    return {each.pk: found[each.question_id] for each in chosen if each.question_id in found}


def summaries(reach: Reach) -> list[Summary]:
    """What the conversation's and the contact's last episodes came to, the newest first; void ones are removed."""
    rows = Summary.objects.of(reach.workspace).select_related("episode", "conversation")
    here = Q(conversation=reach.conversation)
    if reach.contact is not None:
        here |= Q(conversation__contact=reach.contact)
    found = list(rows.filter(here).order_by("-conversation_id", "-episode_id")[:MOST_SUMMARIES])
    void = [each for each in found if each.basis != basis_of(each.episode, each.through_seq)]
    if void:
        rows.filter(pk__in=[each.pk for each in void]).delete()
    return [each for each in found if each not in void]


# --- forgetting --------------------------------------------------------------------------------------------------------
def forget(*, conversation_id: int, since_seq: int = 0) -> None:
    """Nothing from `since_seq` on is remembered any more, until it is looked at anew. For whoever redacts or deletes messages."""
    with transaction.atomic():
        conversation = Conversation.every.select_for_update().get(pk=conversation_id)
        _recollections(conversation).filter(through_seq__gte=since_seq).delete()
        Summary.objects.of(conversation.workspace_id).filter(
            conversation=conversation, through_seq__gte=since_seq
        ).delete()
        Conversation.objects.of(conversation.workspace_id).filter(
            pk=conversation_id, remembered_seq__gte=since_seq
        ).update(remembered_seq=max(0, since_seq - 1))
        recount(conversation)


def reconcile() -> int:
    """Remove summaries whose messages are not what they were, and done jobs of an hour ago. Returns how many summaries."""
    void = [
        summary.pk
        for summary in Summary.every.select_related("episode").defer("text").iterator(chunk_size=500)
        if summary.basis != basis_of(summary.episode, summary.through_seq)
    ]
    Summary.every.filter(pk__in=void).delete()
    before = timezone.now() - dt.timedelta(seconds=KEPT_JOBS_S)
    Job.every.filter(kind=REMEMBER_JOB, status=Job.Status.DONE, ended_at__lt=before).delete()
    return len(void)


# --- both --------------------------------------------------------------------------------------------------------------
def valid(messages: Iterable[Message]) -> list[Message]:
    """Without answers to words that were edited since, and answers that have a newer variant."""
    rows = list(messages)
    newest: dict[int, int] = {}
    for message in rows:
        if message.turn:
            newest[message.turn.question_id] = max(message.turn.variant, newest.get(message.turn.question_id, 0))
    return [message for message in rows if not message.turn or message.turn.variant == newest[message.turn.question_id]]


def exchanges_of(conversation: int, messages: Sequence[Message]) -> list[Exchange]:
    """Cut a stretch where a visitor speaks after an answer. What was said before any visitor spoke belongs to none."""
    groups: list[list[Message]] = []
    for message in messages:
        speaks = message.author == Author.VISITOR
        if speaks and (not groups or groups[-1][-1].author != Author.VISITOR):
            groups.append([])
        if groups:
            groups[-1].append(message)
    return [Exchange(conversation, group[0].pk, tuple(map(_said, group))) for group in groups]


def _said(message: Message) -> Said:
    speaker = str(message.agent) if message.agent else ""
    return Said(message.seq, Author(message.author), message.text, speaker, message.created_at, _is_sourced(message))


def _is_sourced(message: Message) -> bool:
    turn = message.turn
    return turn is None or (turn.outcome != Turn.Outcome.NO_ANSWER and message.state == Message.State.COMPLETE)


def _standing(rows: QuerySet[Message]) -> QuerySet[Message]:
    answers_to_edited = Q(turn__isnull=False, turn__question__revised_by__isnull=False)
    return rows.filter(revised_by=None).exclude(answers_to_edited).select_related("agent", "turn")


def _recollections(conversation: Conversation) -> QuerySet[Recollection]:
    rows: QuerySet[Recollection] = Recollection.objects.of(conversation.workspace_id).filter(conversation=conversation)
    return rows


def recount(conversation: Conversation) -> None:
    """Tell the conversation's contact how many of its conversations left recollections."""
    held = Recollection.objects.of(conversation.workspace_id).filter(conversation__contact=conversation.contact_id)
    count = held.values("conversation").distinct().count()
    Contact.objects.of(conversation.workspace_id).filter(pk=conversation.contact_id).update(remembered=count)
