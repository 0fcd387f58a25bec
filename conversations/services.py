"""The verbs of a conversation. Each is one function and one transaction; nothing else writes these tables.

Every function locks the conversation's row first, so that two of them never interleave on one conversation, and rings
the doorbell after its commit. Law 1: whatever the bot writes is refused (`LineTaken`) unless status and epoch are still
those its turn began with.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from conversations import events
from conversations.broadcast import ring_after_commit
from conversations.checkpoints import Checkpoint, keep_shown, turn_lease
from conversations.events import Kind
from conversations.models import (
    Author,
    Contact,
    Conversation,
    Episode,
    InboundReceipt,
    Inbox,
    Message,
    Status,
    Turn,
)
from workspace import audit, leases
from workspace.crypto import fingerprint
from workspace.models import User
from workspace.prepared import Rows, insert, update

MAX_TEXT = 8_000
LINE_FIELDS = ("status", "epoch", "holder", "language", "last_seq", "mood", "waiting_since", "last_message_at")
PLATFORM_TURN_LOST_S = 600.0  # a platform's answer is owed by a leased job; only when that too has failed

Shown = Mapping[str, str]  # public id of a turn -> what its visitor has seen of it

FIXED_REPLY = "fixed"
REPEATABLE = {
    Turn.Outcome.ANSWERED,
    Turn.Outcome.ASKED_BACK,
    Turn.Outcome.NO_ANSWER,
    Turn.Outcome.STOPPED,
    Turn.Outcome.FAILED,
    Turn.Outcome.INTERRUPTED,
}

ANSWER_JOB = "answer_turn"
DELIVER_JOB = "deliver_message"


class ConversationError(Exception):
    """Base of what can go wrong here. `code` is for machines; the words are made where the reader's language is known."""

    code = "conversation_error"


class EmptyText(ConversationError):
    code = "empty"


class TextTooLong(ConversationError):
    code = "too_long"


class ClientIdReused(ConversationError):
    """The same client id came again with another text."""

    code = "client_id_reused"


class LineTaken(ConversationError):
    """The bot no longer holds the line; its write was refused."""

    code = "line_taken"


class NotEditable(ConversationError):
    """Only the visitor's last question can be edited, while the bot holds the line and no agent has dealt with it."""

    code = "not_editable"


class NotRepeatable(ConversationError):
    """Only the last turn, once it has ended, can be repeated, while the bot holds the line."""

    code = "not_repeatable"


class AlreadyTaken(ConversationError):
    """Another agent holds the line."""

    code = "already_taken"

    def __init__(self, holder: str) -> None:
        self.holder = holder
        super().__init__(holder)


class NotHolder(ConversationError):
    """Only the agent who holds the line may do this."""

    code = "not_holder"


class NotWaiting(ConversationError):
    """The conversation is not in the queue."""

    code = "not_waiting"


@dataclass(frozen=True)
class Added:
    """What came of a visitor's message. `turn` is what is to be answered: None when a person holds the line, or it was
    refused; `duplicate` when it was known."""

    message: Message
    turn: Turn | None
    duplicate: bool


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


Refusal = Callable[[str, Inbox], TurnResult]
"""From a question's words and its inbox to how a turn ends that cannot be answered now."""


# --- opening and speaking --------------------------------------------------------------------------------------------
def open_conversation(*, inbox: Inbox, contact: Contact, language: str = "") -> Conversation:
    """Begin a conversation; the bot holds the line."""
    with transaction.atomic():
        return _open(inbox, contact, language=language)


def find_or_open_thread(
    *, inbox: Inbox, user_id: str, thread_id: str, user_name: str = "", language: str = ""
) -> Conversation:
    """The conversation of a platform's thread, opened with its contact when it is new."""
    user_key = fingerprint(inbox.workspace_id, f"user:{user_id}")
    thread_key = fingerprint(inbox.workspace_id, f"thread:{thread_id}")
    with transaction.atomic():
        contact, _ = Contact.objects.of(inbox.workspace_id).get_or_create(
            inbox=inbox, external_key=user_key, defaults={"external_id": user_id, "name": user_name or None}
        )
        known = Conversation.objects.of(inbox.workspace_id).filter(inbox=inbox, external_key=thread_key).first()
        if known:
            return known
        try:
            with transaction.atomic():
                return _open(inbox, contact, language=language, external_key=thread_key, external_id=thread_id)
        except IntegrityError:  # another delivery of the same thread was first
            return Conversation.objects.of(inbox.workspace_id).get(inbox=inbox, external_key=thread_key)


