"""Processes killed and paused in mid-answer: the visitor knows within five seconds, and nothing is answered twice."""

import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from conversations import services
from conversations.models import Author, Conversation, Inbox, Message, Turn
from tests.environment import PRODUCTION
from tests.outside import Outside, Say, outside, telegram_says
from tests.serving import ServerProcess, server_processes
from tests.web.test_sockets import Visit
from workspace.models import Job, Workspace

pytestmark = pytest.mark.django_db(transaction=True)

SLOW_BOT = "tests.web.slow_bot:application"
A_SECOND = int(9 / 0.05)  # characters that the slow bot says in a second
LAST_WORD = "Word 69. "

KNOWN_WITHIN_S = 5.0
RETAKEN_WITHIN_S = 15.0
MOST_LOST_S = 1.0
SLACK_S = 0.4  # a checkpoint on its way, a tick


@pytest.fixture(scope="module")
def two(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ServerProcess]]:
    """Two servers of one installation; the last test kills one. In the trial each has a thread for jobs."""
    threads = "0" if PRODUCTION else "1"
    with server_processes(SLOW_BOT, 2, tmp_path_factory.mktemp("servers"), BATON_WORKER_THREADS=threads) as servers:
        yield servers


@pytest.fixture
def telegram(workspace: Workspace) -> Iterator[Outside]:
    with outside() as server:
        credentials = {"bot_token": "1:T", "secret_token": "s3cret", "bot_username": "acme_bot", "api": server.address}
        Inbox.objects.of(workspace).create(name="Bot", kind="telegram", credentials=credentials)
        server.answers = [Say(after_s=60), telegram_says()]
        yield server


