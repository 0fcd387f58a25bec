"""What the bot is told of a conversation: the newest words, the newest answers, and where people took over."""

import asyncio
from functools import partial
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError

from chatbot import store
from chatbot.cache import AnswerCache, MemoryShelf
from chatbot.moderation.masking import Masker
from chatbot.turn.prompt import HISTORY_MESSAGES, build_prompt
from chatbot.turn.values import Answered, Question, Utterance
from conversations import events, services
from conversations.models import Conversation, Message, Turn
from conversations.services import TurnResult
from tests.chatbot.turn.stages import passage, question
from tests.environment import PRODUCTION
from workspace.models import User

pytestmark = pytest.mark.django_db(transaction=True)


def say(conversation: Conversation, text: str, client_id: str = "") -> services.Added:
    return services.add_visitor_message(conversation_id=conversation.pk, text=text, client_id=client_id or text)


def finish(turn: Turn, text: str) -> None:
    services.finish_turn(turn_id=turn.pk, result=TurnResult(Turn.Outcome.ANSWERED, text))


def edit(conversation: Conversation, message: Message, text: str) -> Turn:
    return services.edit_question(
        conversation_id=conversation.pk, message=message.public_id, text=text, client_id=text
    ).turn


def again(conversation: Conversation, turn: Turn) -> Turn:
    return services.repeat_turn(conversation_id=conversation.pk, turn=turn.public_id)


def load(turn: Turn) -> Question:
    return asyncio.run(store.load_turn(turn.public_id)).question


def words(asked: Question) -> list[str]:
    return [said.text for said in asked.history]


def test_nothing_of_a_conversation_is_read_row_by_row(
    conversation: Conversation, mei: User, django_assert_num_queries: Any
) -> None:
    """Only the columns that are needed are read; one that was forgotten would be fetched for every row."""
    for number in range(4):
        finish(say(conversation, f"Question {number}?").turn, f"Answer {number}.")
    services.take_over(conversation_id=conversation.pk, agent=mei)
    services.reply(conversation_id=conversation.pk, agent=mei, text="I am Mei.", client_id="1")
    services.hand_back(conversation_id=conversation.pk, agent=mei)
    asked = say(conversation, "Refunds?")
    edited = edit(conversation, asked.message, "Returns?")
    with django_assert_num_queries(3 if PRODUCTION else 4):  # there, two go together
        assert len(store._load_turn(edited.public_id).question.history) > 10
    conversation.refresh_from_db()
    with django_assert_num_queries(2):
        views = events.read(conversation)
    assert {view.message.author for view in views if view.message} == {"visitor", "bot", "agent"}


class TestEdits:
    def test_the_bot_knows_the_newest_words_only(self, conversation: Conversation) -> None:
        finish(say(conversation, "Hello").turn, "Hi.")
        asked = say(conversation, "Refunds?")
        finish(asked.turn, "Seven days.")
        turn = edit(conversation, asked.message, "Returns?")
        assert (load(turn).text, words(load(turn))) == ("Returns?", ["Hello", "Hi."])

        edited = turn.question
        finish(turn, "Thirty days.")
        turn = edit(conversation, edited, "Rebates?")
        assert (load(turn).text, words(load(turn))) == ("Rebates?", ["Hello", "Hi."])
        finish(turn, "None.")
        assert words(load(say(conversation, "Why?").turn)) == ["Hello", "Hi.", "Rebates?", "None."]

    def test_what_was_asked_with_the_edited_words_is_still_answered(self, conversation: Conversation) -> None:
        services.merge_turn(turn_id=say(conversation, "I bought a grinder.").turn.pk)
        asked = say(conversation, "Refunds?")
        finish(asked.turn, "Seven days.")
        assert load(edit(conversation, asked.message, "Returns?")).text == "I bought a grinder.\nReturns?"


class TestVariants:
    def test_the_same_question_is_asked_again_without_its_answers(self, conversation: Conversation) -> None:
        finish(say(conversation, "Hello").turn, "Hi.")
        services.merge_turn(turn_id=say(conversation, "I bought a grinder.").turn.pk)
        turn = say(conversation, "Refunds?").turn
        finish(turn, "Seven days.")
        for _ in range(2):
            turn = again(conversation, turn)
            asked = load(turn)
            assert asked.again
            assert asked.text == "I bought a grinder.\nRefunds?"
            assert words(asked) == ["Hello", "Hi."]
            finish(turn, "A week.")

    def test_later_the_newest_answer_is_the_one_that_was_given(self, conversation: Conversation) -> None:
        turn = say(conversation, "Refunds?").turn
        finish(turn, "Seven days.")
        finish(again(conversation, turn), "A week.")
        asked = load(say(conversation, "Why?").turn)
        assert (asked.again, words(asked)) == (False, ["Refunds?", "A week."])

    def test_an_answer_to_be_given_anew_is_neither_looked_up_nor_kept(self) -> None:
        async def constant() -> str:
            return "generated"

        async def play() -> None:
            shelf = MemoryShelf()
            caches = [AnswerCache(shelf, constant, lambda _: False, constant) for _ in range(3)]
            first, anew = question(), Question(**{**vars(question()), "again": True})
            assert await caches[0].get(first, "en") is None
            await caches[0].put(first, "en", Answered("Seven days.", source="generated"))
            assert await caches[1].get(anew, "en") is None
            await caches[1].put(anew, "en", Answered("A week.", source="generated"))
            known = await caches[2].get(first, "en")
            assert known
            assert known.text == "Seven days."

        asyncio.run(play())


