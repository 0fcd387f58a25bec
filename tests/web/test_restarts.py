"""Redis, PostgreSQL or the model goes away in mid-answer: the answer goes on or ends in one marked outcome, nothing is doubled.

Real servers, really restarted, under two processes of one installation. Two hundred kills: ``benchmarks/kills.py``.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.db import connection
from django.test import Client
from websockets.exceptions import ConnectionClosed

from chatbot.llm.simulator.app import Simulator
from conversations.models import Author, Conversation, Message, Status, Turn
from knowledge import services as knowledge
from knowledge.tasks import HANDLERS as KNOWLEDGE
from tests.environment import PRODUCTION, free_port
from tests.servers import postgres_away, start_redis_on
from tests.serving import ServerProcess, server_processes, serving
from tests.web.test_crash import A_SECOND, LAST_WORD, SLOW_BOT, Reader, begin, bot_rows
from tests.web.test_sockets import Visit
from workspace import leases
from workspace.models import User, Workspace

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not PRODUCTION, reason="needs BATON_TEST_STACK=production"),
]

GUIDE = """# How long refunds take

Refunds take seven days from the moment a parcel reaches our warehouse. Parcels from abroad may need a few days more.
"""
AWAY_S = 1.5
SILENT_WITHIN_S = 1.2  # the next checkpoint is refused


class RedisOfOurs:
    """A Redis that can go and come back on its port, empty."""

    def __init__(self, folder: Path) -> None:
        self.port, self._folder = free_port(), folder
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process = start_redis_on(self.port, folder)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def back(self) -> None:
        self._process = start_redis_on(self.port, self._folder)

    @contextmanager
    def away(self) -> Iterator[None]:
        self.kill()
        try:
            yield
        finally:
            self.back()


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisOfOurs]:
    server = RedisOfOurs(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def two(
    django_db_setup: None, redis: RedisOfOurs, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[ServerProcess]]:
    with server_processes(SLOW_BOT, 2, tmp_path_factory.mktemp("servers"), REDIS_URL=redis.url) as servers:
        yield servers


class Browser:
    """An agent's browser at one of the servers."""

    def __init__(self, server: ServerProcess, agent: User) -> None:
        client = Client()
        client.force_login(agent)
        cookies = {"sessionid": client.cookies["sessionid"].value, "csrftoken": "c" * 32}
        self.http = httpx.Client(
            base_url=f"http://{server.address}", cookies=cookies, headers={"X-CSRFToken": "c" * 32},
            trust_env=False, timeout=20,
        )  # fmt: skip

    def post(self, path: str) -> int:
        return self.http.post(path).status_code


class Asker:
    """Somebody who opens pages and calls routes at every server, all the time."""

    def __init__(self, servers: list[ServerProcess], paths: list[str], agent: User) -> None:
        self._over, self.statuses = threading.Event(), Counter[int]()
        self.words: list[str] = []
        browsers = [Browser(server, agent) for server in servers]
        self._threads = [threading.Thread(target=self._ask, args=(browser, paths)) for browser in browsers]

    def __enter__(self) -> "Asker":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self, browser: Browser, paths: list[str]) -> None:
        while not self._over.is_set():
            for path in paths:
                answer = browser.http.get(path, headers={"Accept": "text/html"})
                self.statuses[answer.status_code] += 1
                if answer.status_code == 503:
                    self.words.append(answer.text)
            time.sleep(0.05)


@pytest.fixture
def paths(conversation: Conversation) -> list[str]:
    return ["/desk/", f"/desk/{conversation.public_id}/", f"/widget/{conversation.inbox.public_id}/", "/readyz"]


def outcomes(conversation: Conversation) -> list[str]:
    connection.close()  # it may have died with the server
    return list(Turn.objects.of(conversation.workspace_id).order_by("pk").values_list("outcome", flat=True))


def close_code(visit: Visit) -> int | None:
    """With which code the server closed the line, once it has."""
    try:
        while True:
            visit.next()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


def test_an_answer_goes_on_while_redis_is_restarted_and_another_process_has_it_in_the_end(
    two: list[ServerProcess], redis: RedisOfOurs, conversation: Conversation, mei: User, paths: list[str]
) -> None:
    here, there = two
    with Visit(here.address, conversation) as visit, Visit(there.address, conversation) as elsewhere:
        elsewhere.hello()
        with Asker(two, paths, mei) as asker:
            reader, _ = begin(visit, shown_s=1.0)
            with redis.away():
                time.sleep(AWAY_S)
            reader.read(lambda reader: reader.answers())
        watcher = Reader(elsewhere)
        watcher.read(lambda watcher: watcher.answers())
    assert LAST_WORD.strip() in reader.answers()[0]["html"]  # of the live text the end may be lost to it
    assert len(reader.answers()) == len(watcher.answers()) == 1
    assert outcomes(conversation) == ["answered"]
    assert [state for state, _ in bot_rows(conversation)] == [Message.State.COMPLETE]
    assert set(asker.statuses) <= {200, 503}, asker.statuses
    assert asker.statuses[200]


def test_a_message_sent_while_redis_is_away_is_acknowledged_and_answered(
    two: list[ServerProcess], redis: RedisOfOurs, conversation: Conversation
) -> None:
    with Visit(two[0].address, conversation) as visit:
        visit.hello()
        with redis.away():
            visit.send(type="say", id="1", text="Refunds?")
            reader = Reader(visit)
            reader.read(lambda reader: reader.text)
            time.sleep(AWAY_S)
        reader.read(lambda reader: reader.answers())
    assert outcomes(conversation) == ["answered"]