def new_contact(*, inbox: Inbox, language: str = "") -> Contact:
    return Contact.objects.of(inbox.workspace_id).create(inbox=inbox, language=language)


def add_visitor_message(
    *, conversation_id: int, text: str, client_id: str, language: str = "", refusal: Refusal | None = None
) -> Added:
    """Store what the visitor said, once for each client id, and open a turn for it while the bot holds the line.

    With a `refusal` the turn ends with it in the same transaction: there is no room for another answer.

    Raises `EmptyText`, `TextTooLong` (over `MAX_TEXT` characters) or `ClientIdReused`. A resolved conversation reopens.
    """
    text = _checked_text(text)
    with _locked(conversation_id) as conversation:
        known = _visitor_message(conversation, client_id)
        if known is not None:
            if known.text != text:
                raise ClientIdReused
            return Added(known, None, duplicate=True)
        if conversation.status == Status.RESOLVED:
            _hand_line(conversation, Status.BOT, Kind.CONVERSATION_REOPENED, reason="visitor_wrote")
        message = _say(conversation, Author.VISITOR, text, client_id=client_id)
        conversation.waiting_since = conversation.waiting_since or message.created_at
        conversation.language = language or conversation.language
        turn = _begin_turn(conversation, message) if conversation.status == Status.BOT else None
        if turn and refusal:
            _conclude(conversation, turn, refusal(text, conversation.inbox))
            turn = None
        return Added(message, turn, duplicate=False)


def check_edit(*, conversation_id: int, message: str, text: str, client_id: str) -> Message | None:
    """The edit that is known by this client id, or None when it could be made now. Raises as `edit_question`."""
    conversation = Conversation.every.get(pk=conversation_id)
    known = _known_edit(conversation, message, _checked_text(text), client_id)
    if known is None:
        _editable(conversation, message)
    return known


def edit_question(
    *, conversation_id: int, message: str, text: str, client_id: str, shown: Shown | None = None
) -> Added:
    """Replace the words of the visitor's last question (the public id `message`), once for each client id.

    The earlier words and what was answered to them stay in the record; an answer that is being written ends as far as it
    was `shown`, superseded. Raises `NotEditable`, `EmptyText`, `TextTooLong` or `ClientIdReused`.
    """
    text = _checked_text(text)
    with _locked(conversation_id) as conversation:
        known = _known_edit(conversation, message, text, client_id)
        if known is not None:
            return Added(known, None, duplicate=True)
        question = _editable(conversation, message)
        _interrupt_running(conversation, shown, outcome=Turn.Outcome.SUPERSEDED)
        edited = _say(conversation, Author.VISITOR, text, client_id=client_id, revises=question)
        conversation.waiting_since = conversation.waiting_since or edited.created_at
        return Added(edited, _begin_turn(conversation, edited), duplicate=False)


def repeat_turn(*, conversation_id: int, turn: str) -> Turn | None:
    """Begin another turn on the question of the last one (its public id). None when that was done already.

    Raises `NotRepeatable`.
    """
    with _locked(conversation_id) as conversation:
        turns = Turn.objects.of(conversation.workspace_id).filter(conversation=conversation)
        ended = turns.select_related("question").filter(public_id=turn).first()
        if ended is not None and turns.filter(repeats=ended).exists():
            return None
        if ended is None or not _repeatable(conversation, ended):
            raise NotRepeatable
        conversation.waiting_since = conversation.waiting_since or timezone.now()
        return _begin_turn(conversation, ended.question, repeats=ended)


