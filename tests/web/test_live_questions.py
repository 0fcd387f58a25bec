"""Typing, editing, asking again and waiting in the queue, over real connections to the whole application."""

import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from django.utils.translation import override
from websockets.sync.client import connect

from chatbot import process
from chatbot import runner as runner_module
from chatbot.turn.values import Finished, ModelEvent, Prompt, Started, Text
from conversations import services
from conversations.models import Author, Conversation, Inbox, Message, Turn
from tests.chatbot.turn.stages import stages
from tests.serving import serving
from tests.web.test_sockets import Visit
from workspace.models import User

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE_S = 10.0


class Model:
    """Says `words` one by one, `word_s` apart, and remembers what it was asked."""

    def __init__(self) -> None:
        self.words, self.word_s = 5, 0.01
        self.asked: list[str] = []

    async def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        import asyncio

        self.asked.append(prompt.question)
        yield Started("slow", "generated")
        for number in range(self.words):
            await asyncio.sleep(self.word_s)
            yield Text(f"Word {number}. ")
        yield Finished("stop")


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    model = Model()
    monkeypatch.setattr(runner_module, "stages_for", lambda question, record, **_: stages(model=model))
    return model


@pytest.fixture
def address(inbox: Inbox, model: Model) -> Iterator[str]:
    from chatbot.asgi import application

    with serving(application, lifespan="on") as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
def visit(address: str, conversation: Conversation) -> Iterator[Visit]:
    with Visit(address, conversation) as visit:
        visit.hello()
        yield visit


def turns(conversation: Conversation) -> list[Turn]:
    return list(Turn.objects.of(conversation.workspace_id).filter(conversation=conversation).order_by("pk"))


def added(visit: Visit, author: str, kind: str = "message.added") -> dict[str, Any]:
    """The next message of an author. What came before words that a visitor added, such as the answer to them, is kept."""
    before = []
    while True:
        frame = visit.next()
        if frame["type"] == "event" and frame["kind"] == kind and frame["message"]["author"] == author:
            visit.waiting.extend(before if (author, kind) == ("visitor", "message.added") else [])
            return frame["message"]
        before.append(frame)


def text_until(visit: Visit, word: str) -> str:
    """Live text, until `word` was shown."""
    text = ""
    while word not in text:
        text += visit.next("delta")["text"]
    return text


def ask(visit: Visit, text: str = "Refunds?") -> tuple[dict[str, Any], dict[str, Any]]:
    """A question and its answer, as messages."""
    visit.send(type="say", id=text, text=text)
    return added(visit, "visitor"), added(visit, "bot")


class TestTyping:
    def test_when_nobody_types_nothing_waits(self, visit: Visit, conversation: Conversation) -> None:
        ask(visit)
        (turn,) = turns(conversation)
        assert "held_back" not in turn.timings_ms

    def test_what_was_typed_before_the_message_came_delays_nothing(
        self, visit: Visit, conversation: Conversation
    ) -> None:
        visit.send(type="typing")
        ask(visit)
        assert "held_back" not in turns(conversation)[0].timings_ms

    def test_quick_messages_become_one_turn_while_the_visitor_goes_on_typing(
        self, visit: Visit, conversation: Conversation, model: Model
    ) -> None:
        visit.send(type="say", id="1", text="I bought a grinder.")
        visit.send(type="typing")
        time.sleep(1.0)
        visit.send(type="say", id="2", text="Can I return it?")
        visit.send(type="typing")
        time.sleep(1.0)
        visit.send(type="say", id="3", text="It is blue.")
        added(visit, "bot")
        assert model.asked[-1] == "I bought a grinder.\nCan I return it?\nIt is blue."
        assert [turn.outcome for turn in turns(conversation)] == ["merged", "merged", "answered"]
        assert Message.objects.of(conversation.workspace_id).filter(author=Author.BOT).count() == 1

    def test_typing_holds_an_answer_back_for_four_seconds_and_no_longer(
        self, visit: Visit, conversation: Conversation
    ) -> None:
        over = threading.Event()

        def type_on() -> None:
            while not over.wait(0.5):
                visit.send(type="typing")

        visit.send(type="say", id="1", text="Refunds?")
        began = time.monotonic()
        visit.send(type="typing")
        typing = threading.Thread(target=type_on)
        typing.start()
        try:
            visit.next("delta")
            assert time.monotonic() - began == pytest.approx(4.0, abs=0.8)
        finally:
            over.set()
            typing.join()

    def test_an_answer_that_is_being_shown_does_not_wait(
        self, visit: Visit, conversation: Conversation, model: Model
    ) -> None:
        model.words, model.word_s = 20, 0.02
        visit.send(type="say", id="1", text="Refunds?")
        visit.next("delta")
        visit.send(type="typing")
        began = time.monotonic()
        added(visit, "bot")
        assert time.monotonic() - began < 2

    def test_a_flood_of_it_is_passed_over_and_the_next_message_arrives(self, visit: Visit) -> None:
        for _ in range(300):
            visit.send(type="typing")
        visit.send(type="say", id="1", text="Refunds?")
        while (frame := visit.next())["type"] != "event":
            assert frame["type"] != "error"
        assert frame["message"]["text"] == "Refunds?"

    def test_agents_who_look_see_it_and_other_visitors_do_not(
        self, address: str, visit: Visit, conversation: Conversation, mei: User
    ) -> None:
        client = Client()
        client.force_login(mei)
        cookie = f"sessionid={client.cookies['sessionid'].value}"
        desk = f"ws://{address}/ws/desk/{conversation.workspace.public_id}/"
        with (
            connect(desk, origin=f"http://{address}", additional_headers={"Cookie": cookie}) as line,
            Visit(address, conversation) as second_tab,
        ):
            agent = Visit.__new__(Visit)
            agent.line, agent.waiting = line, deque()
            agent.send(type="watch", conversation=conversation.public_id, after=0)
            agent.until_pong()
            second_tab.hello()
            visit.send(type="typing")
            assert agent.next("typing")["conversation"] == conversation.public_id
            visit.until_pong()
            assert [frame["type"] for frame in second_tab.until_pong()] == []
        assert Message.objects.of(conversation.workspace_id).count() == 0

    def test_without_a_session_nobody_types(self, address: str, conversation: Conversation) -> None:
        with Visit(address, conversation) as stranger:
            stranger.send(type="typing")
            assert stranger.next("error")["code"] == "session"


