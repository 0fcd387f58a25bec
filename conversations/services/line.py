"""What people do, and who has the line by it."""

from conversations.events import Kind
from conversations.models import Author, Conversation, Message, Status, Turn
from conversations.services.errors import AlreadyTaken, ClientIdReused, NotHolder, NotWaiting
from conversations.services.record import Shown, hand_line, interrupt_running, locked, owed_turn, queue, say
from conversations.services.visitor import checked_text
from workspace import audit
from workspace.models import User


def request_person(*, conversation_id: int, shown: Shown | None = None, reason: str = "visitor_asked") -> None:
    """Put the conversation in the queue, for the visitor's wish. Already queued or with a person: nothing changes."""
    with locked(conversation_id) as conversation:
        if conversation.status in {Status.QUEUED, Status.AGENT}:
            return
        interrupt_running(conversation, shown)
        queue(conversation, reason)


def take_over(*, conversation_id: int, agent: User, shown: Shown | None = None) -> Conversation:
    """Give the line to `agent`. The bot's running answer is kept as far as it was shown (`shown`; otherwise as last stored).

    Raises `AlreadyTaken` when another agent holds it. Taking what one already holds changes nothing.
    """
    with locked(conversation_id) as conversation:
        if conversation.status == Status.AGENT:
            if conversation.holder_id == agent.pk:
                return conversation
            raise AlreadyTaken(str(conversation.holder))
        interrupt_running(conversation, shown)
        hand_line(conversation, Status.AGENT, Kind.AGENT_JOINED, agent=agent)
        audit.record(
            workspace_id=conversation.workspace_id,
            actor=agent.public_id,
            action="conversation.take_over",
            target=conversation.public_id,
        )
        return conversation


def reply(*, conversation_id: int, agent: User, text: str, client_id: str) -> Message:
    """The agent who holds the line speaks. Raises `NotHolder`, `EmptyText`, `TextTooLong` or `ClientIdReused`."""
    text = checked_text(text)
    with locked(conversation_id) as conversation:
        known = Message.objects.of(conversation.workspace_id).filter(
            conversation=conversation, author=Author.AGENT, client_id=client_id
        )
        if message := known.first():
            if message.text != text:
                raise ClientIdReused
            return message
        if conversation.status != Status.AGENT or conversation.holder_id != agent.pk:
            raise NotHolder
        message = say(conversation, Author.AGENT, text, agent=agent, client_id=client_id)
        conversation.waiting_since = None
        return message


def hand_back(*, conversation_id: int, agent: User) -> Turn | None:
    """The agent returns the line to the bot. A visitor message nobody answered becomes the bot's turn, which is returned."""
    with locked(conversation_id) as conversation:
        if conversation.status != Status.AGENT or conversation.holder_id != agent.pk:
            raise NotHolder
        hand_line(conversation, Status.BOT, Kind.BOT_RESUMED, reason="handed_back", by=str(agent))
        audit.record(
            workspace_id=conversation.workspace_id,
            actor=agent.public_id,
            action="conversation.hand_back",
            target=conversation.public_id,
        )
        return owed_turn(conversation)


def back_to_bot(*, conversation_id: int) -> Turn | None:
    """The waiting visitor chooses the bot after all. Raises `NotWaiting`."""
    with locked(conversation_id) as conversation:
        if conversation.status != Status.QUEUED:
            raise NotWaiting
        hand_line(conversation, Status.BOT, Kind.BOT_RESUMED, reason="visitor_chose")
        return owed_turn(conversation)


def resolve(*, conversation_id: int, agent: User, shown: Shown | None = None) -> None:
    """Close the conversation; a later visitor message reopens it. Raises `AlreadyTaken` when another agent holds it."""
    with locked(conversation_id) as conversation:
        if conversation.status == Status.RESOLVED:
            return
        if conversation.status == Status.AGENT and conversation.holder_id != agent.pk:
            raise AlreadyTaken(str(conversation.holder))
        interrupt_running(conversation, shown)
        hand_line(conversation, Status.RESOLVED, Kind.CONVERSATION_RESOLVED, by=str(agent))
        conversation.waiting_since = None
        audit.record(
            workspace_id=conversation.workspace_id,
            actor=agent.public_id,
            action="conversation.resolve",
            target=conversation.public_id,
        )
