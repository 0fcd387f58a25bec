"""What visitors do: conversations open, messages come, questions are edited and asked again."""

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from conversations import events
from conversations.broadcast import ring_after_commit
from conversations.events import Kind
from conversations.models import Author, Contact, Conversation, Episode, InboundReceipt, Inbox, Message, Status, Turn
from conversations.services.bot import finish_turn
from conversations.services.errors import ClientIdReused, EmptyText, NotEditable, NotRepeatable, TextTooLong
from conversations.services.record import (
    ANSWER_JOB,
    Shown,
    TurnResult,
    begin_turn,
    conclude,
    hand_line,
    interrupt_running,
    locked,
    say,
)
from workspace import leases
from workspace.crypto import fingerprint
from workspace.prepared import Rows

MAX_TEXT = 8_000
FIXED_REPLY = "fixed"
REPEATABLE = {
    Turn.Outcome.ANSWERED,
    Turn.Outcome.ASKED_BACK,
    Turn.Outcome.NO_ANSWER,
    Turn.Outcome.STOPPED,
    Turn.Outcome.FAILED,
    Turn.Outcome.INTERRUPTED,
}


@dataclass(frozen=True)
class Added:
    """What came of a visitor's message. `turn` is what is to be answered: None when a person holds the line, or it was
    refused; `duplicate` when it was known."""

    message: Message
    turn: Turn | None
    duplicate: bool


Refusal = Callable[[str, Inbox], TurnResult]
"""From a question's words and its inbox to how a turn ends that cannot be answered now."""


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
    text = checked_text(text)
    with locked(conversation_id) as conversation:
        known = _visitor_message(conversation, client_id)
        if known is not None:
            if known.text != text:
                raise ClientIdReused
            return Added(known, None, duplicate=True)
        if conversation.status == Status.RESOLVED:
            hand_line(conversation, Status.BOT, Kind.CONVERSATION_REOPENED, reason="visitor_wrote")
        message = say(conversation, Author.VISITOR, text, client_id=client_id)
        conversation.waiting_since = conversation.waiting_since or message.created_at
        conversation.language = language or conversation.language
        turn = begin_turn(conversation, message) if conversation.status == Status.BOT else None
        if turn and refusal:
            conclude(conversation, turn, refusal(text, conversation.inbox))
            turn = None
        return Added(message, turn, duplicate=False)


def check_edit(*, conversation_id: int, message: str, text: str, client_id: str) -> Message | None:
    """The edit that is known by this client id, or None when it could be made now. Raises as `edit_question`."""
    conversation = Conversation.every.get(pk=conversation_id)
    known = _known_edit(conversation, message, checked_text(text), client_id)
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
    text = checked_text(text)
    with locked(conversation_id) as conversation:
        known = _known_edit(conversation, message, text, client_id)
        if known is not None:
            return Added(known, None, duplicate=True)
        question = _editable(conversation, message)
        interrupt_running(conversation, shown, outcome=Turn.Outcome.SUPERSEDED)
        edited = say(conversation, Author.VISITOR, text, client_id=client_id, revises=question)
        conversation.waiting_since = conversation.waiting_since or edited.created_at
        return Added(edited, begin_turn(conversation, edited), duplicate=False)


def repeat_turn(*, conversation_id: int, turn: str) -> Turn | None:
    """Begin another turn on the question of the last one (its public id). None when that was done already.

    Raises `NotRepeatable`.
    """
    with locked(conversation_id) as conversation:
        turns = Turn.objects.of(conversation.workspace_id).filter(conversation=conversation)
        ended = turns.select_related("question").filter(public_id=turn).first()
        if ended is not None and turns.filter(repeats=ended).exists():
            return None
        if ended is None or not _repeatable(conversation, ended):
            raise NotRepeatable
        conversation.waiting_since = conversation.waiting_since or timezone.now()
        return begin_turn(conversation, ended.question, repeats=ended)


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


def leave_details(*, conversation_id: int, email: str = "", phone: str = "") -> None:
    """The visitor leaves a way to be reached."""
    with locked(conversation_id) as conversation:
        contact = conversation.contact
        contact.email, contact.phone = email or contact.email, phone or contact.phone
        contact.save(update_fields=["email", "phone"])
        events.append(conversation, Kind.CONTACT_LEFT_DETAILS)


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


def checked_text(text: str) -> str:
    text = text.replace("\x00", "").strip()
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


def _reply_fixed(turn: Turn, text: str) -> None:
    lately = timezone.now() - dt.timedelta(hours=1)
    said = Message.objects.of(turn.workspace_id).filter(
        conversation=turn.conversation, kind=FIXED_REPLY, created_at__gte=lately
    )
    finish_turn(
        turn_id=turn.pk,
        result=TurnResult(Turn.Outcome.ANSWERED, "" if said.exists() else text, kind=FIXED_REPLY),
    )