def test_an_answer_goes_on_while_postgresql_is_restarted(
    two: list[ServerProcess], conversation: Conversation, mei: User, paths: list[str]
) -> None:
    with Visit(two[0].address, conversation) as visit, Asker(two, paths, mei) as asker:
        reader, _ = begin(visit, shown_s=1.0)
        with postgres_away(os.environ["DATABASE_URL"]):
            time.sleep(AWAY_S)
        reader.read(lambda reader: reader.answers())
    assert LAST_WORD.strip() in reader.answers()[0]["html"]  # of the live text the end may be lost to it
    assert outcomes(conversation) == ["answered"]
    assert [state for state, _ in bot_rows(conversation)] == [Message.State.COMPLETE]
    assert set(asker.statuses) <= {200, 503}, asker.statuses
    assert asker.statuses[200]


def test_while_postgresql_is_away_pages_say_so_in_words_and_a_visitor_is_asked_to_come_back(
    two: list[ServerProcess], conversation: Conversation, mei: User, paths: list[str]
) -> None:
    with Visit(two[0].address, conversation) as visit, Visit(two[1].address, conversation) as newcomer:
        visit.hello()
        with Asker(two, paths[:3], mei) as asker, postgres_away(os.environ["DATABASE_URL"]):
            visit.send(type="say", id="1", text="Refunds?")
            newcomer.send(type="hello", token=newcomer.token, after=0, language="en")
            for each in (visit, newcomer):
                assert close_code(each) == 1013
    connection.close()
    with Visit(two[1].address, conversation) as visit:  # as the widget does: the same id again
        visit.hello()
        visit.send(type="say", id="1", text="Refunds?")
        reader = Reader(visit)
        reader.read(lambda reader: reader.answers())
    assert outcomes(conversation) == ["answered"]
    assert Message.objects.of(conversation.workspace_id).filter(author=Author.VISITOR).count() == 1
    assert set(asker.statuses) <= {200, 503}, asker.statuses
    assert asker.words
    assert all("Our records cannot be reached" in words for words in asker.words)


def test_a_takeover_at_another_process_while_redis_is_away_silences_the_bot_with_its_next_checkpoint(
    two: list[ServerProcess], redis: RedisOfOurs, conversation: Conversation, mei: User
) -> None:
    speaking, other = two
    agent = Browser(other, mei)
    with Visit(speaking.address, conversation) as visit:
        reader, turn = begin(visit, shown_s=1.0)
        with redis.away():
            assert agent.post(f"/desk/{conversation.public_id}/take-over/") == 302
            taken = time.monotonic()
            reader.read(lambda reader: any(event["kind"] == "agent.joined" for _, event in reader.events))
            time.sleep(2)
            visit.until_pong()
    late = [at for at, _ in reader.live if at > taken + SILENT_WITHIN_S]
    assert late == []
    conversation.refresh_from_db()
    assert (conversation.status, conversation.holder_id) == (Status.AGENT, mei.pk)
    assert outcomes(conversation) == ["interrupted"]
    ((state, kept),) = bot_rows(conversation)
    assert state == Message.State.INTERRUPTED
    shown = reader.text[turn]
    assert shown.startswith(kept) or kept.startswith(shown)
    assert len(shown) - len(kept) < A_SECOND * 2


def test_an_answer_whose_model_breaks_off_ends_as_interrupted_once_and_the_next_question_is_answered(
    workspace: Workspace, conversation: Conversation, redis: RedisOfOurs, tmp_path: Path
) -> None:
    """The whole application, its own model client, a provider that drops the connection in mid-sentence."""
    collection = knowledge.find_or_create_collection(workspace=workspace, name="shop")
    knowledge.add_file(collection=collection, name="refunds.md", data=GUIDE.encode())
    while leases.run_next(KNOWLEDGE):
        pass
    with (
        serving(Simulator(pause_s=0.02)) as port,
        server_processes(
            "chatbot.asgi:application", 1, tmp_path,
            REDIS_URL=redis.url, DEEPSEEK_BASE_URL=f"http://127.0.0.1:{port}", DEEPSEEK_API_KEY="sk-test",
        ) as (server,),
        Visit(server.address, conversation) as visit,
    ):  # fmt: skip
        visit.hello()
        visit.send(type="say", id="1", text="How long do refunds take? !fault:cut")
        reader = Reader(visit)
        reader.read(lambda reader: any(event["kind"] == "turn.ended" for _, event in reader.events), 60)
        ended = [event["data"] for _, event in reader.events if event["kind"] == "turn.ended"]
        (cut,) = reader.answers()
        visit.send(type="say", id="2", text="How long do refunds take for parcels from abroad?")
        reader.read(lambda reader: len(reader.answers()) == 2, 60)
    assert [each["outcome"] for each in ended] == ["failed"]
    assert ended[0]["error"] in {"truncated", "transport"}  # as the socket saw it
    assert (cut["state"], cut["turn"]) == ("interrupted", ended[0]["turn"])
    assert outcomes(conversation) == ["failed", "answered"]
    assert [state for state, _ in bot_rows(conversation)] == [Message.State.INTERRUPTED, Message.State.COMPLETE]


def test_a_web_process_that_starts_while_postgresql_is_away_serves_once_it_is_back(
    two: list[ServerProcess], redis: RedisOfOurs, conversation: Conversation, tmp_path: Path
) -> None:
    with postgres_away(os.environ["DATABASE_URL"]):
        late = ServerProcess(SLOW_BOT, tmp_path, REDIS_URL=redis.url)
        try:
            late.wait()
        except BaseException:
            late.end()
            raise
    try:
        connection.close()
        with Visit(late.address, conversation) as visit:
            visit.hello()
            visit.send(type="say", id="1", text="Refunds?")
            reader = Reader(visit)
            reader.read(lambda reader: reader.answers())
    finally:
        late.end()
    assert outcomes(conversation) == ["answered"]
