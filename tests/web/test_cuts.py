"""Connections that are cut while an answer streams, to the same and to another process: nothing lost, nothing doubled.

A thousand cuts, with the time that coming back takes: ``benchmarks/resume.py``.
"""

import json
import random
import time
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed

from benchmarks.screen import Screen
from chatbot.markdown import render
from conversations import services
from conversations.models import Author, Conversation, Message
from tests.environment import PRODUCTION
from tests.serving import ServerProcess, server_processes
from tests.web.slow_words import text
from tests.web.test_sockets import Visit

pytestmark = pytest.mark.django_db(transaction=True)

CUTS = 10
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def servers(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ServerProcess]]:
    """Two where Redis connects them."""
    folder = tmp_path_factory.mktemp("servers")
    with server_processes("tests.web.slow_bot:application", 2 if PRODUCTION else 1, folder) as started:
        yield started


def read(visit: Visit, screen: Screen, until: float) -> None:
    """Read until a moment, or until the answer is there."""
    while (left := until - time.monotonic()) > 0 and not any(each["author"] == "bot" for each in screen.messages):
        try:
            screen.take(json.loads(visit.line.recv(timeout=left)))
        except (TimeoutError, ConnectionClosed):
            return


def test_an_answer_is_whole_after_ten_cuts_on_whatever_process(
    servers: list[ServerProcess], conversation: Conversation
) -> None:
    dice, screen = random.Random(20261125), Screen()
    for cut in range(CUTS + 1):
        with Visit(dice.choice(servers).address, conversation) as visit:
            hello = {"type": "hello", "token": visit.token, "after": screen.after, "language": "en"}
            visit.send(**hello | ({"live": live} if (live := screen.live()) else {}))
            if not cut:
                visit.send(type="say", id="1", text="Refunds?")
            stays = dice.uniform(0.1, 0.5) if cut < CUTS else PATIENCE_S
            read(visit, screen, time.monotonic() + stays)
            if cut == CUTS // 2:  # news that changes no hands goes by
                visit.send(type="details", email="lee@example.com")
        assert screen.stream is None or text().startswith(screen.stream.text)
        time.sleep(dice.uniform(0.0, 0.2))
    assert screen.broken == []
    (answer,) = [message for message in screen.messages if message["author"] == "bot"]
    assert answer["html"] == render(text())
    (row,) = Message.objects.of(conversation.workspace_id).filter(conversation=conversation, author=Author.BOT)
    assert row.text == text()


@pytest.mark.skipif(not PRODUCTION, reason="needs BATON_TEST_STACK=production")
def test_news_does_not_stop_the_live_text_at_another_process(
    servers: list[ServerProcess], conversation: Conversation
) -> None:
    writing, other = servers
    with Visit(writing.address, conversation) as visit, Visit(other.address, conversation) as elsewhere:
        visit.hello()
        visit.send(type="say", id="1", text="Refunds?")
        visit.next("delta")
        elsewhere.send(type="hello", token=elsewhere.token, after=0, language="en")
        elsewhere.next("delta")
        services.leave_details(conversation_id=conversation.pk, email="lee@example.com")
        while elsewhere.next("event")["kind"] != "contact.details_left":
            pass
        before = elsewhere.next("delta")["from"]
        assert elsewhere.next("delta")["from"] > before