class TestEdit:
    def test_a_running_answer_ends_where_it_stands_and_the_new_words_are_answered(
        self, visit: Visit, conversation: Conversation, model: Model
    ) -> None:
        model.words, model.word_s = 100, 0.02
        visit.send(type="say", id="1", text="Refunds?")
        asked = added(visit, "visitor")
        shown = text_until(visit, "Word 5")
        model.words = 3
        visit.send(type="edit", message=asked["id"], id="2", text="Returns?")
        cut = added(visit, "bot")
        edited = added(visit, "visitor", "message.edited")
        answer = added(visit, "bot")
        assert (cut["state"], cut["of"]) == ("interrupted", asked["id"])
        assert shown.split()[-1] in cut["html"]
        assert (edited["text"], edited["revises"], edited["client_id"]) == ("Returns?", asked["id"], "2")
        assert (answer["of"], answer["variant"], answer["state"]) == (edited["id"], 1, "complete")
        assert model.asked == ["Refunds?", "Returns?"]
        assert [turn.outcome for turn in turns(conversation)] == ["superseded", "answered"]

    def test_no_word_of_the_old_answer_comes_after_the_edit(self, visit: Visit, model: Model) -> None:
        model.words, model.word_s = 200, 0.01
        visit.send(type="say", id="1", text="Refunds?")
        asked = added(visit, "visitor")
        first = visit.next("turn")["turn"]
        text_until(visit, "Word 3")
        visit.send(type="edit", message=asked["id"], id="2", text="Returns?")
        added(visit, "visitor", "message.edited")
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            assert visit.next().get("turn") != first

    def test_sent_again_it_is_known(self, visit: Visit, conversation: Conversation) -> None:
        asked, _ = ask(visit)
        visit.send(type="edit", message=asked["id"], id="2", text="Returns?")
        edited = added(visit, "visitor", "message.edited")
        added(visit, "bot")
        visit.send(type="edit", message=asked["id"], id="2", text="Returns?")
        assert visit.next("known")["id"] == "2"
        assert len(turns(conversation)) == 2
        assert edited["revises"] == asked["id"]

    def test_an_edit_that_cannot_be_leaves_the_running_answer_alone(self, visit: Visit, model: Model) -> None:
        first, _ = ask(visit)
        model.words = 40
        visit.send(type="say", id="2", text="And returns?")
        text_until(visit, "Word 3")
        visit.send(type="edit", message=first["id"], id="3", text="Else?")
        assert visit.next("error")["code"] == "not_editable"
        assert "Word 39" in added(visit, "bot")["html"]


