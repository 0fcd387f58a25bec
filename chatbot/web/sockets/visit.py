"""What a visitor's socket takes besides words: thumbs, a rating, and what the page says about the visit."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from chatbot.crossing import cross
from chatbot.web.sockets.base import BadFrame, text_of
from conversations import context, feedback


async def judge(socket: Any, frame: dict[str, Any]) -> None:
    """``{"type": "feedback", "message": "msg_…", "value": 1, "reason": "…"}``; -1 for thumbs down."""
    await cross(
        feedback.judge,
        conversation_id=socket._joined().pk,
        message=text_of(frame, "message", 40),
        value=_whole(frame.get("value")),
        reason=text_of(frame, "reason", feedback.MAX_REASON),
    )


async def rate(socket: Any, frame: dict[str, Any]) -> None:
    """``{"type": "rating", "score": 4, "comment": "…"}``; a score of null puts the question aside."""
    score = frame.get("score")
    await cross(
        feedback.rate,
        conversation_id=socket._joined().pk,
        score=None if score is None else _whole(score),
        comment=text_of(frame, "comment", feedback.MAX_REASON),
    )


async def note(socket: Any, frame: dict[str, Any]) -> None:
    """``{"type": "context", "data": {"page": "Cart", "plan": "Pro"}}``: for the agents, never for the model."""
    data = frame.get("data")
    if not isinstance(data, dict) or not context.is_context(data):
        raise BadFrame
    await cross(context.note, conversation=socket._joined(), data=data)


VISIT: Mapping[str, Callable[[Any, dict[str, Any]], Awaitable[None]]] = {
    "feedback": judge,
    "rating": rate,
    "context": note,
}


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadFrame
    return value