def receive_from_platform(
    *,
    inbox: Inbox,
    dedupe_keys: Sequence[str],
    user_id: str,
    thread_id: str,
    text: str,
    user_name: str = "",
    reply_context: Mapping[str, Any] | None = None,
    fixed_reply: str = "",
) -> Added | None:
    """A platform's message: receipts, contact, conversation, message and the answer owed, in one transaction.

    Returns None when one of `dedupe_keys` was seen before (the platform retries). Raises as `add_visitor_message`. With
    a `fixed_reply` the bot says that, at most once an hour in a conversation, and thinks nothing.
    """
    with transaction.atomic():
        for key in dedupe_keys:
            _, fresh = InboundReceipt.objects.of(inbox.workspace_id).get_or_create(
                inbox=inbox, dedupe_key=_short_key(key, 200)
            )
            if not fresh:
                return None
        conversation = find_or_open_thread(
            inbox=inbox, user_id=user_id, thread_id=thread_id, user_name=user_name, language=inbox.language
        )
        if reply_context:
            conversation.reply_context = dict(reply_context)
            conversation.save(update_fields=["reply_context"])
        added = add_visitor_message(
            conversation_id=conversation.pk, text=text, client_id=_short_key(dedupe_keys[0], 64)
        )
        if added.turn and fixed_reply:
            _reply_fixed(added.turn, fixed_reply)
        elif added.turn:
            leases.enqueue(
                workspace=inbox.workspace_id,
                kind=ANSWER_JOB,
                payload={"turn": added.turn.public_id},
                key=added.turn.public_id,
            )
        return added


# --- the bot's writes, each a compare-and-set ------------------------------------------------------------------------
def checkpoint_turn(*, turn_id: int, shown: str) -> None:
    """Keep what the visitor has seen so far and renew the turn's lease. Raises `LineTaken`."""
    turn = Turn.every.only("public_id", "workspace_id").get(pk=turn_id)
    if not keep_shown([Checkpoint(turn_id, turn.public_id, turn.workspace_id, shown)]):
        raise LineTaken


def finish_turn(*, turn_id: int, result: TurnResult) -> Message | None:
    """End a turn: its message, its record and, if it hands off, the queue. Raises `LineTaken` and writes nothing then."""
    with _locked(turns=turn_id) as conversation:
        turn = _ENDING.get(turn=turn_id)
        if (
            conversation.status != Status.BOT
            or conversation.epoch != turn.epoch
            or turn.outcome != Turn.Outcome.RUNNING
        ):
            raise LineTaken
        return _conclude(conversation, turn, result)


def merge_turn(*, turn_id: int) -> None:
    """End a turn whose question is answered together with a later one."""
    Turn.every.filter(pk=turn_id, outcome=Turn.Outcome.RUNNING).update(
        outcome=Turn.Outcome.MERGED, ended_at=timezone.now()
    )


def clear_way(*, turn_id: int) -> bool:
    """Whether the turn may begin: no earlier turn of its conversation runs any more, in whatever process.

    Renews the lease of the turn that waits. An earlier one whose own lease is over is ended: on the widget as interrupted,
    on a platform, where nobody has seen any of it, as answered with this one.
    """
    now = timezone.now()
    turn = Turn.every.select_related("conversation__inbox").get(pk=turn_id)
    earlier = _running(turn.conversation).filter(pk__lt=turn.pk)
    if turn.conversation.inbox.kind == Inbox.Kind.WIDGET:
        sweep_turns(now=now, conversation_id=turn.conversation_id)
    else:
        for lost in earlier.filter(lease_until__lt=now):
            merge_turn(turn_id=lost.pk)
    Turn.every.filter(pk=turn_id, outcome=Turn.Outcome.RUNNING).update(lease_until=turn_lease())
    return not earlier.exists()


def sweep_turns(
    *, now: dt.datetime | None = None, conversation_id: int | None = None, spare: Iterable[str] = ()
) -> int:
    """End turns whose process died: what was shown is kept and marked interrupted. Returns how many.

    With a conversation only its own; without those in `spare` (public ids), which the caller knows to be alive.
    """
    now = now or timezone.now()
    patience = dt.timedelta(seconds=PLATFORM_TURN_LOST_S)
    on_widget = Q(conversation__inbox__kind=Inbox.Kind.WIDGET, lease_until__lt=now)
    elsewhere = ~Q(conversation__inbox__kind=Inbox.Kind.WIDGET) & Q(lease_until__lt=now - patience)
    dead = Turn.every.filter(on_widget | elsewhere, outcome=Turn.Outcome.RUNNING, lease_until__lt=now)
    if conversation_id is not None:
        dead = dead.filter(conversation_id=conversation_id)
    spared = set(spare)
    swept = 0
    for turn_id, public_id, owner in list(dead.values_list("pk", "public_id", "conversation_id")):
        if public_id in spared:
            continue
        with _locked(owner) as conversation:
            turn = Turn.every.get(pk=turn_id)
            if turn.outcome == Turn.Outcome.RUNNING and turn.lease_until < now:
                _interrupt(conversation, turn, None, error="process_lost")
                swept += 1
    return swept


