"""What is remembered beyond the prompt's window, whose it is, what becomes of it, and that it rests sealed."""

import asyncio
import base64
import datetime as dt
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from benchmarks.planted import Exchange
from benchmarks.planted import conversation as planted
from chatbot import store
from chatbot.llm.simulator.app import Simulator
from chatbot.llm.simulator.wording import answer
from chatbot.memory import recall
from chatbot.models import ModelCall, Provider
from chatbot.moderation.masking import Masker
from chatbot.remembering import HANDLERS
from chatbot.turn.prompt import EARLIER_TOKENS, HISTORY_MESSAGES, build_prompt
from chatbot.turn.tokens import estimate_tokens
from chatbot.turn.values import NOTHING, Earlier, Query, Question
from chatbot.wiring import Record, stages_for
from conversations import identity, memory, services
from conversations.identity import Person
from conversations.models import Contact, Conversation, Inbox, Message, Recollection, Summary, Turn
from conversations.services import TurnResult
from tests.serving import serving
from workspace import leases
from workspace.models import Job, User, Workspace

pytestmark = pytest.mark.django_db(transaction=True)

SMALL_TALK = tuple(Exchange(f"What about paper filter number {n}?", "It fits the small dripper.") for n in range(10))
BERGEN = Exchange("We moved to Bergen last month.", "I see.")
WHERE = "Which city do I live in these days?"


def hold(conversation: Conversation, told: Sequence[Exchange]) -> None:
    for exchange in told:
        turn = services.add_visitor_message(
            conversation_id=conversation.pk, text=exchange.said, client_id=str(time.monotonic())
        ).turn
        assert turn
        services.finish_turn(turn_id=turn.pk, result=TurnResult(Turn.Outcome.ANSWERED, exchange.answered))


def look(*, later_s: float = 120.0) -> None:
    """What the sweep and the workers do, once everybody has been quiet for a while."""
    memory.enqueue_due(timezone.now() + dt.timedelta(seconds=later_s))
    while leases.run_next(HANDLERS):
        pass


def load(conversation: Conversation, text: str = "Well?") -> Question:
    turn = services.add_visitor_message(
        conversation_id=conversation.pk, text=text, client_id=str(time.monotonic())
    ).turn
    assert turn
    return asyncio.run(store.load_turn(turn.public_id)).question


def again(inbox: Inbox, contact: Contact) -> Conversation:
    return services.open_conversation(inbox=inbox, contact=contact)


def said(earlier: Earlier) -> list[str]:
    return [exchange.said for exchange in earlier.exchanges]


def rows(model: Any, workspace: Workspace) -> Any:
    return model.objects.of(workspace)


