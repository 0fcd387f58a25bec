"""The door to the conversations' record for async code: only frozen values cross."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from chatbot.crossing import cross, cross_at_once
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
from conversations.models import Author, Contact, Conversation, Event, Inbox, Message, Turn
from conversations.services import Added, Refusal, TurnResult
from workspace.prepared import Asked, Rows, fetch_each

logger = logging.getLogger(__name__)

HISTORY = 30
_BOUNDARIES = (Kind.AGENT_JOINED, Kind.BOT_RESUMED)
_AUTHORS = {Author.VISITOR: VISITOR, Author.BOT: BOT, Author.AGENT: PERSON}

_AGENT = ("agent__display_name", "agent__username")

_TURNS = Rows(
    lambda name: Turn.every.select_related(
        "conversation__inbox__workspace", "conversation__contact", "question"
    ).filter(public_id=name),
    name=str,
)
_LATEST = Rows(
    lambda workspace, conversation: (
        Message.objects.of(workspace)
        .filter(conversation=conversation)
        .select_related("agent", "turn")
        .only(
            "workspace",
            "public_id",
            "author",
            "text",
            "state",
            "seq",
            "revises",
            *_AGENT,
            "turn__question",
            "turn__variant",
            "turn__outcome",
        )
        .order_by("-seq")[:HISTORY]
    ),
    workspace=int,
    conversation=int,
)
_UP_TO = Rows(
    lambda workspace, conversation, turn: (
        Turn.objects.of(workspace)
        .filter(conversation=conversation, pk__lte=turn)
        .order_by("-pk")
        .only("public_id", "outcome", "question_id")[: HISTORY + 1]
    ),
    workspace=int,
    conversation=int,
    turn=int,
)
_CONTACTS = Rows(
    lambda workspace, contact: Contact.objects.of(workspace).filter(pk=contact).only("public_id", "remembered"),
    workspace=int,
    contact=int,
)


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


async def add_and_load(say: Callable[[], Added], *, load: bool) -> tuple[Added, LoadedTurn | None]:
    """Store a visitor's message by `say` and, to `load`, read the turn that it opened in the same crossing.

    The turn is None also where only the reading failed: the message is stored, and nobody is to hear that it is not.
    """
    return await cross(_add_and_load, say, load)


async def load_turn(public_id: str) -> LoadedTurn:
    """The turn with its question: every visitor message since anybody last spoke. Raises `Turn.DoesNotExist`."""
    return await cross(_load_turn, public_id)


async def keep_shown(checkpoints: Sequence[Checkpoint]) -> frozenset[int]:
    """See `conversations.checkpoints.keep_shown`."""
    return await cross(checkpoints_of_turns.keep_shown, checkpoints)


async def finish(turn_pk: int, result: TurnResult) -> None:
    """Raises `conversations.services.LineTaken`."""
    await cross(services.finish_turn, turn_id=turn_pk, result=result)


async def finish_unasked(public_id: str, refusal: Refusal) -> None:
    """End a turn with what `refusal` makes of its question's words and its inbox, before all others. Raises `LineTaken`."""
    await cross_at_once(_finish_unasked, public_id, refusal)


async def clear_way(public_id: str) -> bool:
    """See `conversations.services.clear_way`."""
    return await cross(_clear_way, public_id)


async def merge(turn_pk: int) -> None:
    await cross(services.merge_turn, turn_id=turn_pk)


async def complete_shown(turn_pk: int, shown: str, record: Mapping[str, object]) -> None:
    await cross(services.record_shown, turn_id=turn_pk, shown=shown, record=record)


async def read_events(conversation: Conversation, after: int, limit: int = 500) -> Sequence[EventView]:
    """See `conversations.events.read`."""
    return await cross(events.read, conversation, after=after, limit=limit)


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


def _add_and_load(say: Callable[[], Added], load: bool) -> tuple[Added, LoadedTurn | None]:
    added = say()
    turn = added.turn
    if turn is None or not load:
        return added, None
    try:
        return added, _load_added(turn)
    except Exception as problem:
        logger.warning("the turn is to be read again", extra={"problem": type(problem).__name__})
        return added, None


def _load_added(turn: Turn) -> LoadedTurn:
    """What is read beside a turn that was stored just now, whose conversation has come without its contact."""
    conversation = turn.conversation
    asked = _CONTACTS.asked(workspace=turn.workspace_id, contact=conversation.contact_id)
    latest, turns, (conversation.contact,) = fetch_each(*_history_of(turn), asked)
    return _loaded(turn, latest, turns)


def _load_turn(public_id: str) -> LoadedTurn:
    turn = _TURNS.get(name=public_id)
    return _loaded(turn, *fetch_each(*_history_of(turn)))


def _history_of(turn: Turn) -> tuple[Asked, Asked]:
    """For its latest messages and, read after them, the turns up to it, both backwards."""
    which = {"workspace": turn.workspace_id, "conversation": turn.conversation_id}
    return _LATEST.asked(**which), _UP_TO.asked(**which, turn=turn.pk)


def _loaded(turn: Turn, messages: Sequence[Message], turns: Sequence[Turn]) -> LoadedTurn:
    """Of a turn with its question, its conversation, and the inbox, workspace and contact of that."""
    conversation, latest = turn.conversation, messages[::-1]
    said = _valid(latest)
    now, *earlier = turns
    answered = _answered_up_to(turn, latest, earlier)
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
        running=now.outcome == Turn.Outcome.RUNNING,
        behind=tuple(each.public_id for each in earlier[::-1] if each.outcome == Turn.Outcome.RUNNING),
    )


def _remembers(conversation: Conversation, said: Sequence[Message]) -> bool:
    """Whether there may be more to know than the prompt's history: of this conversation, or of the contact's others."""
    held = conversation.contact.remembered
    return held > 0 and (len(said) > HISTORY_MESSAGES or held > 1 or conversation.remembered_seq == 0)


def _finish_unasked(public_id: str, refusal: Refusal) -> None:
    turn = Turn.every.select_related("conversation__inbox__workspace", "question").get(public_id=public_id)
    services.finish_turn(turn_id=turn.pk, result=refusal(turn.question.text, turn.conversation.inbox))


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


def _answered_up_to(turn: Turn, latest: Sequence[Message], earlier: Sequence[Turn]) -> int:
    """The number of the last of the `latest` messages that an `earlier` turn, or a person, has dealt with; 0: none of them."""
    pending = {Turn.Outcome.RUNNING, Turn.Outcome.MERGED}
    questions = {message.pk: message.seq for message in latest}
    revised = {message.revises_id for message in latest}
    spoke = {message.turn_id for message in latest}
    dealt = [
        questions[each.question_id]
        for each in earlier
        if each.question_id in questions
        and each.question_id not in revised
        and each.question_id != turn.question_id  # answered before, and now again
        and each.outcome not in pending
        and not (each.outcome == Turn.Outcome.INTERRUPTED and each.pk not in spoke)  # cut off before a word was shown
    ]
    dealt += [message.seq for message in latest if message.author == Author.AGENT and message.seq < turn.question.seq]
    return max(dealt, default=0)


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
        sourced=message.turn is None or message.turn.outcome != Turn.Outcome.NO_ANSWER,
    )