class Reader:
    """A visitor who reads: the live text by turn, and the events, each with the moment it came."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self.text: dict[str, str] = {}
        self.events: list[tuple[float, dict[str, Any]]] = []
        self.live: list[tuple[float, str]] = []

    def read(self, until: Any, patience_s: float = 20.0) -> None:
        end = time.monotonic() + patience_s
        while not until(self):
            assert time.monotonic() < end, f"it did not come: {self.events}"
            try:
                frame = self._visit.next()
            except TimeoutError:
                pytest.fail(f"nothing more came after {self.events}, {self.text}")
            if frame["type"] == "delta":
                before = self.text.get(frame["turn"], "")
                self.text[frame["turn"]] = before[: frame["from"]] + frame["text"]
                self.live.append((time.monotonic(), frame["turn"]))
            elif frame["type"] == "event":
                self.events.append((time.monotonic(), frame))

    def ended(self, turn: str) -> dict[str, Any] | None:
        for _, event in self.events:
            if event["kind"] == "turn.ended" and event["data"]["turn"] == turn:
                return event
        return None

    def answers(self) -> list[dict[str, Any]]:
        said = [event["message"] for _, event in self.events if event["kind"] == "message.added"]
        return [message for message in said if message["author"] == "bot"]


def begin(visit: Visit, shown_s: float = 2.2) -> tuple[Reader, str]:
    """Ask, and read for a while."""
    visit.hello()
    visit.send(type="say", id="1", text="Refunds?")
    reader = Reader(visit)
    reader.read(lambda reader: any(len(text) > A_SECOND * shown_s for text in reader.text.values()))
    (turn,) = reader.text
    return reader, turn


def bot_rows(conversation: Conversation) -> list[tuple[str, str]]:
    rows = Message.objects.of(conversation.workspace_id).filter(conversation=conversation, author=Author.BOT)
    return [(row.state, row.text) for row in rows]


def test_a_paused_server_finds_that_its_answer_has_ended_and_says_nothing_more(
    two: list[ServerProcess], conversation: Conversation
) -> None:
    slow, other = two
    with Visit(slow.address, conversation) as visit, Visit(other.address, conversation) as elsewhere:
        elsewhere.hello()
        watcher = Reader(elsewhere)
        _, turn = begin(visit, shown_s=1.5)
        slow.signal(signal.SIGSTOP)
        paused = time.monotonic()
        watcher.read(lambda reader: reader.ended(turn))
        assert time.monotonic() - paused < KNOWN_WITHIN_S
        if PRODUCTION:
            assert len(watcher.text[turn]) > A_SECOND, "the other process saw nothing live"

        elsewhere.send(type="again", turn=turn)
        resume = threading.Timer(1.0, slow.signal, args=[signal.SIGCONT])
        resume.start()
        ended = time.monotonic()
        watcher.read(lambda reader: len(reader.answers()) == 2)
        resume.join()
        late = [at for at, of in watcher.live if of == turn and at > ended]
    assert late == []
    (first, _), (second, whole) = bot_rows(conversation)
    assert (first, second) == (Message.State.INTERRUPTED, Message.State.COMPLETE)
    assert whole.endswith(LAST_WORD)
    rows = Turn.objects.of(conversation.workspace_id).order_by("pk")
    assert [row.outcome for row in rows] == ["interrupted", "answered"]


@pytest.mark.skipif(not PRODUCTION, reason="needs BATON_TEST_STACK=production")
def test_two_processes_never_answer_at_the_same_time(two: list[ServerProcess], conversation: Conversation) -> None:
    one, other = two
    with Visit(one.address, conversation) as here, Visit(other.address, conversation) as there:
        here.hello()
        there.hello()
        here.send(type="say", id="1", text="Hello there, I bought a grinder.")
        here.send(type="typing")
        time.sleep(0.5)
        there.send(type="say", id="2", text="Refunds?")
        reader = Reader(there)
        reader.read(lambda reader: reader.answers())
        first = reader.answers()[0]
        there.send(type="again", turn=first["turn"])
        reader.read(lambda reader: any(len(text) > 60 for turn, text in reader.text.items() if turn != first["turn"]))
        here.send(type="edit", message=first["of"], id="3", text="Do refunds take long?")
        reader.read(lambda reader: len(reader.answers()) == 3, 30)
    rows = Turn.objects.of(conversation.workspace_id).order_by("pk")
    assert [row.outcome for row in rows] == ["merged", "answered", "superseded", "answered"]


def test_a_server_killed_in_mid_answer_is_known_within_five_seconds_and_the_visitor_can_go_on(
    two: list[ServerProcess], conversation: Conversation, telegram: Outside
) -> None:
    """In the trial a delivery hangs in the same process; another's thread retakes it within fifteen."""
    dying, living = two if PRODUCTION else _who_delivers(two, telegram)
    with Visit(dying.address, conversation) as visit:
        reader, turn = begin(visit)
        dying.signal(signal.SIGKILL)
        killed = time.monotonic()
    shown, after = reader.text[turn], max(event["seq"] for _, event in reader.events)
    with Visit(living.address, conversation) as visit:
        visit.send(type="hello", token=visit.token, after=after, language="en")
        back = Reader(visit)
        back.read(lambda reader: reader.ended(turn))
        assert time.monotonic() - killed < KNOWN_WITHIN_S
        ((state, kept),) = bot_rows(conversation)
        assert back.ended(turn)["data"] == {"turn": turn, "outcome": "interrupted", "error": "process_lost"}
        assert state == Message.State.INTERRUPTED
        assert shown.startswith(kept)
        assert len(shown) - len(kept) <= A_SECOND * (MOST_LOST_S + SLACK_S)

        visit.send(type="again", turn=turn)
        back.read(lambda reader: len(reader.answers()) == 2)
    cut, whole = back.answers()
    assert (cut["state"], cut["variant"], whole["state"], whole["variant"]) == ("interrupted", 1, "complete", 2)
    assert cut["of"] == whole["of"]
    assert bot_rows(conversation)[1][1].endswith(LAST_WORD)
    if not PRODUCTION:  # Celery's workers: tests/chatbot/test_tasks.py
        telegram.wait_for(2, patience_s=30)
        assert time.monotonic() - killed < RETAKEN_WITHIN_S


def _who_delivers(servers: list[ServerProcess], telegram: Outside) -> list[ServerProcess]:
    """Let one of the servers begin a delivery that hangs; that one comes first."""
    bot = Inbox.every.get(kind="telegram")
    services.receive_from_platform(
        inbox=bot, dedupe_keys=("u1",), user_id="7", thread_id="7", text="[voice]", fixed_reply="I can only read text."
    )
    telegram.wait_for(1, patience_s=20)
    holder = Job.objects.of(bot.workspace_id).get(kind=services.DELIVER_JOB).leased_by
    return sorted(servers, key=lambda server: f":{server.pid}:" not in holder)
