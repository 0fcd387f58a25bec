"""From a platform's message to the answer on that platform: real rows, a real HTTP server that plays the platform."""

import asyncio
import contextlib
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery
from django.db import connection
from django.test import Client
from django.utils import timezone
from django.utils.translation import gettext, override
from standardwebhooks.webhooks import Webhook as Standard

from chatbot import store, tasks
from chatbot.replies import TEXTS
from chatbot.tasks import HANDLERS
from conversations import services
from conversations.models import Author, Conversation, Inbox, Message, Status, Turn
from knowledge import services as knowledge
from tests.environment import PRODUCTION, free_port
from tests.outside import Outside, Say, outside, telegram_says
from tests.servers import start_redis_on
from tests.serving import serving
from workspace import leases
from workspace.models import Job, User, Workspace

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).parents[2]
FAQ = "question,similar questions,answer\nDo you ship to Norway?,,We ship to Norway in ten days.\n"
QUESTION, ANSWER = "Do you ship to Norway?", "We ship to Norway in ten days."
RETAKEN_WITHIN_S = 15.0
SECRET = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"

only_with_celery = pytest.mark.skipif(not PRODUCTION, reason="needs BATON_TEST_STACK=production")


@pytest.fixture
def telegram() -> Iterator[Outside]:
    """Telegram, as far as we use it."""
    with outside() as server:
        server.answers = [telegram_says()]
        yield server


@pytest.fixture
def bot(workspace: Workspace, telegram: Outside) -> Inbox:
    """A Telegram inbox with something to answer from."""
    collection = knowledge.find_or_create_collection(workspace=workspace, name="shop")
    knowledge.add_file(collection=collection, name="faq.csv", data=FAQ.encode())
    work()
    credentials = {"bot_token": "1:T", "secret_token": "s3cret", "bot_username": "acme_bot", "api": telegram.address}
    return Inbox.objects.of(workspace).create(name="Bot", kind="telegram", credentials=credentials)


def write(bot: Inbox, text: str = QUESTION, update: int = 1) -> Any:
    """Telegram tells us what somebody wrote."""
    body = {
        "update_id": update,
        "message": {
            "message_id": update, "date": 1, "text": text,
            "from": {"id": 7, "is_bot": False, "first_name": "Li"}, "chat": {"id": 7, "type": "private"},
        },
    }  # fmt: skip
    return Client().post(
        f"/webhooks/{bot.public_id}/",
        json.dumps(body),
        content_type="application/json",
        headers={"x-telegram-bot-api-secret-token": "s3cret"},
    )


def _wait(*_: object) -> None:
    raise leases.RetryLater(600, "busy")


def work() -> None:
    """Do what is due now, as a worker would."""
    while leases.run_next(HANDLERS):
        pass


def work_as_if_it_were_time() -> None:
    Job.every.filter(status=Job.Status.QUEUED).update(run_at=timezone.now())
    work()


def bot_message(inbox: Inbox) -> Message:
    return Message.objects.of(inbox.workspace).get(author=Author.BOT)


def delivered(inbox: Inbox) -> int:
    return Message.objects.of(inbox.workspace).filter(delivery=Message.Delivery.SENT).count()


def delivery_job(inbox: Inbox) -> Job:
    return Job.objects.of(inbox.workspace).get(kind=services.DELIVER_JOB)


def texts(server: Outside) -> list[str]:
    return [asked.json["text"] for asked in server.asked]


def eventually(true: Callable[[], bool], patience_s: float = 90.0) -> None:
    until = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.1)


def test_a_question_on_telegram_is_answered_there(bot: Inbox, telegram: Outside) -> None:
    assert write(bot).status_code == 200
    turn = Turn.objects.of(bot.workspace).get()
    owed = Job.objects.of(bot.workspace).get(kind=services.ANSWER_JOB)
    assert (owed.payload, owed.status) == ({"turn": turn.public_id}, Job.Status.QUEUED)
    assert telegram.asked == []

    work()
    (asked,) = telegram.asked
    assert asked.path == "/bot1:T/sendMessage"
    assert asked.json["chat_id"] == "7"
    assert ANSWER in asked.json["text"]
    assert bot_message(bot).delivery == Message.Delivery.SENT
    turn.refresh_from_db()
    assert turn.outcome == Turn.Outcome.ANSWERED
    assert set(Job.objects.of(bot.workspace).values_list("status", flat=True)) == {Job.Status.DONE}