# --- handing the line over -------------------------------------------------------------------------------------------
def request_person(*, conversation_id: int, shown: Shown | None = None, reason: str = "visitor_asked") -> None:
    """Put the conversation in the queue, for the visitor's wish. Already queued or with a person: nothing changes."""
    with _locked(conversation_id) as conversation:
        if conversation.status in {Status.QUEUED, Status.AGENT}:
            return
        _interrupt_running(conversation, shown)
        _queue(conversation, reason)


def take_over(*, conversation_id: int, agent: User, shown: Shown | None = None) -> Conversation:
    """Give the line to `agent`. The bot's running answer is kept as far as it was shown (`shown`; otherwise as last stored).

    Raises `AlreadyTaken` when another agent holds it. Taking what one already holds changes nothing.
    """
    with _locked(conversation_id) as conversation:
        if conversation.status == Status.AGENT:
            if conversation.holder_id == agent.pk:
                return conversation
            raise AlreadyTaken(str(conversation.holder))
        _interrupt_running(conversation, shown)
        _hand_line(conversation, Status.AGENT, Kind.AGENT_JOINED, agent=agent)
        audit.record(
            workspace_id=conversation.workspace_id,
            actor=agent.public_id,
            action="conversation.take_over",
            target=conversation.public_id,
        )
        return conversation


def reply(*, conversation_id: int, agent: User, text: str, client_id: str) -> Message:
    """The agent who holds the line speaks. Raises `NotHolder`, `EmptyText`, `TextTooLong` or `ClientIdReused`."""
    text = _checked_text(text)
    with _locked(conversation_id) as conversation:
        known = Message.objects.of(conversation.workspace_id).filter(
            conversation=conversation, author=Author.AGENT, client_id=client_id
        )
        if message := known.first():
            if message.text != text:
                raise ClientIdReused
            return message
        if conversation.status != Status.AGENT or conversation.holder_id != agent.pk:
            raise NotHolder
        message = _say(conversation, Author.AGENT, text, agent=agent, client_id=client_id)
        conversation.waiting_since = None
        return message


def hand_back(*, conversation_id: int, agent: User) -> Turn | None:
    """The agent returns the line to the bot. A visitor message nobody answered becomes the bot's turn, which is returned."""
    with _locked(conversation_id) as conversation:
        if conversation.status != Status.AGENT or conversation.holder_id != agent.pk:
            raise NotHolder
        _hand_line(conversation, Status.BOT, Kind.BOT_RESUMED, reason="handed_back", by=str(agent))
        audit.record(
            workspace_id=conversation.workspace_id,
            actor=agent.public_id,
            action="conversation.hand_back",
            target=conversation.public_id,
        )
        return _owed_turn(conversation)


def back_to_bot(*, conversation_id: int) -> Turn | None:
    """The waiting visitor chooses the bot after all. Raises `NotWaiting`."""
    with _locked(conversation_id) as conversation:
        if conversation.status != Status.QUEUED:
            raise NotWaiting
        _hand_line(conversation, Status.BOT, Kind.BOT_RESUMED, reason="visitor_chose")
        return _owed_turn(conversation)


def resolve(*, conversation_id: int, agent: User, shown: Shown | None = None) -> None:
    """Close the conversation; a later visitor message reopens it. Raises `AlreadyTaken` when another agent holds it."""
    with _locked(conversation_id) as conversation:
        if conversation.status == Status.RESOLVED:
            return
        if conversation.status == Status.AGENT and conversation.holder_id != agent.pk:
            raise AlreadyTaken(str(conversation.holder))
        _interrupt_running(conversation, shown)
        _hand_line(conversation, Status.RESOLVED, Kind.CONVERSATION_RESOLVED, by=str(agent))
        conversation.waiting_since = None
        audit.record(
            workspace_id=conversation.workspace_id,
            actor=agent.public_id,
            action="conversation.resolve",
            target=conversation.public_id,
        )


