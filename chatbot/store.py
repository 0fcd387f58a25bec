"""The door to the conversations' record for async code: only frozen values cross."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Max

from chatbot.crossing import cross
from chatbot.turn.values import (
    BOT,
    PERSON,
    VISITOR,
    InboxView,
    Question,
    Utterance,
)
from conversations import events, services
from conversations.events import EventView
from conversations.models import Author, Conversation, Inbox, Message, Turn
from conversations.services import TurnResult

HISTORY = 30
_AUTHORS = {Author.VISITOR: VISITOR, Author.BOT: BOT, Author.AGENT: PERSON}


@dataclass(frozen=True)
class LoadedTurn:
    """A turn as it is to be answered. `running` is false when it has ended already."""

    pk: int
    public_id: str
    conversation_pk: int
    conversation: str
    workspace: int
    epoch: int
    question: Question
    running: bool


async def load_turn(public_id: str) -> LoadedTurn:
    """The turn with its question: every visitor message since anybody last spoke. Raises `Turn.DoesNotExist`."""
    return await cross(_load_turn, public_id)


async def checkpoint(turn_pk: int, shown: str) -> None:
    """Raises `conversations.services.LineTaken`."""
    await cross(services.checkpoint_turn, turn_id=turn_pk, shown=shown)


async def finish(turn_pk: int, result: TurnResult) -> None:
    """Raises `conversations.services.LineTaken`."""
    await cross(services.finish_turn, turn_id=turn_pk, result=result)


async def merge(turn_pk: int) -> None:
    await cross(services.merge_turn, turn_id=turn_pk)


async def complete_shown(turn_pk: int, shown: str) -> None:
    await cross(services.record_shown, turn_id=turn_pk, shown=shown)


async def read_events(conversation_pk: int, after: int, limit: int = 500) -> Sequence[EventView]:
    return await cross(_read_events, conversation_pk, after, limit)


def view_inbox(inbox: Inbox) -> InboxView:
    return InboxView(
        id=inbox.public_id,
        workspace=inbox.workspace_id,
        business=inbox.workspace.name,
        language=inbox.language,
        collections=tuple(inbox.collections),
        moderation=inbox.moderation,
        texts=inbox.texts,
    )


def _load_turn(public_id: str) -> LoadedTurn:
    turn = Turn.every.select_related("conversation__inbox__workspace", "conversation__contact", "question").get(
        public_id=public_id
    )
    conversation = turn.conversation
    messages = Message.objects.of(turn.workspace_id).filter(conversation=conversation).select_related("agent")
    said = list(messages.order_by("-seq")[:HISTORY])[::-1]
    owed = [message for message in said if _is_owed(message, turn, _answered_up_to(turn))]
    return LoadedTurn(
        pk=turn.pk,
        public_id=turn.public_id,
        conversation_pk=conversation.pk,
        conversation=conversation.public_id,
        workspace=turn.workspace_id,
        epoch=turn.epoch,
        question=Question(
            turn=turn.public_id,
            conversation=conversation.public_id,
            text="\n".join(message.text for message in owed),
            inbox=view_inbox(conversation.inbox),
            history=tuple(
                _utterance(message)
                for message in said
                if message not in owed and (message.author != Author.VISITOR or message.seq < turn.question.seq)
            ),
            contact=conversation.contact.public_id,
        ),
        running=turn.outcome == Turn.Outcome.RUNNING,
    )


def _answered_up_to(turn: Turn) -> int:
    """The number of the last visitor message that an earlier turn, or a person, has dealt with."""
    pending = [Turn.Outcome.RUNNING, Turn.Outcome.MERGED]
    by_bot = (
        Turn.objects.of(turn.workspace_id)
        .filter(conversation=turn.conversation, pk__lt=turn.pk)
        .exclude(outcome__in=pending)
        .exclude(outcome=Turn.Outcome.INTERRUPTED, messages__isnull=True)  # cut off before a word was shown
        .aggregate(last=Max("question__seq"))
    )
    by_agent = (
        Message.objects.of(turn.workspace_id)
        .filter(conversation=turn.conversation, author=Author.AGENT, seq__lt=turn.question.seq)
        .aggregate(last=Max("seq"))
    )
    return max(by_bot["last"] or 0, by_agent["last"] or 0)


def _is_owed(message: Message, turn: Turn, answered: int) -> bool:
    return message.author == Author.VISITOR and answered < message.seq <= turn.question.seq


def _utterance(message: Message) -> Utterance:
    return Utterance(
        author=_AUTHORS[Author(message.author)],
        text=message.text,
        cut_short=message.state != Message.State.COMPLETE,
        speaker=str(message.agent) if message.agent else "",
    )


def _read_events(conversation_pk: int, after: int, limit: int) -> Sequence[EventView]:
    conversation = Conversation.every.get(pk=conversation_pk)
    return events.read(conversation, after=after, limit=limit)
