"""What is begun while a question is stored is what its answer uses, and nobody else's."""

import asyncio
from dataclasses import replace

import pytest
from django.db import OperationalError

from chatbot.ahead import Ahead, look_ahead
from chatbot.own_intents import recogniser
from chatbot.store import view_inbox
from chatbot.turn.values import Intent
from chatbot.wiring import Record, stages_for
from conversations.models import Conversation
from tests.chatbot.turn.stages import question


async def found(intent: Intent) -> Intent:
    return intent


def test_an_intent_that_was_looked_up_ahead_is_taken_and_reported() -> None:
    async def classify() -> tuple[Intent, Intent | None]:
        record = Record()
        ahead = Ahead("Refunds?", asyncio.create_task(found(Intent("refund", 0.9))))
        stages = stages_for(question("Refunds?"), record, ahead=ahead)
        return await stages.intents.classify("Refunds?", "en"), record.intent

    taken, reported = asyncio.run(classify())
    assert taken == reported == Intent("refund", 0.9)


@pytest.mark.django_db(transaction=True)
def test_the_intent_of_other_words_is_looked_up_anew(conversation: Conversation) -> None:
    """As where two messages have become one question."""

    async def classify() -> Intent:
        ahead = Ahead("Refunds?", asyncio.create_task(found(Intent("refund", 0.9))))
        stages = stages_for(question("I want to talk to a person, please"), Record(), ahead=ahead)
        return await stages.intents.classify("I want to talk to a person, please", "en")

    assert asyncio.run(classify()).wants_person


@pytest.mark.django_db(transaction=True)
def test_looking_ahead_finds_what_the_recogniser_would(conversation: Conversation) -> None:
    text = "Can I talk to a human?"

    async def look() -> Intent:
        return await look_ahead(conversation.workspace_id, text).finding

    assert asyncio.run(look()) == recogniser().recognise(conversation.workspace_id, text)


@pytest.mark.django_db(transaction=True)
def test_an_intent_that_was_not_found_ahead_is_looked_up_when_it_is_needed(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The database that was away for that moment takes nothing from the answer."""
    asked = "I want to talk to a person, please"
    recognise, tried = recogniser().recognise, []

    def at_second_try(workspace: int, text: str) -> Intent:
        tried.append(text)
        if len(tried) == 1:
            raise OperationalError("server closed the connection")
        return recognise(workspace, text)

    monkeypatch.setattr(recogniser(), "recognise", at_second_try)

    async def classify() -> Intent:
        ahead = look_ahead(conversation.workspace_id, asked)
        stages = stages_for(replace(question(asked), inbox=view_inbox(conversation.inbox)), Record(), ahead=ahead)
        return await stages.intents.classify(asked, "en")

    assert asyncio.run(classify()).wants_person
    assert tried == [asked, asked]
    assert "looking ahead failed" in caplog.text


def test_an_answer_that_ends_leaves_what_is_looked_up_ahead_alone() -> None:
    async def leave() -> Intent | None:
        ahead = Ahead("Refunds?", asyncio.create_task(asyncio.sleep(0.05, Intent("refund", 0.9))))
        waiting = asyncio.create_task(ahead.intent_of("Refunds?"))
        await asyncio.sleep(0.01)
        waiting.cancel()
        return await ahead.intent_of("Refunds?")

    assert asyncio.run(leave()) == Intent("refund", 0.9)