def test_what_telegram_sends_twice_is_answered_once(bot: Inbox, telegram: Outside) -> None:
    write(bot)
    work()
    write(bot)
    work()
    assert len(telegram.asked) == 1


def test_a_message_without_a_source_is_answered_too(bot: Inbox, telegram: Outside) -> None:
    write(bot, "Who won the football match last night?")
    work()
    assert "no source" in texts(telegram)[0]


def test_a_job_run_again_after_its_worker_died_says_nothing_twice(bot: Inbox, telegram: Outside) -> None:
    write(bot)
    work()
    Job.objects.of(bot.workspace).update(status=Job.Status.QUEUED, ended_at=None)
    work()
    assert len(telegram.asked) == 1
    assert Message.objects.of(bot.workspace).filter(author=Author.BOT).count() == 1


class TestAPlatformThatFails:
    def test_a_delivery_that_fails_once_is_tried_again_and_is_one_message(self, bot: Inbox, telegram: Outside) -> None:
        telegram.answers = [Say(500), telegram_says()]
        write(bot)
        work()
        job = delivery_job(bot)
        assert (job.status, bot_message(bot).delivery) == (Job.Status.QUEUED, Message.Delivery.PENDING)
        assert job.run_at > timezone.now()
        work()
        assert len(telegram.asked) == 1

        work_as_if_it_were_time()
        assert len(set(texts(telegram))) == 1
        assert len(telegram.asked) == 2
        assert bot_message(bot).delivery == Message.Delivery.SENT

    def test_each_try_waits_longer_than_the_one_before(self, bot: Inbox, telegram: Outside) -> None:
        telegram.answers = [Say(503)]
        write(bot)
        waits = []
        for _ in range(14):
            work_as_if_it_were_time()
            waits.append((delivery_job(bot).run_at - timezone.now()).total_seconds())
        assert waits[0] == pytest.approx(tasks.FIRST_RETRY_S, abs=2)
        assert waits[3] == pytest.approx(tasks.FIRST_RETRY_S * 8, abs=2)
        assert waits[-1] == pytest.approx(tasks.LONGEST_RETRY_S, abs=2)

    def test_a_server_that_is_not_there_is_tried_again_too(self, bot: Inbox) -> None:
        bot.credentials = bot.credentials | {"api": "http://127.0.0.1:9"}
        bot.save()
        write(bot)
        work()
        assert (delivery_job(bot).status, delivery_job(bot).error) == (Job.Status.QUEUED, "ConnectError")

    @pytest.mark.parametrize(("asked_s", "waits_s"), [(7, 7), (10**9, tasks.LONGEST_RETRY_S)])
    def test_too_many_requests_waits_as_long_as_telegram_says_within_reason(
        self, bot: Inbox, telegram: Outside, asked_s: int, waits_s: float
    ) -> None:
        telegram.answers = [Say(429, {"ok": False, "parameters": {"retry_after": asked_s}}), telegram_says()]
        write(bot)
        work()
        wait = (delivery_job(bot).run_at - timezone.now()).total_seconds()
        assert wait == pytest.approx(waits_s, abs=2)
        work_as_if_it_were_time()
        assert bot_message(bot).delivery == Message.Delivery.SENT

    def test_a_visitor_who_blocked_the_bot_is_a_failed_delivery_not_an_endless_one(
        self, bot: Inbox, telegram: Outside
    ) -> None:
        telegram.answers = [Say(403, {"ok": False, "description": "Forbidden: bot was blocked by the user"})]
        write(bot)
        work()
        job = delivery_job(bot)
        assert (job.status, bot_message(bot).delivery) == (Job.Status.DEAD, Message.Delivery.FAILED)
        assert "blocked by the user" in job.error
        work_as_if_it_were_time()
        assert len(telegram.asked) == 1

    def test_an_administrator_sees_what_was_given_up(self, bot: Inbox, telegram: Outside) -> None:
        telegram.answers = [Say(403, {"ok": False, "description": "Forbidden: bot was blocked by the user"})]
        write(bot)
        work()
        client = Client()
        client.force_login(User.objects.create_superuser("root"))
        page = client.get("/admin/workspace/job/?status__exact=dead").content.decode()
        assert "given up" in page
        assert "blocked by the user" in page

    def test_a_platform_that_stays_away_for_a_day_is_given_up(self, bot: Inbox, telegram: Outside) -> None:
        telegram.answers = [Say(503)]
        write(bot)
        work()
        Job.every.update(created_at=timezone.now() - tasks.PATIENCE - dt.timedelta(minutes=1))
        work_as_if_it_were_time()
        assert (delivery_job(bot).status, bot_message(bot).delivery) == (Job.Status.DEAD, Message.Delivery.FAILED)

    def test_a_long_message_goes_on_after_its_last_part_that_arrived(
        self, bot: Inbox, telegram: Outside, mei: User
    ) -> None:
        write(bot)
        work()
        conversation = Conversation.objects.of(bot.workspace).get()
        services.take_over(conversation_id=conversation.pk, agent=mei)
        long = " ".join(f"word{number}" for number in range(900))
        services.reply(conversation_id=conversation.pk, agent=mei, text=long, client_id="r1")
        telegram.asked.clear()
        telegram.answers = [telegram_says(1), Say(500), telegram_says(2)]

        work()
        work_as_if_it_were_time()
        first, second, again = texts(telegram)
        assert second == again
        assert f"{first} {second}" == long
        assert Message.objects.of(bot.workspace).get(author=Author.AGENT).delivery == Message.Delivery.SENT


