"""Thumbs, ratings and context over a real socket: what is not ours is told so, and nothing is changed by it."""

from collections.abc import Iterator
from typing import Any

import pytest

from conversations import services
from conversations.models import Contact, Conversation, Feedback, Inbox, Rating, Turn
from conversations.services import TurnResult
from tests.serving import serving
from tests.web.test_sockets import Visit
from workspace.models import User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def address(inbox: Inbox) -> Iterator[str]:
    from chatbot.asgi import application

    with serving(application, lifespan="on") as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
def answer(conversation: Conversation) -> Any:
    added = services.add_visitor_message(conversation_id=conversation.pk, text="Refunds?", client_id="q")
    result = TurnResult(Turn.Outcome.ANSWERED, "Seven days.", kind="generated")
    return services.finish_turn(turn_id=added.turn.pk, result=result)


BAD = [
    ({"type": "feedback"}, "malformed"),
    ({"type": "feedback", "message": "msg_none", "value": 1}, "cannot_judge"),
    ({"type": "feedback", "message": "ours", "value": 2}, "cannot_judge"),
    ({"type": "feedback", "message": "ours", "value": True}, "malformed"),
    ({"type": "feedback", "message": "ours", "value": -1, "reason": "x" * 1_001}, "malformed"),
    ({"type": "rating", "score": 5}, "cannot_judge"),
    ({"type": "rating", "score": "5"}, "malformed"),
    ({"type": "context"}, "malformed"),
    ({"type": "context", "data": ["a"]}, "malformed"),
    ({"type": "context", "data": {"a": {"b": 1}}}, "malformed"),
    ({"type": "context", "data": {"a": "x" * 301}}, "malformed"),
    ({"type": "context", "data": {f"k{n}": n for n in range(21)}}, "malformed"),
]


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_bad_ones_have_a_code_and_a_sentence(address: str, conversation: Conversation, answer, language: str) -> None:
    with Visit(address, conversation) as visit:
        visit.hello(language=language)
        for frame, code in BAD:
            visit.send(**{key: answer.public_id if value == "ours" else value for key, value in frame.items()})
            said = visit.next("error")
            assert (said["code"], bool(said["text"])) == (code, True), frame
    assert Feedback.every.count() == Rating.every.count() == 0
    assert Contact.every.get().details is None


def test_good_ones_come_back_as_events_and_only_once(
    address: str, conversation: Conversation, answer, mei: User
) -> None:
    with Visit(address, conversation) as visit:
        visit.hello()
        visit.send(type="feedback", message=answer.public_id, value=-1, reason="Wrong product")
        event = visit.next("event")
        assert (event["kind"], event["data"]) == ("answer.judged", {"message": answer.public_id, "value": -1})
        visit.send(type="context", data={"page": "Cart", "items": 3})
        assert visit.until_pong() == []
        services.take_over(conversation_id=conversation.pk, agent=mei, shown={})
        services.resolve(conversation_id=conversation.pk, agent=mei)
        visit.send(type="rating", score=4)
        while (event := visit.next("event"))["kind"] != "conversation.rated":
            pass
        assert event["data"] == {"score": 4}
        visit.send(type="rating", score=1)
        assert visit.next("error")["code"] == "already_rated"
    assert Contact.every.get().details == {"page": "Cart", "items": "3"}
    with Visit(address, conversation) as visit:
        kinds = [event["kind"] for event in visit.hello()]
        assert kinds.count("answer.judged") == kinds.count("conversation.rated") == 1