class TestAgain:
    def test_another_answer_is_the_next_variant(self, visit: Visit, conversation: Conversation) -> None:
        asked, first = ask(visit)
        visit.send(type="again", turn=first["turn"])
        second = added(visit, "bot")
        assert (first["of"], first["variant"]) == (asked["id"], 1)
        assert (second["of"], second["variant"]) == (asked["id"], 2)
        visit.send(type="again", turn=first["turn"])
        assert visit.until_pong() == []
        assert len(turns(conversation)) == 2

    def test_a_stopped_answer_can_be_gone_on_with(self, visit: Visit, model: Model) -> None:
        model.words, model.word_s = 100, 0.02
        visit.send(type="say", id="1", text="Refunds?")
        text_until(visit, "Word 2")
        visit.send(type="stop")
        stopped = added(visit, "bot")
        model.words = 3
        visit.send(type="again", turn=stopped["turn"])
        assert (stopped["state"], added(visit, "bot")["variant"]) == ("stopped", 2)

    def test_whoever_returns_gets_every_variant(self, address: str, visit: Visit, conversation: Conversation) -> None:
        _, first = ask(visit)
        visit.send(type="again", turn=first["turn"])
        added(visit, "bot")
        with Visit(address, conversation) as later:
            said = [event["message"] for event in later.hello() if event["kind"] == "message.added"]
        assert [message.get("variant") for message in said] == [None, 1, 2]


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_what_cannot_be_is_said_in_the_visitors_language(
    address: str, conversation: Conversation, language: str
) -> None:
    from chatbot.web.errors import sentence

    with Visit(address, conversation) as visit:
        visit.hello(language=language)
        for code, frame in {
            "not_editable": {"type": "edit", "message": "msg_no", "id": "x", "text": "Hi"},
            "not_repeatable": {"type": "again", "turn": "trn_no"},
            "malformed": {"type": "edit", "message": "msg_no", "text": "Hi"},
        }.items():
            visit.send(**frame)
            said = visit.next("error")
            with override("en"):
                english = sentence(code)
            assert (said["code"], said["text"]) == (code, sentence(code, language))
            assert (said["text"] == english) == (language == "en")


def test_stop_before_the_first_word_ends_the_turn_as_stopped(
    visit: Visit, conversation: Conversation, model: Model
) -> None:
    model.word_s = 5.0
    visit.send(type="say", id="1", text="Refunds?")
    visit.send(type="stop")
    while (event := visit.next("event"))["kind"] != "turn.ended":
        pass
    assert (event["data"]["outcome"], turns(conversation)[0].outcome) == ("stopped", "stopped")


def test_whoever_returns_is_told_of_a_lost_answer_at_once_not_by_the_next_sweep(
    address: str, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "SWEEP_S", 60.0)
    time.sleep(1.2)
    turn = services.add_visitor_message(conversation_id=conversation.pk, text="Refunds?", client_id="1").turn
    services.checkpoint_turn(turn_id=turn.pk, shown="Refunds take")
    Turn.every.filter(pk=turn.pk).update(lease_until=timezone.now())
    with Visit(address, conversation) as visit:
        cut, ended = visit.hello()[-2:]
    assert cut["message"]["state"] == "interrupted"
    assert (ended["kind"], ended["data"]["error"]) == ("turn.ended", "process_lost")


def test_a_question_behind_two_others_never_speaks_at_the_same_time(
    visit: Visit, conversation: Conversation, model: Model
) -> None:
    model.words, model.word_s = 30, 0.03
    visit.send(type="say", id="1", text="One?")
    text_until(visit, "Word 2")
    visit.send(type="say", id="2", text="Two?")
    visit.send(type="say", id="3", text="Three?")
    first, second = added(visit, "bot"), added(visit, "bot")
    assert "Word 29" in first["html"]
    assert model.asked == ["One?", "Two?\nThree?"]
    assert second["turn"] == turns(conversation)[2].public_id
    assert [turn.outcome for turn in turns(conversation)] == ["answered", "merged", "answered"]


def test_who_waits_is_told_when_somebody_before_them_leaves(
    address: str, inbox: Inbox, visit: Visit, conversation: Conversation, mei: User
) -> None:
    before = services.open_conversation(inbox=inbox, contact=services.new_contact(inbox=inbox))
    services.request_person(conversation_id=before.pk)
    visit.send(type="person")
    assert visit.next("queue")["place"] == 2
    services.take_over(conversation_id=before.pk, agent=mei)
    assert visit.next("queue")["place"] == 1


def test_of_two_agents_at_once_the_desk_tells_one_who_was_first(
    conversation: Conversation, mei: User, tom: User
) -> None:
    pages: dict[str, str] = {}

    def take(agent: User, client: Client) -> None:
        address = f"/desk/{conversation.public_id}/take-over/"
        try:
            pages[str(agent)] = client.post(address, headers={"hx-request": "true"}).content.decode()
        finally:
            connection.close()

    threads = []
    for agent in (mei, tom):
        client = Client()
        client.force_login(agent)
        threads.append(threading.Thread(target=take, args=(agent, client)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    conversation.refresh_from_db()
    winner = str(conversation.holder)
    (loser,) = set(pages) - {winner}
    assert "You have the line" in pages[winner]
    assert f"Another agent has this conversation: {winner}." in pages[loser]
    assert f"{winner} has the line" in pages[loser]