class TestPeople:
    def test_what_an_agent_writes_goes_out_as_it_is(self, bot: Inbox, telegram: Outside, mei: User) -> None:
        write(bot)
        work()
        conversation = Conversation.objects.of(bot.workspace).get()
        services.take_over(conversation_id=conversation.pk, agent=mei)
        services.reply(conversation_id=conversation.pk, agent=mei, text="*Hi*, this is Mei. 😀", client_id="r1")
        work()
        assert texts(telegram)[-1] == "*Hi*, this is Mei. 😀"

    @pytest.mark.parametrize(("words", "language"), [("I want to talk to a person", "en"), ("转人工", "zh-hans")])
    def test_asking_for_a_person_queues_and_says_so(
        self, bot: Inbox, telegram: Outside, words: str, language: str
    ) -> None:
        write(bot, words)
        work()
        assert Conversation.objects.of(bot.workspace).get().status == Status.QUEUED
        with override(language):
            assert texts(telegram) == [gettext(TEXTS["handed_off"])]

    def test_in_the_queue_the_bot_is_silent(self, bot: Inbox, telegram: Outside) -> None:
        write(bot, "I want to talk to a person")
        work()
        write(bot, QUESTION, update=2)
        work()
        assert len(telegram.asked) == 1

    def test_an_agent_who_was_faster_than_the_job_is_the_only_one_to_answer(
        self, bot: Inbox, telegram: Outside, mei: User
    ) -> None:
        write(bot)
        conversation = Conversation.objects.of(bot.workspace).get()
        services.take_over(conversation_id=conversation.pk, agent=mei)
        work()
        assert telegram.asked == []
        assert Job.objects.of(bot.workspace).get(kind=services.ANSWER_JOB).status == Job.Status.DONE

    def test_what_is_handed_back_unanswered_is_answered_by_the_bot(
        self, bot: Inbox, telegram: Outside, mei: User
    ) -> None:
        write(bot)
        conversation = Conversation.objects.of(bot.workspace).get()
        services.take_over(conversation_id=conversation.pk, agent=mei)
        services.hand_back(conversation_id=conversation.pk, agent=mei)
        work()
        assert len(telegram.asked) == 1
        assert ANSWER in texts(telegram)[0]

    def test_two_questions_cut_off_before_a_word_was_shown_are_both_answered(
        self, bot: Inbox, telegram: Outside, mei: User
    ) -> None:
        write(bot, "Hello")
        write(bot, QUESTION, update=2)
        conversation = Conversation.objects.of(bot.workspace).get()
        services.take_over(conversation_id=conversation.pk, agent=mei)
        turn = services.hand_back(conversation_id=conversation.pk, agent=mei)
        assert asyncio.run(store.load_turn(turn.public_id)).question.text == f"Hello\n{QUESTION}"