class TestPeople:
    def told(self, asked: Question) -> list[str]:
        return [said.text for said in build_prompt(asked, [passage()], "en", Masker()).history]

    def test_the_bot_is_told_where_a_person_took_over_handed_back_and_what_was_promised(
        self, conversation: Conversation, mei: User
    ) -> None:
        finish(say(conversation, "Refunds?").turn, "Seven days.")
        services.take_over(conversation_id=conversation.pk, agent=mei)
        say(conversation, "Can I have it sooner?")
        services.reply(conversation_id=conversation.pk, agent=mei, text="I promise it by Friday.", client_id="r1")
        services.hand_back(conversation_id=conversation.pk, agent=mei)
        assert self.told(load(say(conversation, "When exactly?").turn)) == [
            "Refunds?",
            "Seven days.",
            "(Here Mei, a person of ours, took over from you.)",
            "Can I have it sooner?",
            "(A person of ours, Mei, said to the visitor:) I promise it by Friday.",
            "(Here Mei handed the conversation back to you. Whatever Mei said or promised above stands.)",
        ]

    def test_a_visitor_who_goes_back_to_the_bot_was_with_nobody(self, conversation: Conversation) -> None:
        finish(say(conversation, "Refunds?").turn, "Seven days.")
        services.request_person(conversation_id=conversation.pk)
        services.back_to_bot(conversation_id=conversation.pk)
        assert self.told(load(say(conversation, "Well?").turn)) == ["Refunds?", "Seven days."]

    def test_a_promise_is_known_longer_than_the_rest(self) -> None:
        chatter = tuple(Utterance("visitor", f"line {n}") for n in range(HISTORY_MESSAGES + 5))
        promise = Utterance("agent", "I promise it by Friday.", speaker="Mei")
        told = self.told(question(history=(chatter[0], promise, *chatter)))
        assert len(told) == HISTORY_MESSAGES + 1
        assert "I promise it by Friday." in told[0]


def test_an_answer_without_a_source_is_known_as_such(conversation: Conversation) -> None:
    finish(say(conversation, "Refunds?").turn, "Seven days [1].")
    cut = TurnResult(Turn.Outcome.NO_ANSWER, "It costs 30 dollars (no source).")
    services.finish_turn(turn_id=say(conversation, "Costs?").turn.pk, result=cut)
    history = load(say(conversation, "And now?").turn).history
    assert [said.sourced for said in history] == [True, True, True, False]


def test_a_turn_read_with_its_question_is_the_turn_as_the_record_has_it(conversation: Conversation) -> None:
    finish(say(conversation, "Shipping?").turn, "Two days.")
    asked = partial(
        services.add_visitor_message, conversation_id=conversation.pk, text="Refunds?", client_id="2", language="en"
    )
    added, loaded = asyncio.run(store.add_and_load(asked, load=True))
    assert added.turn
    assert loaded is not None
    assert loaded == asyncio.run(store.load_turn(added.turn.public_id))
    assert loaded.question.history


def test_a_takeover_between_storing_and_reading_is_seen(conversation: Conversation, mei: User) -> None:
    def asked_and_taken() -> services.Added:
        added = services.add_visitor_message(conversation_id=conversation.pk, text="Refunds?", client_id="1")
        services.take_over(conversation_id=conversation.pk, agent=mei)
        return added

    _, loaded = asyncio.run(store.add_and_load(asked_and_taken, load=True))
    assert loaded is not None
    assert not loaded.running


@pytest.mark.parametrize("problem", [OperationalError, InterfaceError, RuntimeError])
def test_a_message_is_stored_though_its_turn_could_not_be_read(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch, problem: type[Exception]
) -> None:
    def fail(turn: Turn, *_: object) -> None:
        raise problem

    monkeypatch.setattr(store, "_loaded", fail)
    asked = partial(services.add_visitor_message, conversation_id=conversation.pk, text="Refunds?", client_id="1")
    added, loaded = asyncio.run(store.add_and_load(asked, load=True))
    assert loaded is None
    assert added.turn
    assert Message.every.get(pk=added.message.pk).text == "Refunds?"
