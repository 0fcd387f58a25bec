"""The append-only log of a conversation: what kinds of event there are, how one is written, how it is read back.

Widget, desk and outgoing webhooks read the same log by cursor (``after=seq``), with no time window. An event holds ids
and codes; the words of a message are joined in when it is read.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from conversations.models import Attachment, Author, Conversation, Event, Message
from workspace.prepared import Rows, insert_unkeyed


class Kind(StrEnum):
    """The event types, as they appear on the wire."""

    CONVERSATION_OPENED = "conversation.opened"
    MESSAGE_ADDED = "message.added"
    MESSAGE_EDITED = "message.edited"  # its message is a new one, which `revises` the earlier words
    TURN_ENDED = "turn.ended"  # without a message, or after one that was cut short by an error
    PERSON_REQUESTED = "person.requested"
    AGENT_JOINED = "agent.joined"
    BOT_RESUMED = "bot.resumed"
    CONVERSATION_RESOLVED = "conversation.resolved"
    CONVERSATION_REOPENED = "conversation.reopened"
    CONTACT_LEFT_DETAILS = "contact.details_left"
    FILE_ADDED = "file.added"
    ANSWER_JUDGED = "answer.judged"
    CONVERSATION_RATED = "conversation.rated"


WITH_MESSAGE = frozenset({Kind.MESSAGE_ADDED, Kind.MESSAGE_EDITED})

_OWN = ("workspace", "public_id", "author", "client_id", "text", "state", "kind", "citations", "created_at", "seq")
_NAMED = ("turn__public_id", "turn__question__public_id", "revises__public_id")
_MESSAGES = Rows(
    lambda workspace, conversation, first, last: (
        Message.objects.of(workspace)
        .filter(conversation=conversation, seq__gte=first, seq__lte=last)
        .select_related("agent", "turn__question", "revises")
        .only(*_OWN, "agent__display_name", "agent__username", "turn__variant", *_NAMED)
    ),
    workspace=int,
    conversation=int,
    first=int,
    last=int,
)


@lru_cache(maxsize=8)
def _events(limit: int) -> Rows[Event]:
    return Rows(
        lambda workspace, conversation, after: Event.objects.of(workspace).filter(
            conversation=conversation, seq__gt=after
        )[:limit],
        workspace=int,
        conversation=int,
        after=int,
    )


@dataclass(frozen=True)
class MessageView:
    """A message as everyone outside this package sees it. `citations` is a list of dicts: n, title, quote, url, chunk.

    `revises`: the message whose words a visitor's edit replaces. `of`: the question a bot's message answers, as its
    `variant`-th answer.
    """

    id: str
    turn: str | None
    author: str
    agent_name: str | None
    client_id: str | None
    text: str
    state: str
    kind: str
    citations: tuple[Mapping[str, Any], ...]
    created_at: dt.datetime
    seq: int
    revises: str | None = None
    of: str | None = None
    variant: int = 1


@dataclass(frozen=True)
class FileView:
    """A file as everyone outside this package sees it. Sizes in bytes and pixels."""

    id: str
    author: str
    client_id: str
    name: str
    mime: str
    size: int
    width: int | None
    height: int | None


@dataclass(frozen=True)
class EventView:
    """An event with its message or its file, if it is about one."""

    seq: int
    type: str
    data: Mapping[str, Any]
    at: dt.datetime
    message: MessageView | None
    file: FileView | None = None


def append(conversation: Conversation, kind: Kind, **data: Any) -> int:
    """Write the next event and return its number. The caller holds the conversation's row lock."""
    conversation.last_seq += 1
    event = Event(
        workspace_id=conversation.workspace_id,
        conversation=conversation,
        seq=conversation.last_seq,
        type=kind,
        data=data,
    )
    insert_unkeyed(event)
    if conversation.written is not None:
        conversation.written.append((event, None))
    return conversation.last_seq


def spoken(conversation: Conversation, message: Message) -> None:
    """The event that was written last is about `message`."""
    if conversation.written:
        conversation.written[-1] = (conversation.written[-1][0], message)


def written(conversation: Conversation) -> tuple[EventView, ...]:
    """The events of the transaction that is about to end, as `read` would give them; () if one of them must be read."""
    views = []
    for event, message in conversation.written or ():
        if event.type == Kind.FILE_ADDED or (message is None and event.type in WITH_MESSAGE):
            return ()
        said = view_message(message) if message else None
        views.append(EventView(event.seq, event.type, event.data, event.at, said))
    return tuple(views)


def read(conversation: Conversation, *, after: int = 0, limit: int = 500) -> list[EventView]:
    """The events numbered above `after`, oldest first."""
    rows = _events(limit).all(workspace=conversation.workspace_id, conversation=conversation.pk, after=after)
    wanted = {row.seq for row in rows if row.type in WITH_MESSAGE}
    messages = {}
    if wanted:
        among = _MESSAGES.all(
            workspace=conversation.workspace_id, conversation=conversation.pk, first=min(wanted), last=max(wanted)
        )
        messages = {message.seq: view_message(message) for message in among}
    files = _files(conversation, [row.seq for row in rows if row.type == Kind.FILE_ADDED])
    return [EventView(row.seq, row.type, row.data, row.at, messages.get(row.seq), files.get(row.seq)) for row in rows]


def _files(conversation: Conversation, wanted: list[int]) -> dict[int, FileView]:
    if not wanted:
        return {}
    rows = Attachment.objects.of(conversation.workspace_id).filter(conversation=conversation, seq__in=wanted)
    return {row.seq: view_file(row) for row in rows}


def view_file(row: Attachment) -> FileView:
    return FileView(
        id=row.public_id,
        author=row.author,
        client_id=row.client_id,
        name=row.name,
        mime=row.mime,
        size=row.size,
        width=row.width,
        height=row.height,
    )


def view_message(message: Message) -> MessageView:
    return MessageView(
        id=message.public_id,
        turn=message.turn.public_id if message.turn else None,
        author=message.author,
        agent_name=str(message.agent) if message.author == Author.AGENT and message.agent else None,
        client_id=message.client_id,
        text=message.text,
        state=message.state,
        kind=message.kind,
        citations=tuple(message.citations),
        created_at=message.created_at,
        seq=message.seq,
        revises=message.revises.public_id if message.revises else None,
        of=message.turn.question.public_id if message.turn else None,
        variant=message.turn.variant if message.turn else 1,
    )
