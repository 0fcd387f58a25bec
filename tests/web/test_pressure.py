"""More than can be read or answered: a visitor who stops reading harms nobody, and a question too many is told so."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from chatbot import crossing, process
from chatbot.runner import runner
from chatbot.web.sockets import base
from conversations import services
from conversations.models import Author, Conversation, Inbox, Message, Turn
from tests.serving import serving
from tests.web.test_live_questions import PATIENCE_S, Model, added, ask, model, text_until, turns  # noqa: F401
from tests.web.test_sockets import Visit
from workspace.models import User

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "很长的回答。" * 1_300
REPLIES = 400  # together more than the kernel takes for a connection
BUSY = {
    "en": "Very many people are asking just now. Your message is kept: please try again in a minute, or leave a message for us.",
    "zh": "现在咨询的人很多。您的消息已经保存，请过一分钟再试，或者给我们留言。",
}


@pytest.fixture
def address(inbox: Inbox, model: Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:  # noqa: F811
    from chatbot.asgi import application

    async def nothing(workspaces: Sequence[int]) -> None:
        pass

    monkeypatch.setattr(process, "warm_up", nothing)
    with serving(application, lifespan="on") as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
def other(inbox: Inbox) -> Conversation:
    return services.open_conversation(inbox=inbox, contact=services.new_contact(inbox=inbox))


class Unread(Visit):
    """A visitor whose program stops reading as soon as one frame waits for it."""

    def __init__(self, address: str, conversation: Conversation) -> None:
        super().__init__(address, conversation)
        inbox = conversation.inbox.public_id
        self._connecting = connect(
            f"ws://{address}/ws/widget/{inbox}/",
            origin=f"http://{address}",
            max_size=None,
            max_queue=1,
            ping_interval=None,
        )


def test_who_stops_reading_is_cut_off_holds_nobody_up_and_gets_the_rest_on_return(
    address: str,
    conversation: Conversation,
    mei: User,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(base, "UNREAD_S", 1.0)
    caplog.set_level(logging.INFO, base.__name__)
    services.take_over(conversation_id=conversation.pk, agent=mei, shown={})
    with Visit(address, conversation) as reader, Unread(address, conversation) as unread:
        start = reader.hello()[-1]["seq"]
        unread.hello(after=start)
        for number in range(REPLIES):
            services.reply(conversation_id=conversation.pk, agent=mei, text=f"{number} {LONG}", client_id=f"r{number}")
        heard = [added(reader, "agent")["text"].split()[0] for _ in range(REPLIES)]
        assert heard == [str(number) for number in range(REPLIES)]
        until = time.monotonic() + PATIENCE_S
        while "cut off" not in caplog.text:
            assert time.monotonic() < until
            time.sleep(0.05)
        seen = _read_out(unread)
    assert 0 < len(seen) < REPLIES
    assert seen == list(range(start + 1, start + 1 + len(seen)))
    with Visit(address, conversation) as returned:
        missed = [event["seq"] for event in returned.hello(after=seen[-1])]
    assert [*seen, *missed] == list(range(start + 1, start + 1 + REPLIES))


def _read_out(visit: Visit) -> list[int]:
    """The events that reach whoever begins to read again, until it notices that the connection is gone."""
    seen: list[int] = []
    while True:
        try:
            seen.append(visit.next("event")["seq"])
        except ConnectionClosed:
            return seen


@pytest.mark.parametrize(("question", "language"), [("Refunds?", "en"), ("可以退款吗？", "zh")])
def test_a_question_too_many_is_kept_told_so_in_its_language_and_can_be_asked_again(
    address: str,
    conversation: Conversation,
    other: Conversation,
    model: Model,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    question: str,
    language: str,
) -> None:
    admission = runner().admission
    monkeypatch.setattr(admission, "most", 1)
    refused = admission.refused
    model.words, model.word_s = 100, 0.02
    with Visit(address, conversation) as first, Visit(address, other) as second:
        first.hello(), second.hello()
        first.send(type="say", id="one", text="Shipping?")
        text_until(first, "Word 1.")
        second.send(type="say", id="two", text=question)
        kept, told = added(second, "visitor"), added(second, "bot")
        assert (kept["text"], told["kind"]) == (question, "error")
        assert BUSY[language] in told["html"]
        (turn,) = turns(other)
        assert (turn.outcome, turn.error) == (Turn.Outcome.FAILED, "busy")
        assert admission.refused == refused + 1
        assert "Word 99." in added(first, "bot")["html"]
        assert _answer_again(second, turn)["of"] == kept["id"]
    assert admission.under_way == 0


def _answer_again(visit: Visit, turn: Turn) -> dict[str, Any]:
    visit.send(type="again", turn=turn.public_id)
    answer = added(visit, "bot")
    assert "Word 0." in answer["html"]
    return answer


def test_the_word_that_there_is_no_room_does_not_wait_behind_those_who_have_it(
    address: str, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner().admission, "most", 0)
    go_on = threading.Event()
    with Visit(address, conversation) as visit:
        visit.hello()
        time.sleep(0.5)  # what hello set off has read the record
        busy = [crossing._pool().submit(go_on.wait, 60) for _ in range(crossing.THREADS)]
        try:
            visit.send(type="say", id="one", text="Refunds?")
            assert added(visit, "visitor")["text"] == "Refunds?"
            assert BUSY["en"] in added(visit, "bot")["html"]
            assert not any(each.done() for each in busy)
        finally:
            go_on.set()
    assert runner().admission.under_way == 0
    (turn,) = turns(conversation)
    assert (turn.outcome, turn.error) == (Turn.Outcome.FAILED, "busy")


def test_a_message_to_a_person_needs_no_room(
    address: str, conversation: Conversation, mei: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner().admission, "most", 0)
    services.take_over(conversation_id=conversation.pk, agent=mei, shown={})
    with Visit(address, conversation) as visit:
        visit.hello()
        visit.send(type="say", id="one", text="Refunds?")
        assert added(visit, "visitor")["text"] == "Refunds?"
        services.reply(conversation_id=conversation.pk, agent=mei, text="Seven days.", client_id="r1")
        assert added(visit, "agent")["text"] == "Seven days."
    assert not Message.objects.of(conversation.workspace_id).filter(author=Author.BOT).exists()


def test_quick_messages_of_one_visitor_take_one_place(
    address: str,
    conversation: Conversation,
    model: Model,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner().admission, "most", 1)
    model.word_s = 0.05
    with Visit(address, conversation) as visit:
        visit.hello()
        visit.send(type="say", id="one", text="Refunds?")
        visit.send(type="say", id="two", text="And returns?")
        assert "Word 4." in added(visit, "bot")["html"]
    assert not Message.objects.of(conversation.workspace_id).filter(author=Author.BOT, kind="error").exists()


def test_a_place_that_is_left_is_free(
    address: str, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner().admission, "most", 1)
    with Visit(address, conversation) as visit:
        visit.hello()
        for number in range(3):
            assert "Word 4." in ask(visit, f"Refunds {number}?")[1]["html"]
