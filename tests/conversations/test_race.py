"""Law 1 under concurrency: a bot that streams and finishes against agents who take over, many times at once."""

import random
import threading
import time
from functools import partial

import pytest
from django.db import connection, transaction

from conversations import services
from conversations.identity import Person, identify, new_known_contact
from conversations.models import Author, Contact, Conversation, Event, Inbox, Message, Status, Turn
from conversations.services import AlreadyTaken, LineTaken, TurnResult
from tests.conftest import person
from workspace.models import Workspace
from workspace.roles import Role

ATTEMPTS = 200
WORKERS = 8
HELD_S = 0.3


def in_thread(task) -> threading.Thread:
    def run() -> None:
        try:
            task()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.django_db(transaction=True)
def test_after_a_takeover_no_bot_row_is_written_in_200_races(workspace: Workspace, inbox: Inbox) -> None:
    agent = person(workspace, "mei", "Mei", Role.AGENT)
    places = threading.Semaphore(WORKERS)
    dice = random.Random(20261124)
    seen: dict[str, int] = {"bot first": 0, "agent first": 0}
    problems: list[str] = []

    def race(number: int, checkpoints: int, head_start: float) -> None:
        with places:
            contact = services.new_contact(inbox=inbox)
            conversation = services.open_conversation(inbox=inbox, contact=contact)
            turn = services.add_visitor_message(conversation_id=conversation.pk, text="Hi", client_id="c").turn
            both = threading.Barrier(2)

            def bot() -> None:
                both.wait()
                try:
                    for step in range(checkpoints):
                        services.checkpoint_turn(turn_id=turn.pk, shown="word " * (step + 1))
                    services.finish_turn(turn_id=turn.pk, result=TurnResult(Turn.Outcome.ANSWERED, "word " * 50))
                    seen["bot first"] += 1
                except LineTaken:
                    seen["agent first"] += 1
                except Exception as problem:
                    problems.append(f"{number}: {problem!r}")

            writing = in_thread(bot)
            both.wait()
            threading.Event().wait(head_start)
            services.take_over(conversation_id=conversation.pk, agent=agent)
            at_takeover = Conversation.every.get(pk=conversation.pk).last_seq
            writing.join()
            connection.close()

            after = Conversation.every.get(pk=conversation.pk)
            if after.last_seq != at_takeover:
                problems.append(f"{number}: something was written after the takeover")
            if (after.status, after.holder_id) != (Status.AGENT, agent.pk):
                problems.append(f"{number}: {after.status}")
            bot_rows = Message.every.filter(conversation=conversation, author=Author.BOT)
            joined = Event.every.get(conversation=conversation, type="agent.joined").seq
            if bot_rows.filter(seq__gt=joined).exists() or bot_rows.count() > 1:
                problems.append(f"{number}: a bot row after the takeover")
            if Turn.every.get(pk=turn.pk).outcome == Turn.Outcome.RUNNING:
                problems.append(f"{number}: the turn never ended")

    plans = [(number, dice.randrange(6), dice.random() * 0.02) for number in range(ATTEMPTS)]
    races = [in_thread(partial(race, *plan)) for plan in plans]
    for each in races:
        each.join()

    assert problems == []
    assert sum(seen.values()) == ATTEMPTS
    assert min(seen.values()) > 0, f"the race was never close: {seen}"


@pytest.mark.django_db(transaction=True)
def test_of_many_agents_at_once_exactly_one_gets_the_line(workspace: Workspace, inbox: Inbox) -> None:
    agents = [person(workspace, f"agent{n}", f"Agent {n}", Role.AGENT) for n in range(6)]
    for _ in range(10):
        conversation = services.open_conversation(inbox=inbox, contact=services.new_contact(inbox=inbox))
        start, outcomes = threading.Barrier(len(agents)), []

        def take(agent, conversation=conversation, start=start, outcomes=outcomes) -> None:
            start.wait()
            try:
                services.take_over(conversation_id=conversation.pk, agent=agent)
                outcomes.append(str(agent))
            except AlreadyTaken as refused:
                outcomes.append(f"told: {refused.holder}")

        for thread in [in_thread(lambda agent=agent: take(agent)) for agent in agents]:
            thread.join()
        winners = [outcome for outcome in outcomes if not outcome.startswith("told")]
        assert len(winners) == 1
        assert outcomes.count(f"told: {winners[0]}") == len(agents) - 1


@pytest.mark.django_db(transaction=True)
def test_a_message_sent_fifty_times_at_once_is_stored_once(inbox: Inbox) -> None:
    conversation = services.open_conversation(inbox=inbox, contact=services.new_contact(inbox=inbox))
    results: list[bool] = []

    def send() -> None:
        added = services.add_visitor_message(conversation_id=conversation.pk, text="Hi", client_id="same")
        results.append(added.duplicate)

    for thread in [in_thread(send) for _ in range(50)]:
        thread.join()
    assert sorted(results) == [False, *[True] * 49]
    assert Message.every.filter(conversation=conversation).count() == 1
    assert Turn.every.filter(conversation=conversation).count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_details_that_are_left_in_two_places_at_once_none_is_lost(conversation: Conversation) -> None:
    first_is_there = threading.Event()

    def first() -> None:
        with transaction.atomic():
            services.leave_details(conversation_id=conversation.pk, email="ana@example.com")
            first_is_there.set()
            time.sleep(HELD_S)

    leaving = in_thread(first)
    assert first_is_there.wait(10)
    services.leave_details(conversation_id=conversation.pk, phone="+34 600 000 000")
    leaving.join()
    contact = Contact.every.get(pk=conversation.contact_id)
    assert (contact.email, contact.phone) == ("ana@example.com", "+34 600 000 000")


@pytest.mark.django_db(transaction=True)
def test_what_is_said_while_the_visitor_becomes_known_is_stored(inbox: Inbox, conversation: Conversation) -> None:
    """The conversation's contact is another one by the time that its row may be read."""
    ana = Person(key="42", name="Ana")
    known = new_known_contact(inbox=inbox, person=ana, language="en")
    is_known = threading.Event()

    def log_in() -> None:
        with transaction.atomic():
            identify(inbox=inbox, person=ana, current=Conversation.every.get(pk=conversation.pk))
            is_known.set()
            time.sleep(HELD_S)

    logging_in = in_thread(log_in)
    assert is_known.wait(10)
    added = services.add_visitor_message(conversation_id=conversation.pk, text="Refunds?", client_id="1")
    logging_in.join()
    assert added.turn
    assert added.turn.conversation.contact_id == known.pk