class TestSignedWebhook:
    @pytest.fixture
    def shop(self, bot: Inbox, telegram: Outside) -> Inbox:
        credentials = {"secrets": [SECRET], "url": f"{telegram.address}/hooks"}
        return Inbox.objects.of(bot.workspace).create(name="Shop", kind="generic", credentials=credentials)

    def ask(self, shop: Inbox) -> None:
        services.receive_from_platform(inbox=shop, dedupe_keys=("d1",), user_id="u", thread_id="c-9", text=QUESTION)
        work()

    def test_the_answer_goes_to_the_owner_s_address_signed(self, shop: Inbox, telegram: Outside, settings) -> None:
        settings.BATON_FETCH_ALLOW = frozenset({telegram.host})
        self.ask(shop)
        (asked,) = telegram.asked
        Standard(SECRET).verify(asked.body, dict(asked.headers))
        data = asked.json["data"]
        assert (data["conversation_id"], data["author"]) == ("c-9", "bot")
        assert ANSWER in data["message"]["text"]
        assert data["citations"]
        assert bot_message(shop).delivery == Message.Delivery.SENT

    def test_an_address_inside_the_own_network_is_never_called_and_the_message_is_marked(
        self, shop: Inbox, telegram: Outside
    ) -> None:
        self.ask(shop)
        assert telegram.asked == []
        assert (delivery_job(shop).status, bot_message(shop).delivery) == (Job.Status.DEAD, Message.Delivery.FAILED)

    def test_a_delivery_that_every_worker_died_of_is_marked(self, shop: Inbox, telegram: Outside, settings) -> None:
        settings.BATON_FETCH_ALLOW = frozenset({telegram.host})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("chatbot.tasks._deliver", _wait)
            self.ask(shop)
        lost = {"status": "running", "attempts": leases.MAX_DEATHS, "lease_until": timezone.now()}
        Job.every.filter(kind=services.DELIVER_JOB).update(**lost)
        work()
        assert (delivery_job(shop).status, bot_message(shop).delivery) == (Job.Status.DEAD, Message.Delivery.FAILED)

    def test_a_secret_that_is_none_ends_as_a_failed_delivery(self, shop: Inbox, telegram: Outside, settings) -> None:
        settings.BATON_FETCH_ALLOW = frozenset({telegram.host})
        shop.credentials = shop.credentials | {"secrets": ["whsec_not base64!"]}
        shop.save()
        self.ask(shop)
        for _ in range(leases.MAX_FAILURES):
            work_as_if_it_were_time()
        assert (delivery_job(shop).status, bot_message(shop).delivery) == (Job.Status.DEAD, Message.Delivery.FAILED)


def test_a_thread_of_the_server_does_the_jobs(bot: Inbox, telegram: Outside, settings) -> None:
    from chatbot.asgi import application

    settings.WORKER_THREADS = 1
    with serving(application, lifespan="on") as port:
        began = time.monotonic()
        answer = httpx.post(
            f"http://127.0.0.1:{port}/webhooks/{bot.public_id}/",
            json={
                "update_id": 1,
                "message": {
                    "message_id": 1, "date": 1, "text": QUESTION,
                    "from": {"id": 7, "is_bot": False}, "chat": {"id": 7, "type": "private"},
                },
            },
            headers={"x-telegram-bot-api-secret-token": "s3cret"},
            trust_env=False,
        )  # fmt: skip
        assert answer.status_code == 200
        assert ANSWER in telegram.wait_for(1)[0].json["text"]
        assert time.monotonic() - began < 10
        eventually(lambda: bot_message(bot).delivery == Message.Delivery.SENT)