def leave_details(*, conversation_id: int, email: str = "", phone: str = "") -> None:
    """The visitor leaves a way to be reached."""
    with _locked(conversation_id) as conversation:
        contact = conversation.contact
        contact.email, contact.phone = email or contact.email, phone or contact.phone
        contact.save(update_fields=["email", "phone"])
        events.append(conversation, Kind.CONTACT_LEFT_DETAILS)


def record_shown(*, turn_id: int, shown: str, record: Mapping[str, Any] | None = None) -> None:
    """Complete the record of an interrupted answer with what was shown between its last checkpoint and the freeze.

    Only ever lengthens the text that is stored; the bot says nothing new by it. `record` is how the answer came about
    (intent, passages, times …); how the turn ended stays as it is.
    """
    with _locked(turns=turn_id) as conversation:
        turn = Turn.every.get(pk=turn_id)
        fields = {name: value for name, value in (record or {}).items() if name != "error"}
        if fields and turn.outcome != Turn.Outcome.RUNNING:
            for name, value in fields.items():
                setattr(turn, name, value)
            turn.save(update_fields=list(fields))
        message = (
            Message.objects.of(conversation.workspace_id)
            .filter(conversation=conversation, turn=turn, author=Author.BOT, state=Message.State.INTERRUPTED)
            .first()
        )
        if message and shown.startswith(message.text) and len(shown) > len(message.text):
            message.text = shown
            message.save(update_fields=["text"])


# --- below: steps that run under the row lock -------------------------------------------------------------------------
def _lines(**which: int) -> QuerySet[Conversation]:
    # not the holder: a row joined before the lock was granted may be out of date by then
    return Conversation.every.select_for_update(of=("self",)).select_related("inbox").filter(**which)


_LINES = Rows(lambda key: _lines(pk=key), key=int)
_LINES_OF_TURNS = Rows(lambda turn: _lines(turns=turn), turn=int)
_ENDING = Rows(lambda turn: Turn.every.select_related("question").filter(pk=turn), turn=int)
_SAID = Rows(
    lambda workspace, conversation, client: (
        Message.objects.of(workspace)
        .filter(conversation=conversation, author=Author.VISITOR, client_id=client)
        .order_by("seq")[:1]
    ),
    workspace=int,
    conversation=int,
    client=str,
)


@contextmanager
def _locked(conversation_id: int | None = None, *, turns: int | None = None) -> Iterator[Conversation]:
    """The conversation, or that of a turn, under its row lock, in a transaction; saved and announced when the body succeeds."""
    with transaction.atomic():
        conversation = _LINES.get(key=conversation_id) if turns is None else _LINES_OF_TURNS.get(turn=turns)
        before, was, conversation.written = conversation.last_seq, conversation.status, []
        yield conversation
        update(conversation, LINE_FIELDS)
        if conversation.last_seq != before:
            moved = conversation.status != was and Status.QUEUED in {conversation.status, was}
            ring_after_commit(conversation, queue_moved=moved, news=events.written(conversation))


def _open(
    inbox: Inbox, contact: Contact, *, language: str, external_key: str | None = None, external_id: str | None = None
) -> Conversation:
    conversation = Conversation.objects.of(inbox.workspace_id).create(
        inbox=inbox, contact=contact, language=language, external_key=external_key, external_id=external_id
    )
    seq = events.append(conversation, Kind.CONVERSATION_OPENED)
    conversation.save(update_fields=["last_seq"])
    Episode.objects.of(inbox.workspace_id).create(conversation=conversation, party=Status.BOT, started_seq=seq)
    ring_after_commit(conversation)
    return conversation


def _short_key(key: str, longest: int) -> str:
    """A platform's id as it fits a column: the same for the same id, and different for long ones that begin alike."""
    return key if len(key) <= longest and "\x00" not in key else hashlib.sha256(key.encode()).hexdigest()


def _checked_text(text: str) -> str:
    text = text.strip().replace("\x00", "")
    if not text:
        raise EmptyText
    if len(text) > MAX_TEXT:
        raise TextTooLong
    return text


def _known_edit(conversation: Conversation, message: str, text: str, client_id: str) -> Message | None:
    known = _visitor_message(conversation, client_id)
    if known is not None and (known.revises is None or known.revises.public_id != message or known.text != text):
        raise ClientIdReused
    return known


