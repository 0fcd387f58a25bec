"""What every verb is made of: the lock on a conversation, and the writes under it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from conversations import events
from conversations.broadcast import ring_after_commit
from conversations.checkpoints import turn_lease
from conversations.events import Kind
from conversations.models import Author, Conversation, Episode, Inbox, Message, Status, Turn
from workspace import leases
from workspace.models import User
from workspace.prepared import Rows, insert, update

LINE_FIELDS = ("status", "epoch", "holder", "language", "last_seq", "mood", "waiting_since", "last_message_at")

Shown = Mapping[str, str]  # public id of a turn -> what its visitor has seen of it

ANSWER_JOB = "answer_turn"
DELIVER_JOB = "deliver_message"


@dataclass(frozen=True)
class TurnResult:
    """How a turn ended, to be stored with it. `text` empty: nothing is said. Times in milliseconds."""

    outcome: Turn.Outcome
    text: str = ""
    state: Message.State = Message.State.COMPLETE
    kind: str = ""
    citations: Sequence[Mapping[str, Any]] = ()
    hand_off_reason: str = ""
    mood: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)


def _lines(**which: int) -> QuerySet[Conversation]:
    # not the holder, not the contact: a row joined before the lock was granted may be out of date by then
    return Conversation.every.select_for_update(of=("self",)).select_related("inbox__workspace").filter(**which)


_LINES = Rows(lambda key: _lines(pk=key), key=int)
_LINES_OF_TURNS = Rows(lambda turn: _lines(turns=turn), turn=int)


@contextmanager
def locked(conversation_id: int | None = None, *, turns: int | None = None) -> Iterator[Conversation]:
    """The conversation, or that of a turn, under its row lock, in a transaction; saved and announced when the body succeeds."""
    with transaction.atomic():
        conversation = _LINES.get(key=conversation_id) if turns is None else _LINES_OF_TURNS.get(turn=turns)
        before, was, conversation.written = conversation.last_seq, conversation.status, []
        yield conversation
        update(conversation, LINE_FIELDS)
        if conversation.last_seq != before:
            moved = conversation.status != was and Status.QUEUED in {conversation.status, was}
            ring_after_commit(conversation, queue_moved=moved, news=events.written(conversation))


def say(
    conversation: Conversation,
    author: Author,
    text: str,
    *,
    agent: User | None = None,
    client_id: str | None = None,
    turn: Turn | None = None,
    state: Message.State = Message.State.COMPLETE,
    kind: str = "",
    citations: Sequence[Mapping[str, Any]] = (),
    revises: Message | None = None,
) -> Message:
    if revises is None:
        seq = events.append(conversation, Kind.MESSAGE_ADDED)
    else:
        seq = events.append(conversation, Kind.MESSAGE_EDITED, message=revises.public_id)
    to_deliver = author != Author.VISITOR and conversation.inbox.kind != Inbox.Kind.WIDGET
    message = Message(
        workspace_id=conversation.workspace_id,
        conversation=conversation,
        seq=seq,
        epoch=conversation.epoch,
        author=author,
        agent=agent,
        client_id=client_id,
        text=text,
        turn=turn,
        state=state,
        kind=kind,
        citations=list(citations),
        revises=revises,
        delivery=Message.Delivery.PENDING if to_deliver else Message.Delivery.NONE,
    )
    insert(message)
    events.spoken(conversation, message)
    conversation.last_message_at = message.created_at
    if to_deliver:
        leases.enqueue(
            workspace=conversation.workspace_id,
            kind=DELIVER_JOB,
            payload={"message": message.public_id},
            key=message.public_id,
        )
    return message


def begin_turn(conversation: Conversation, question: Message, *, repeats: Turn | None = None) -> Turn:
    variant = 1
    if repeats:
        answers = Message.objects.of(conversation.workspace_id).filter(
            conversation=conversation, turn__question=question
        )
        variant += answers.count()
    turn = Turn(
        workspace_id=conversation.workspace_id,
        conversation=conversation,
        question=question,
        repeats=repeats,
        variant=variant,
        epoch=conversation.epoch,
        lease_until=turn_lease(),
    )
    insert(turn)
    return turn


def conclude(conversation: Conversation, turn: Turn, result: TurnResult) -> Message | None:
    """The end of a turn, and where the line is by it."""
    message = end_turn(conversation, turn, result)
    if result.mood:
        conversation.mood = result.mood
    if result.hand_off_reason:
        queue(conversation, result.hand_off_reason)
    elif message is not None:
        conversation.waiting_since = None
    return message


def end_turn(conversation: Conversation, turn: Turn, result: TurnResult) -> Message | None:
    message = None
    if result.text:
        message = say(
            conversation,
            Author.BOT,
            result.text,
            turn=turn,
            state=result.state,
            kind=result.kind,
            citations=result.citations,
        )
    if message is None or (result.state == Message.State.INTERRUPTED and result.record.get("error")):
        events.append(
            conversation,
            Kind.TURN_ENDED,
            turn=turn.public_id,
            outcome=result.outcome,
            error=result.record.get("error", ""),
        )
    turn.outcome, turn.ended_at, turn.shown = result.outcome, timezone.now(), ""
    for name, value in result.record.items():
        setattr(turn, name, value)
    update(turn, ("outcome", "ended_at", "shown", *result.record))
    return message


def interrupt_running(
    conversation: Conversation, shown: Shown | None, outcome: Turn.Outcome = Turn.Outcome.INTERRUPTED
) -> None:
    for turn in running(conversation).select_for_update(of=("self",)).order_by("pk"):
        interrupt(conversation, turn, (shown or {}).get(turn.public_id), outcome=outcome)


def running(conversation: Conversation) -> QuerySet[Turn]:
    rows: QuerySet[Turn] = Turn.objects.of(conversation.workspace_id).filter(
        conversation=conversation, outcome=Turn.Outcome.RUNNING
    )
    return rows


def interrupt(
    conversation: Conversation,
    turn: Turn,
    shown: str | None,
    error: str = "",
    outcome: Turn.Outcome = Turn.Outcome.INTERRUPTED,
) -> None:
    text = turn.shown if shown is None else shown
    end_turn(
        conversation,
        turn,
        TurnResult(
            outcome,
            text=text,
            state=Message.State.INTERRUPTED,
            kind="answer",
            record={"error": error} if error else {},
        ),
    )


def queue(conversation: Conversation, reason: str) -> None:
    conversation.waiting_since = conversation.waiting_since or timezone.now()
    hand_line(conversation, Status.QUEUED, Kind.PERSON_REQUESTED, reason=reason)


def hand_line(
    conversation: Conversation, to: Status, kind: Kind, *, agent: User | None = None, reason: str = "", **data: Any
) -> None:
    """The only place where `status`, `epoch` and `holder` change."""
    conversation.status, conversation.holder = to, agent
    conversation.epoch += 1
    if agent is not None:
        data["agent"] = str(agent)
    seq = events.append(conversation, kind, epoch=conversation.epoch, **({"reason": reason} if reason else {}), **data)
    episodes, now = Episode.objects.of(conversation.workspace_id), timezone.now()
    episodes.filter(conversation=conversation, ended_at__isnull=True).update(ended_at=now)
    if to != Status.RESOLVED:  # one begins at the very moment the other ends
        episodes.create(
            conversation=conversation, party=to, agent=agent, reason=reason, started_seq=seq, started_at=now
        )


def owed_turn(conversation: Conversation) -> Turn | None:
    """A turn for the visitor's last words, if nobody has answered them."""
    last: Message | None = (
        Message.objects.of(conversation.workspace_id).filter(conversation=conversation).order_by("-seq").first()
    )
    if last is None or last.author != Author.VISITOR:
        return None
    turn = begin_turn(conversation, last)
    if conversation.inbox.kind != Inbox.Kind.WIDGET:
        leases.enqueue(
            workspace=conversation.workspace_id,
            kind=ANSWER_JOB,
            payload={"turn": turn.public_id},
            key=turn.public_id,
        )
    return turn