@pytest.mark.django_db(transaction=True)
class TestCrew:
    def test_jobs_are_done_several_at_a_time(self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        together = threading.Barrier(3, timeout=20)
        monkeypatch.setitem(tasks.HANDLERS, "meet", lambda job: together.wait())
        for _ in range(3):
            leases.enqueue(workspace=workspace, kind="meet", payload={})
        tasks.Crew(3).work()
        assert set(Job.every.filter(kind="meet").values_list("status", flat=True)) == {Job.Status.DONE}

    def test_what_comes_while_one_works_long_does_not_wait_for_it(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        went_on = threading.Event()

        def long(job: Job) -> None:
            leases.enqueue(workspace=workspace, kind="short", payload={})
            assert went_on.wait(20)

        looked: list[int] = []
        monkeypatch.setattr(tasks, "look_after", lambda: looked.append(1))
        monkeypatch.setitem(tasks.HANDLERS, "long", long)
        monkeypatch.setitem(tasks.HANDLERS, "short", lambda job: went_on.set())
        leases.enqueue(workspace=workspace, kind="long", payload={})
        tasks.Crew(2).work()
        assert set(Job.every.values_list("status", flat=True)) == {Job.Status.DONE}
        assert looked


@only_with_celery
class TestCelery:
    @pytest.fixture(autouse=True)
    def _bells(self) -> Iterator[None]:
        """As a server process does when it starts."""
        before = list(leases._bells)
        tasks.connect_bells()
        yield
        leases._bells[:] = before

    def test_a_worker_is_woken_and_answers(self, bot: Inbox, telegram: Outside, tmp_path: Path) -> None:
        """Without beat: nothing but the bell can wake it."""
        with celery_worker(tmp_path):
            write(bot)
            assert ANSWER in telegram.wait_for(1, patience_s=90)[0].json["text"]
            eventually(lambda: bot_message(bot).delivery == Message.Delivery.SENT)

    def test_what_a_killed_worker_left_behind_is_done_by_another_within_fifteen_seconds(
        self, bot: Inbox, telegram: Outside, tmp_path: Path
    ) -> None:
        telegram.answers = [Say(after_s=60), telegram_says()]
        with celery_worker(tmp_path) as first:
            write(bot)
            telegram.wait_for(1, patience_s=90)
            with celery_worker(tmp_path, "--beat", "--schedule", str(tmp_path / "beat")):
                os.killpg(first.pid, signal.SIGKILL)
                killed = time.monotonic()
                assert delivery_job(bot).status == Job.Status.RUNNING
                telegram.wait_for(2, patience_s=60)
                assert time.monotonic() - killed < RETAKEN_WITHIN_S
                eventually(lambda: bot_message(bot).delivery == Message.Delivery.SENT)
        job = delivery_job(bot)
        assert (job.status, job.attempts) == (Job.Status.DONE, 2)
        assert Message.objects.of(bot.workspace).filter(author=Author.BOT).count() == 1

    def test_a_worker_lives_on_when_redis_was_away_while_bells_waited_in_it(
        self, bot: Inbox, telegram: Outside, tmp_path: Path
    ) -> None:
        """A killed Redis, with one job being done and more bells delivered to the worker than it can begin."""
        port = free_port()
        redis, url = start_redis_on(port, tmp_path), f"redis://127.0.0.1:{port}/0"
        telegram.answers = [replace(telegram_says(), after_s=4), telegram_says()]
        try:
            with celery_worker(tmp_path, "--beat", "--schedule", str(tmp_path / "beat"), REDIS_URL=url) as worker:
                write(bot)
                telegram.wait_for(1, patience_s=90)
                with Celery(broker=url) as bells:
                    for _ in range(3):
                        bells.send_task("chatbot.tasks.work")
                time.sleep(1)
                redis.kill()
                redis.wait(10)
                time.sleep(1)
                redis = start_redis_on(port, tmp_path)
                write(bot, update=2)
                eventually(lambda: delivered(bot) == 2, patience_s=40)
                assert worker.poll() is None
        finally:
            redis.kill()

    def test_with_the_broker_away_a_message_is_taken_in_all_the_same(self, bot: Inbox, settings) -> None:
        from chatbot.celery import app

        broker = app.conf.broker_url
        app.conf.broker_url = "redis://127.0.0.1:9/0"
        app.pool.force_close_all()
        try:
            began = time.monotonic()
            assert write(bot).status_code == 200
            assert time.monotonic() - began < 5
        finally:
            app.conf.broker_url = broker
        assert Job.objects.of(bot.workspace).get(kind=services.ANSWER_JOB).status == Job.Status.QUEUED


@contextlib.contextmanager
def celery_worker(folder: Path, *options: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process of its own, on the test's database and broker, once it answers."""
    name = f"test-{time.monotonic_ns()}@here"
    url = f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{connection.settings_dict['NAME']}"
    with (folder / "celery.log").open("ab") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "chatbot", "worker", "-n", name, "-c", "1", *options],
            cwd=ROOT, env=os.environ | {"DATABASE_URL": url} | environment, start_new_session=True, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        with Celery(broker=environment.get("REDIS_URL", os.environ["REDIS_URL"])) as asking:
            eventually(lambda: bool(asking.control.ping([name], timeout=0.5)))
        yield worker
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGTERM)
        try:
            worker.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait(5)