def _editable(conversation: Conversation, message: str) -> Message:
    said = Message.objects.of(conversation.workspace_id).filter(conversation=conversation)
    last: Message | None = said.exclude(author=Author.BOT).order_by("-seq").first()
    if conversation.status != Status.BOT or last is None or last.author != Author.VISITOR or last.public_id != message:
        raise NotEditable
    return last


def _repeatable(conversation: Conversation, turn: Turn) -> bool:
    said = Message.objects.of(conversation.workspace_id).filter(conversation=conversation)
    later = Turn.objects.of(conversation.workspace_id).filter(conversation=conversation, pk__gt=turn.pk)
    return (
        conversation.status == Status.BOT
        and turn.outcome in REPEATABLE
        and not later.exists()
        and not said.exclude(author=Author.BOT).filter(seq__gt=turn.question.seq).exists()
    )


def _visitor_message(conversation: Conversation, client_id: str) -> Message | None:
    return _SAID.first(workspace=conversation.workspace_id, conversation=conversation.pk, client=client_id)


def _say(
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


def _reply_fixed(turn: Turn, text: str) -> None:
    lately = timezone.now() - dt.timedelta(hours=1)
    said = Message.objects.of(turn.workspace_id).filter(
        conversation=turn.conversation, kind=FIXED_REPLY, created_at__gte=lately
    )
    finish_turn(
        turn_id=turn.pk,
        result=TurnResult(Turn.Outcome.ANSWERED, "" if said.exists() else text, kind=FIXED_REPLY),
    )


def _begin_turn(conversation: Conversation, question: Message, *, repeats: Turn | None = None) -> Turn:
    answers = Message.objects.of(conversation.workspace_id).filter(conversation=conversation, turn__question=question)
    turn = Turn(
        workspace_id=conversation.workspace_id,
        conversation=conversation,
        question=question,
        repeats=repeats,
        variant=answers.count() + 1 if repeats else 1,
        epoch=conversation.epoch,
        lease_until=turn_lease(),
    )
    insert(turn)
    return turn


def _conclude(conversation: Conversation, turn: Turn, result: TurnResult) -> Message | None:
    """The end of a turn, and where the line is by it."""
    message = _end_turn(conversation, turn, result)
    if result.mood:
        conversation.mood = result.mood
    if result.hand_off_reason:
        _queue(conversation, result.hand_off_reason)
    elif message is not None:
        conversation.waiting_since = None
    return message


def _end_turn(conversation: Conversation, turn: Turn, result: TurnResult) -> Message | None:
    message = None
    if result.text:
        message = _say(
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


def _interrupt_running(
    conversation: Conversation, shown: Shown | None, outcome: Turn.Outcome = Turn.Outcome.INTERRUPTED
) -> None:
    for turn in _running(conversation).select_for_update(of=("self",)).order_by("pk"):
        _interrupt(conversation, turn, (shown or {}).get(turn.public_id), outcome=outcome)


def _running(conversation: Conversation) -> QuerySet[Turn]:
    rows: QuerySet[Turn] = Turn.objects.of(conversation.workspace_id).filter(
        conversation=conversation, outcome=Turn.Outcome.RUNNING
    )
    return rows


def _interrupt(
    conversation: Conversation,
    turn: Turn,
    shown: str | None,
    error: str = "",
    outcome: Turn.Outcome = Turn.Outcome.INTERRUPTED,
) -> None:
    text = turn.shown if shown is None else shown
    _end_turn(
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


def _queue(conversation: Conversation, reason: str) -> None:
    conversation.waiting_since = conversation.waiting_since or timezone.now()
    _hand_line(conversation, Status.QUEUED, Kind.PERSON_REQUESTED, reason=reason)


def _hand_line(
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


def _owed_turn(conversation: Conversation) -> Turn | None:
    """A turn for the visitor's last words, if nobody has answered them."""
    last: Message | None = (
        Message.objects.of(conversation.workspace_id).filter(conversation=conversation).order_by("-seq").first()
    )
    if last is None or last.author != Author.VISITOR:
        return None
    turn = _begin_turn(conversation, last)
    if conversation.inbox.kind != Inbox.Kind.WIDGET:
        leases.enqueue(
            workspace=conversation.workspace_id,
            kind=ANSWER_JOB,
            payload={"turn": turn.public_id},
            key=turn.public_id,
        )
    return turn
