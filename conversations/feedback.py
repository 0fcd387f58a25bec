"""What visitors think: thumbs on an answer, and a rating of the whole conversation, once."""

from django.utils import timezone

from conversations import events
from conversations.events import Kind
from conversations.models import Author, Conversation, Episode, Feedback, Message, Rating, Status
from conversations.services import ConversationError
from conversations.services.record import locked

MAX_REASON = 1_000
SCORES = range(1, 6)


class CannotJudge(ConversationError):
    """The message is not an answer in this conversation, or the judgement is none of ours."""

    code = "cannot_judge"


class AlreadyRated(ConversationError):
    """A conversation is rated once."""

    code = "already_rated"


def judge(*, conversation_id: int, message: str, value: int, reason: str = "") -> Feedback:
    """Thumbs up (1) or down (-1) on an answer of the bot, with an optional reason. The newest judgement counts.

    Raises `CannotJudge`. The same judgement again changes nothing.
    """
    if value not in (1, -1) or len(reason) > MAX_REASON:
        raise CannotJudge
    with locked(conversation_id) as conversation:
        answer = (
            Message.objects.of(conversation.workspace_id)
            .filter(conversation=conversation, public_id=message, author=Author.BOT)
            .first()
        )
        if answer is None:
            raise CannotJudge
        reason = reason.strip().replace("\x00", "")
        held = Feedback.objects.of(conversation.workspace_id).filter(message=answer).first()
        if held is not None and held.value == value and (not reason or held.reason == reason):
            return held
        feedback = held or Feedback(
            workspace_id=conversation.workspace_id, conversation=conversation, message=answer, value=value
        )
        if held is not None and held.value != value:
            feedback.reason = None
        feedback.value, feedback.reason, feedback.at = value, reason or feedback.reason, timezone.now()
        feedback.save()
        events.append(conversation, Kind.ANSWER_JUDGED, message=message, value=value)
        return feedback


def rate(*, conversation_id: int, score: int | None, comment: str = "") -> Rating:
    """A score of 1 to 5 for a conversation that has ended, or None: the visitor put the question aside.

    Raises `CannotJudge` while the conversation goes on or for another score, `AlreadyRated` the second time.
    """
    if (score is not None and score not in SCORES) or len(comment) > MAX_REASON:
        raise CannotJudge
    with locked(conversation_id) as conversation:
        if conversation.status != Status.RESOLVED:
            raise CannotJudge
        if is_rated(conversation):
            raise AlreadyRated
        last = (
            Episode.objects.of(conversation.workspace_id)
            .filter(conversation=conversation, party=Status.AGENT)
            .order_by("-pk")
            .first()
        )
        rating: Rating = Rating.objects.of(conversation.workspace_id).create(
            conversation=conversation,
            score=score,
            comment=comment.strip().replace("\x00", "") or None,
            agent=last.agent if last else None,
        )
        events.append(conversation, Kind.CONVERSATION_RATED, score=score)
        return rating


def is_rated(conversation: Conversation) -> bool:
    return Rating.objects.of(conversation.workspace_id).filter(conversation=conversation).exists()