class TestBeyondTheWindow:
    @pytest.mark.parametrize(("language", "at_least"), [("en", 7), ("zh", 6)])
    def test_planted_facts_reach_the_prompt_within_its_share(
        self, workspace: Workspace, language: str, at_least: int
    ) -> None:
        """The small version of `benchmarks/memory.py`: eight facts in 60 turns, asked in other words."""
        inbox = Inbox.objects.of(workspace).create(name=language, language=language)
        conversation = again(inbox, services.new_contact(inbox=inbox))
        told = planted(language, turns=60, facts=8)
        hold(conversation, told)
        look()
        question, reached = load(conversation), 0
        for exchange in told:
            if exchange.asked:
                asked = replace(question, text=exchange.asked)
                prompt = build_prompt(asked, (), language, masker := Masker(), earlier=recall(asked, exchange.asked))
                assert sum(map(estimate_tokens, prompt.earlier)) <= EARLIER_TOKENS
                reached += any(masker.mask(exchange.said) in line for line in prompt.earlier)
        assert reached >= at_least

    def test_an_exchange_is_found_before_it_leaves_the_window_while_the_visitor_writes_on(
        self, conversation: Conversation
    ) -> None:
        for exchange in (BERGEN, *SMALL_TALK[: HISTORY_MESSAGES // 2]):
            hold(conversation, [exchange])
            look(later_s=0.0)
        question = load(conversation, WHERE)
        assert BERGEN.said not in [each.text for each in question.history[-HISTORY_MESSAGES:]]
        assert question.remembers
        assert said(recall(question, WHERE))[0] == BERGEN.said

    def test_what_an_agent_promised_is_recalled_with_their_name(self, conversation: Conversation, mei: User) -> None:
        services.take_over(conversation_id=conversation.pk, agent=mei)
        services.add_visitor_message(conversation_id=conversation.pk, text="When does it come?", client_id="v")
        services.reply(conversation_id=conversation.pk, agent=mei, text="I promise delivery by Friday.", client_id="a")
        services.hand_back(conversation_id=conversation.pk, agent=mei)
        hold(conversation, SMALL_TALK)
        look()
        best = recall(load(conversation), "Which day was promised for the delivery?").exchanges[0]
        assert (best.answered, best.speaker) == ("I promise delivery by Friday.", "Mei")

    def test_an_answer_without_a_source_is_not_told_again(self, conversation: Conversation) -> None:
        turn = services.add_visitor_message(
            conversation_id=conversation.pk, text="What does the express delivery cost?", client_id="v"
        ).turn
        assert turn
        cut = TurnResult(Turn.Outcome.NO_ANSWER, "It costs 30 dollars (no source).")
        services.finish_turn(turn_id=turn.pk, result=cut)
        hold(conversation, SMALL_TALK)
        look()
        best = recall(load(conversation), "What does the express delivery cost?").exchanges[0]
        assert (best.said, best.answered) == ("What does the express delivery cost?", "")

    def test_looking_twice_changes_nothing_and_costs_no_second_job(self, conversation: Conversation) -> None:
        hold(conversation, [BERGEN, *SMALL_TALK])
        look()
        before = list(rows(Recollection, conversation.workspace).values_list("seq", "through_seq"))
        jobs = Job.objects.of(conversation.workspace).filter(kind=memory.REMEMBER_JOB)
        assert (len(before), jobs.count()) == (11, 1)
        look()
        assert jobs.count() == 1
        for handler in HANDLERS.values():
            handler(jobs.get())
        assert list(rows(Recollection, conversation.workspace).values_list("seq", "through_seq")) == before


class TestANewVisitor:
    def test_pays_nothing(self, conversation: Conversation) -> None:
        hold(conversation, [BERGEN])
        record, question = Record(), load(conversation)
        assert not question.remembers
        earlier = asyncio.run(stages_for(question, record).memory.recall(question, Query("Well?")))
        assert earlier is NOTHING
        assert "recall" not in record.timings_ms

    def test_who_pauses_in_a_short_conversation_pays_nothing_either(self, conversation: Conversation) -> None:
        hold(conversation, [BERGEN])
        look()
        assert not load(conversation).remembers

    def test_who_comes_back_is_remembered_in_the_turn_itself(self, inbox: Inbox, conversation: Conversation) -> None:
        hold(conversation, [BERGEN])
        look()
        record, question = Record(), load(again(inbox, conversation.contact), WHERE)
        earlier = asyncio.run(stages_for(question, record).memory.recall(question, Query(WHERE)))
        assert said(earlier) == [BERGEN.said]
        assert not earlier.exchanges[0].own
        assert "recall" in record.timings_ms
        assert record.as_fields()["flags"]["recalled"] == 1
        assert not earlier.personal, "without a model nobody could tell whether it is the answer"

    def test_what_was_said_is_recalled_by_other_words_of_the_question_too(
        self, inbox: Inbox, conversation: Conversation
    ) -> None:
        hold(conversation, [BERGEN, *SMALL_TALK])
        look()
        question = load(again(inbox, conversation.contact), "那里呢？")

        def best(query: Query) -> str:
            return said(asyncio.run(stages_for(question, Record()).memory.recall(question, query)))[0]

        assert best(Query("那里呢？")) != BERGEN.said, "or this test would show nothing"
        assert best(Query("那里呢？", also=(WHERE,))) == BERGEN.said


class TestWhose:
    def test_another_contact_is_told_nothing_of_it(self, inbox: Inbox, conversation: Conversation) -> None:
        hold(conversation, [BERGEN])
        look()
        stranger = again(inbox, services.new_contact(inbox=inbox))
        question = load(stranger, WHERE)
        assert not question.remembers
        assert recall(question, WHERE) == NOTHING

    def test_a_conversation_is_looked_for_in_its_own_workspace_only(self, conversation: Conversation) -> None:
        hold(conversation, [BERGEN, *SMALL_TALK])
        look()
        question = load(conversation)
        theirs = Workspace.objects.create(name="theirs")
        assert recall(question, WHERE)
        elsewhere = replace(question, inbox=replace(question.inbox, workspace=theirs.pk))
        assert recall(elsewhere, WHERE) == NOTHING

    def test_who_signs_in_is_remembered_from_before(self, inbox: Inbox, conversation: Conversation) -> None:
        known = identity.new_known_contact(inbox=inbox, person=Person("u-1"), language="en")
        hold(conversation, [BERGEN])
        look()
        identity.identify(inbox=inbox, person=Person("u-1"), current=conversation)
        question = load(again(inbox, known), WHERE)
        assert question.remembers
        assert said(recall(question, WHERE)) == [BERGEN.said]

    def test_a_groups_thread_is_not_told_what_its_first_writer_said_elsewhere(self, workspace: Workspace) -> None:
        inbox = Inbox.objects.of(workspace).create(name="bot", kind=Inbox.Kind.TELEGRAM)
        alone = services.find_or_open_thread(inbox=inbox, user_id="7", thread_id="7")
        hold(alone, [BERGEN])
        group = services.find_or_open_thread(inbox=inbox, user_id="7", thread_id="-100")
        hold(group, SMALL_TALK)
        look()
        assert BERGEN.said not in said(recall(load(group, WHERE), WHERE))
        assert BERGEN.said in said(recall(load(alone, WHERE), WHERE))


class TestForgetting:
    def test_words_that_were_edited_are_not_recalled(self, conversation: Conversation) -> None:
        hold(conversation, SMALL_TALK)
        added = services.add_visitor_message(conversation_id=conversation.pk, text="We moved to Oslo.", client_id="o")
        look()
        services.edit_question(
            conversation_id=conversation.pk, message=added.message.public_id, text=BERGEN.said, client_id="b"
        )
        found = said(recall(load(conversation), WHERE))
        assert not any("Oslo" in words for words in found)
        look()
        assert any("Bergen" in words for words in said(recall(load(conversation), WHERE)))

    def test_words_that_were_redacted_are_recalled_as_they_stand_and_void_the_summary(
        self, inbox: Inbox, conversation: Conversation
    ) -> None:
        hold(conversation, [BERGEN, *SMALL_TALK[:2]])
        look()
        question = load(again(inbox, conversation.contact))
        assert "Bergen" in recall(question, WHERE).gists[0].text
        message = Message.objects.of(conversation.workspace).filter(conversation=conversation).first()
        assert message
        message.text = "[removed]"
        message.save()
        earlier = recall(question, WHERE)
        assert "Bergen" not in str(earlier)
        assert earlier.gists == ()
        assert not rows(Summary, conversation.workspace).exists(), "not kept either"

    def test_a_void_summary_goes_though_nobody_asks(self, conversation: Conversation) -> None:
        hold(conversation, [BERGEN, *SMALL_TALK[:2]])
        look()
        assert memory.reconcile() == 0
        Message.objects.of(conversation.workspace).filter(conversation=conversation).order_by("seq")[0].delete()
        assert memory.reconcile() == 1
        assert not rows(Summary, conversation.workspace).exists()

    def test_what_is_forgotten_is_looked_at_anew(self, conversation: Conversation) -> None:
        hold(conversation, [BERGEN, *SMALL_TALK])
        look()
        memory.forget(conversation_id=conversation.pk)
        assert not rows(Recollection, conversation.workspace).exists()
        assert not rows(Summary, conversation.workspace).exists()
        assert not load(conversation).remembers
        hold(conversation, SMALL_TALK[:1])
        look()
        assert BERGEN.said in said(recall(load(conversation), WHERE))

    def test_with_the_contact_everything_goes(self, conversation: Conversation) -> None:
        hold(conversation, [BERGEN, *SMALL_TALK])
        look()
        workspace = conversation.workspace
        conversation.contact.delete()
        assert not rows(Recollection, workspace).exists()
        assert not rows(Summary, workspace).exists()


def test_nothing_rests_in_plain_text(conversation: Conversation) -> None:
    hold(conversation, [BERGEN, *SMALL_TALK])
    look()
    with connection.cursor() as cursor:
        held = []
        for table in ("conversations_recollection", "conversations_summary", "workspace_job"):
            cursor.execute(f"SELECT * FROM {table}")
            held += [str(value) for row in cursor.fetchall() for value in row]
    trace = rows(Recollection, conversation.workspace).order_by("seq")[0].trace
    assert len(held) > 100
    for secret in ("Bergen", "bergen", *trace["parts"], base64.b64encode(b"Bergen").decode()[:7]):
        assert not any(secret in value for value in held)


class TestSummaries:
    PHONE = Exchange("Call me on 13812345678.", "I have noted that.")

    @pytest.fixture
    def model(self, workspace: Workspace) -> Iterator[Simulator]:
        simulator = Simulator()
        with serving(simulator) as port:
            Provider.objects.of(workspace).create(
                name="model", base_url=f"http://127.0.0.1:{port}", secret={"key": "sk-test"}
            )
            yield simulator

    def test_without_a_model_it_is_the_visitors_own_remarks(self, conversation: Conversation) -> None:
        hold(conversation, [BERGEN, *SMALL_TALK])
        look()
        summary = rows(Summary, conversation.workspace).get()
        assert (summary.source, summary.text) == ("extractive", f"Visitor: {BERGEN.said}")

    def test_a_model_writes_it_sees_no_phone_number_and_is_paid_for(
        self, conversation: Conversation, model: Simulator
    ) -> None:
        model.scripts.append(answer(["The visitor's phone is ", "[PHONE_1]."]))
        hold(conversation, [self.PHONE, *SMALL_TALK])
        look()
        summary = rows(Summary, conversation.workspace).get()
        assert (summary.source, summary.text) == ("model", "The visitor's phone is 13812345678.")
        sent = json.dumps(model.seen[0].body)
        assert "[PHONE_1]" in sent
        assert "13812345678" not in sent
        (call,) = ModelCall.objects.of(conversation.workspace)
        assert (call.purpose, call.conversation) == ("summary", conversation)
        assert call.cost

        model.scripts.append(answer(["Lives in Bergen, phone [PHONE_1]."]))
        hold(conversation, [BERGEN])
        look()
        summary = rows(Summary, conversation.workspace).get()
        assert summary.text == "Lives in Bergen, phone 13812345678."
        again = model.seen[1].body["messages"][1]["content"]
        assert "The visitor's phone is [PHONE_1]." in again, "its own notes"
        assert "Bergen" in again
        assert "paper filter number 1?" not in again, "what the notes hold already is not sent twice"

    def test_a_short_conversation_costs_no_call(self, conversation: Conversation, model: Simulator) -> None:
        hold(conversation, [self.PHONE, *SMALL_TALK[:2]])
        look()
        assert rows(Summary, conversation.workspace).get().source == "extractive"
        assert not model.seen
