"""The visitor's socket over a real connection: what is not ours is told so, and nothing is lost or doubled."""

import json
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from chatbot.tokens import Visitor, visitor_token
from chatbot.web.errors import sentence
from conversations import broadcast, services
from conversations.models import Conversation, Inbox, Message
from tests.serving import serving
from workspace.models import User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def address(inbox: Inbox) -> Iterator[str]:
    from chatbot.asgi import application

    with serving(application, lifespan="on") as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
def waiting(conversation: Conversation, mei: User) -> Conversation:
    """A conversation that a person holds, so that no bot answers in between."""
    services.take_over(conversation_id=conversation.pk, agent=mei, shown={})
    return conversation


class Visit:
    def __init__(self, address: str, conversation: Conversation, origin: str | None = None) -> None:
        inbox = conversation.inbox.public_id
        self._connecting = connect(
            f"ws://{address}/ws/widget/{inbox}/", origin=origin or f"http://{address}", max_size=None, max_queue=None
        )
        self.token = visitor_token(Visitor(inbox, conversation.contact.public_id, conversation.public_id))
        self.waiting: deque[dict[str, Any]] = deque()  # frames that came and are still to be looked at

    def __enter__(self) -> "Visit":
        self.line: ClientConnection = self._connecting.__enter__()
        return self

    def __exit__(self, *problem: Any) -> None:
        self._connecting.__exit__(*problem)

    def send(self, **frame: Any) -> None:
        self.line.send(json.dumps(frame))

    def hello(self, after: int = 0, language: str = "en") -> list[dict[str, Any]]:
        """Joins; the events it was given."""
        self.send(type="hello", token=self.token, after=after, language=language)
        return [frame for frame in self.until_pong() if frame["type"] == "event"]

    def until_pong(self) -> list[dict[str, Any]]:
        self.send(type="ping")
        frames = []
        while (frame := self.next())["type"] != "pong":
            frames.append(frame)
        return frames

    def next(self, kind: str = "") -> dict[str, Any]:
        while True:
            frame = self.waiting.popleft() if self.waiting else json.loads(self.line.recv(timeout=20))
            if not kind or frame["type"] == kind:
                return frame


BAD_FRAMES = {
    "not JSON": ("{", "malformed"),
    "a list": ("[]", "malformed"),
    "no type": ("{}", "malformed"),
    "an unknown type": ('{"type": "dance"}', "malformed"),
    "a type that is no text": ('{"type": {"a": 1}}', "malformed"),
    "half a surrogate pair": ('{"type": "say", "id": "x", "text": "\\ud800"}', "malformed"),
    "a NUL in the id": ('{"type": "say", "id": "x\\u0000", "text": "hi"}', "malformed"),
    "no id": ('{"type": "say", "text": "hi"}', "malformed"),
    "text that is a number": ('{"type": "say", "id": "x", "text": 5}', "malformed"),
    "an empty message": ('{"type": "say", "id": "x", "text": "  "}', "empty"),
    "100,000 characters": (json.dumps({"type": "say", "id": "x", "text": "a" * 100_000}), "too_long"),
    "deep nesting": ("[" * 60_000, "malformed"),
    "binary": (b"\x00\xff\x00", "binary"),
}


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize("name", BAD_FRAMES)
def test_a_bad_frame_is_named_in_the_visitors_language_and_the_line_stays(
    address: str, waiting: Conversation, name: str, language: str
) -> None:
    frame, code = BAD_FRAMES[name]
    with Visit(address, waiting) as visit:
        visit.hello(language=language)
        visit.line.send(frame)
        said = visit.next("error")
        assert said["code"] == code
        assert said["text"].split("%")[0][:4] == sentence(code, language).split("%")[0][:4]
        assert Message.objects.of(waiting.workspace_id).filter(author="visitor").count() == 0
        visit.send(type="say", id="after", text="still here")
        assert visit.next("event")["message"]["text"] == "still here"


@pytest.mark.parametrize("live", [{"turn": 5}, {"turn": "trn_x", "at": -1}, {"turn": "trn_x", "at": "0"}])
def test_a_bad_hello_is_named_before_anything_is_welcome(
    address: str, waiting: Conversation, live: dict[str, object]
) -> None:
    with Visit(address, waiting) as visit:
        visit.send(type="hello", after=0, token=visit.token, live=live)
        assert visit.next()["code"] == "malformed"
        visit.hello()


def test_a_message_sent_twice_is_stored_once(address: str, waiting: Conversation) -> None:
    with Visit(address, waiting) as visit:
        visit.hello()
        visit.send(type="say", id="one", text="Where is my parcel?")
        seq = visit.next("event")["seq"]
        visit.send(type="say", id="one", text="Where is my parcel?")
        assert visit.next("known") == {"type": "known", "id": "one", "seq": seq}
    assert Message.objects.of(waiting.workspace_id).filter(author="visitor").count() == 1


def test_whoever_returns_gets_exactly_what_was_missed(address: str, waiting: Conversation, mei: User) -> None:
    with Visit(address, waiting) as visit:
        seen = visit.hello()
        visit.send(type="say", id="one", text="Hello?")
        last = visit.next("event")["seq"]
    for number in range(3):
        services.reply(conversation_id=waiting.pk, agent=mei, text=f"answer {number}", client_id=f"a{number}")
    with Visit(address, waiting) as visit:
        missed = visit.hello(after=last)
        assert [event["message"]["text"] for event in missed] == ["answer 0", "answer 1", "answer 2"]
        assert [event["seq"] for event in missed] == [last + 1, last + 2, last + 3]
    with Visit(address, waiting) as visit:
        assert len(visit.hello()) == len(seen) + 4


def test_a_page_that_asks_gets_what_nobody_rang_for(
    address: str, waiting: Conversation, mei: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Visit(address, waiting) as visit:
        visit.hello()
        with monkeypatch.context() as deaf:
            deaf.setattr(broadcast, "_ears", [])
            deaf.setattr(broadcast, "_carriers", [lambda bell: None])
            services.reply(conversation_id=waiting.pk, agent=mei, text="Nobody heard", client_id="a")
        visit.send(type="ping")
        assert visit.next("event")["message"]["text"] == "Nobody heard"


def test_another_site_cannot_connect(address: str, waiting: Conversation) -> None:
    with pytest.raises((ConnectionClosed, InvalidStatus)), Visit(address, waiting, "https://evil.example") as visit:
        visit.hello()


def test_a_session_of_another_conversation_opens_nothing(address: str, waiting: Conversation) -> None:
    with Visit(address, waiting) as visit:
        visit.token = visit.token[:-4] + "AAAA"
        visit.send(type="hello", token=visit.token)
        assert visit.next("error")["code"] == "session"
        with pytest.raises(ConnectionClosed):
            visit.next()
