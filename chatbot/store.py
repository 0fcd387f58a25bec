"""The door to the conversations' record for async code: only frozen values cross."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Max

from chatbot.crossing import cross
from chatbot.turn.prompt import HISTORY_MESSAGES
from chatbot.turn.values import (
    BOT,
    HANDED_BACK,
    PERSON,
    TOOK_OVER,
    VISITOR,
    InboxView,
    Question,
    Utterance,
)
from conversations import checkpoints as checkpoints_of_turns
from conversations import events, services
from conversations.checkpoints import Checkpoint
from conversations.events import EventView, Kind
from conversations.models import Author, Conversation, Event, Inbox, Message, Turn
from conversations.services import TurnResult

HISTORY = 30
_BOUNDARIES = (Kind.AGENT_JOINED, Kind.BOT_RESUMED)
_AUTHORS = {Author.VISITOR: VISITOR, Author.BOT: BOT, Author.AGENT: PERSON}


@dataclass(frozen=True)
class LoadedTurn:
    """A turn as it is to be answered. `running` is false when it has ended already.

    `behind`: earlier turns of the conversation (public ids) that run still, in this process or in another.
    """

    pk: int
    public_id: str
    conversation_pk: int
    conversation: str
    workspace: int
    epoch: int
    question: Question
    running: bool
    behind: Sequence[str]


async def load_turn(public_id: str) -> LoadedTurn:
    """The turn with its question: every visitor message since anybody last spoke. Raises `Turn.DoesNotExist`."""
    return await cross(_load_turn, public_id)


async def keep_shown(checkpoints: Sequence[Checkpoint]) -> frozenset[int]:
    """See `conversations.checkpoints.keep_shown`."""
    return await cross(checkpoints_of_turns.keep_shown, checkpoints)


async def finish(turn_pk: int, result: TurnResult) -> None:
    """Raises `conversations.services.LineTaken`."""
    await cross(services.finish_turn, turn_id=turn_pk, result=result)


async def clear_way(public_id: str) -> bool:
    """See `conversations.services.clear_way`."""
    return await cross(_clear_way, public_id)


async def merge(turn_pk: int) -> None:
    await cross(services.merge_turn, turn_id=turn_pk)


async def complete_shown(turn_pk: int, shown: str, record: Mapping[str, object]) -> None:
    await cross(services.record_shown, turn_id=turn_pk, shown=shown, record=record)


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
        strict=inbox.strict,
    )


def _load_turn(public_id: str) -> LoadedTurn:
    turn = Turn.every.select_related("conversation__inbox__workspace", "conversation__contact", "question").get(
        public_id=public_id
    )
    conversation = turn.conversation
    messages = Message.objects.of(turn.workspace_id).filter(conversation=conversation).select_related("agent", "turn")
    said = _valid(list(messages.order_by("-seq")[:HISTORY])[::-1])
    answered = _answered_up_to(turn)
    running = Turn.objects.of(turn.workspace_id).filter(
        conversation=conversation, outcome=Turn.Outcome.RUNNING, pk__lt=turn.pk
    )
    owed = [message for message in said if _is_owed(message, turn, answered)]
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
            history=_history([message for message in said if _is_history(message, turn, owed)], turn),
            contact=conversation.contact.public_id,
            again=turn.repeats_id is not None,
            remembers=_remembers(conversation, said),
        ),
        running=turn.outcome == Turn.Outcome.RUNNING,
        behind=tuple(running.values_list("public_id", flat=True)),
    )


def _remembers(conversation: Conversation, said: Sequence[Message]) -> bool:
    """Whether there may be more to know than the prompt's history: of this conversation, or of the contact's others."""
    held = conversation.contact.remembered
    return held > 0 and (len(said) > HISTORY_MESSAGES or held > 1 or conversation.remembered_seq == 0)


def _valid(said: Sequence[Message]) -> list[Message]:
    """Without words that were edited since, what was answered to them, and answers that have a newer variant."""
    revised = {message.revises_id for message in said}
    newest: dict[int, int] = {}
    for message in said:
        if message.turn:
            newest[message.turn.question_id] = max(message.turn.variant, newest.get(message.turn.question_id, 0))
    return [
        message
        for message in said
        if message.pk not in revised
        and (
            message.turn is None
            or (message.turn.question_id not in revised and message.turn.variant == newest[message.turn.question_id])
        )
    ]


def _is_history(message: Message, turn: Turn, owed: Sequence[Message]) -> bool:
    if message.author == Author.VISITOR:
        return message not in owed and message.seq < turn.question.seq
    return message.turn is None or message.turn.question_id != turn.question_id  # an answer to be given anew


def _history(said: Sequence[Message], turn: Turn) -> tuple[Utterance, ...]:
    """What was said, with a line wherever the line went from the bot to a person or back."""
    spoken = [(message.seq, _utterance(message)) for message in said]
    if not said or turn.conversation.epoch == 1:
        return tuple(utterance for _, utterance in spoken)
    changes = Event.objects.of(turn.workspace_id).filter(
        conversation=turn.conversation, type__in=_BOUNDARIES, seq__gt=said[0].seq
    )
    boundaries = [(event.seq, boundary) for event in changes if (boundary := _boundary(event))]
    return tuple(utterance for _, utterance in sorted(spoken + boundaries, key=lambda pair: pair[0]))


def _boundary(event: Event) -> Utterance | None:
    if event.type == Kind.AGENT_JOINED:
        return Utterance(PERSON, "", speaker=event.data.get("agent", ""), boundary=TOOK_OVER)
    if event.data.get("by"):
        return Utterance(PERSON, "", speaker=event.data["by"], boundary=HANDED_BACK)
    return None  # the visitor chose the bot; no person had the line


def _answered_up_to(turn: Turn) -> int:
    """The number of the last visitor message that an earlier turn, or a person, has dealt with."""
    pending = [Turn.Outcome.RUNNING, Turn.Outcome.MERGED]
    by_bot = (
        Turn.objects.of(turn.workspace_id)
        .filter(conversation=turn.conversation, pk__lt=turn.pk, question__revised_by__isnull=True)
        .exclude(outcome__in=pending)
        .exclude(question=turn.question_id)  # answered before, and now again
        .exclude(outcome=Turn.Outcome.INTERRUPTED, messages__isnull=True)  # cut off before a word was shown
        .aggregate(last=Max("question__seq"))
    )
    by_agent = (
        Message.objects.of(turn.workspace_id)
        .filter(conversation=turn.conversation, author=Author.AGENT, seq__lt=turn.question.seq)
        .aggregate(last=Max("seq"))
    )
    return max(by_bot["last"] or 0, by_agent["last"] or 0)


def _clear_way(public_id: str) -> bool:
    return services.clear_way(turn_id=Turn.every.values_list("pk", flat=True).get(public_id=public_id))


def _is_owed(message: Message, turn: Turn, answered: int) -> bool:
    return message.author == Author.VISITOR and answered < message.seq <= turn.question.seq


def _utterance(message: Message) -> Utterance:
    return Utterance(
        author=_AUTHORS[Author(message.author)],
        text=message.text,
        cut_short=message.state != Message.State.COMPLETE,
        speaker=str(message.agent) if message.agent else "",
        seq=message.seq,
    )


def _read_events(conversation_pk: int, after: int, limit: int) -> Sequence[EventView]:
    conversation = Conversation.every.get(pk=conversation_pk)
    return events.read(conversation, after=after, limit=limit)
