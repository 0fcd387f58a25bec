"""What is begun while a question is stored is what its answer uses, and nobody else's."""

import asyncio

import pytest

from chatbot.ahead import Ahead, look_ahead
from chatbot.own_intents import recogniser
from chatbot.turn.values import Intent
from chatbot.wiring import Record, stages_for
from conversations.models import Conversation
from knowledge.embedding import encoder
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
def test_looking_ahead_finds_what_the_recogniser_would_and_leaves_the_vector(conversation: Conversation) -> None:
    text = "How long do refunds take at your shop?"

    async def look() -> Intent:
        return await look_ahead(conversation.workspace_id, text).intent

    intent = asyncio.run(look())
    remembered = encoder().encode_question.cache_info().misses  # type: ignore[attr-defined]
    assert intent == recogniser().recognise(conversation.workspace_id, text)
    encoder().encode_question(text)
    assert encoder().encode_question.cache_info().misses == remembered  # type: ignore[attr-defined]


def test_what_went_wrong_ahead_is_told_to_who_waits() -> None:
    async def fail() -> Intent:
        raise ValueError("no classifier")

    async def classify() -> None:
        ahead = Ahead("Refunds?", asyncio.create_task(fail()))
        await stages_for(question("Refunds?"), Record(), ahead=ahead).intents.classify("Refunds?", "en")

    with pytest.raises(ValueError, match="no classifier"):
        asyncio.run(classify())
