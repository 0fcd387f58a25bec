"""The last question edited, its answer repeated, and turns whose process died: what the record then holds."""

import datetime as dt

import pytest
from django.utils import timezone

from conversations import analytics, checkpoints, events, services
from conversations.models import Author, Conversation, Inbox, Message, Status, Turn
from conversations.queue import queue_place
from conversations.services import (
    ClientIdReused,
    EmptyText,
    LineTaken,
    NotEditable,
    NotRepeatable,
    TextTooLong,
    TurnResult,
)
from conversations.services.visitor import REPEATABLE
from workspace.models import User

pytestmark = pytest.mark.django_db

ANSWERED = TurnResult(Turn.Outcome.ANSWERED, "Seven days. [1]", kind="extractive")


def say(conversation: Conversation, text: str = "Refunds?", client_id: str = "c1") -> services.Added:
    return services.add_visitor_message(conversation_id=conversation.pk, text=text, client_id=client_id)


def answered(conversation: Conversation, text: str = "Refunds?", client_id: str = "c1") -> services.Added:
    added = say(conversation, text, client_id)
    services.finish_turn(turn_id=added.turn.pk, result=ANSWERED)
    return added


def edit(conversation: Conversation, message: Message, text: str = "Returns?", client_id: str = "e1", **more):
    return services.edit_question(
        conversation_id=conversation.pk, message=message.public_id, text=text, client_id=client_id, **more
    )


def again(conversation: Conversation, turn: Turn) -> Turn | None:
    return services.repeat_turn(conversation_id=conversation.pk, turn=turn.public_id)


def log(conversation: Conversation) -> list[events.EventView]:
    return events.read(Conversation.every.get(pk=conversation.pk))


class TestEdit:
    def test_the_new_words_are_a_new_message_that_revises_the_old_one_which_stays(
        self, conversation: Conversation
    ) -> None:
        asked = answered(conversation)
        edited = edit(conversation, asked.message)
        last = log(conversation)[-1]
        assert (last.type, last.data) == ("message.edited", {"message": asked.message.public_id})
        assert (last.message.text, last.message.revises) == ("Returns?", asked.message.public_id)
        assert edited.turn.question == edited.message
        texts = [message.text for message in Message.objects.of(conversation.workspace)]
        assert texts == ["Refunds?", "Seven days. [1]", "Returns?"]

    def test_an_answer_being_written_ends_as_far_as_it_was_shown(self, conversation: Conversation) -> None:
        asked = say(conversation)
        edit(conversation, asked.message, shown={asked.turn.public_id: "Refunds take"})
        asked.turn.refresh_from_db()
        cut = Message.objects.of(conversation.workspace).get(author=Author.BOT)
        assert asked.turn.outcome == Turn.Outcome.SUPERSEDED
        assert (cut.text, cut.state) == ("Refunds take", Message.State.INTERRUPTED)
        with pytest.raises(LineTaken):
            services.finish_turn(turn_id=asked.turn.pk, result=ANSWERED)
        with pytest.raises(LineTaken):
            services.checkpoint_turn(turn_id=asked.turn.pk, shown="Refunds take seven")

    def test_with_nothing_shown_the_turn_ends_without_words(self, conversation: Conversation) -> None:
        edit(conversation, say(conversation).message)
        ended = log(conversation)[-2]
        assert (ended.type, ended.data["outcome"], ended.data["error"]) == ("turn.ended", "superseded", "")

    def test_the_same_client_id_is_one_edit(self, conversation: Conversation) -> None:
        asked = answered(conversation)
        first, second = edit(conversation, asked.message), edit(conversation, asked.message)
        assert (second.duplicate, second.turn, second.message) == (True, None, first.message)
        with pytest.raises(ClientIdReused):
            edit(conversation, asked.message, text="Else?")
        with pytest.raises(ClientIdReused):
            edit(conversation, first.message)
        with pytest.raises(ClientIdReused):
            edit(conversation, asked.message, client_id="c1")

    def test_an_edit_can_be_edited_but_what_it_replaced_cannot(self, conversation: Conversation) -> None:
        asked = answered(conversation)
        first = edit(conversation, asked.message)
        with pytest.raises(NotEditable):
            edit(conversation, asked.message, client_id="e2")
        second = edit(conversation, first.message, text="Rebates?", client_id="e2")
        assert second.message.revises == first.message

    def test_only_the_last_question_can_be_edited(self, conversation: Conversation) -> None:
        first = answered(conversation)
        answered(conversation, "And returns?", "c2")
        with pytest.raises(NotEditable):
            edit(conversation, first.message)

    def test_not_a_word_of_the_bot_s_or_of_somebody_else_s(self, conversation: Conversation, inbox: Inbox) -> None:
        answered(conversation)
        bot = Message.objects.of(conversation.workspace).get(author=Author.BOT)
        other = services.open_conversation(inbox=inbox, contact=services.new_contact(inbox=inbox))
        theirs = answered(other).message
        for message in (bot, theirs):
            with pytest.raises(NotEditable):
                edit(conversation, message)

    def test_not_while_anybody_else_has_the_line_nor_after_an_agent_dealt_with_it(
        self, conversation: Conversation, mei: User
    ) -> None:
        asked = answered(conversation)
        services.request_person(conversation_id=conversation.pk)
        with pytest.raises(NotEditable):
            edit(conversation, asked.message)
        services.take_over(conversation_id=conversation.pk, agent=mei)
        with pytest.raises(NotEditable):
            edit(conversation, asked.message)
        services.reply(conversation_id=conversation.pk, agent=mei, text="Five days.", client_id="r1")
        services.hand_back(conversation_id=conversation.pk, agent=mei)
        with pytest.raises(NotEditable):
            edit(conversation, asked.message)

    def test_nothing_and_too_much_are_refused(self, conversation: Conversation) -> None:
        asked = answered(conversation)
        with pytest.raises(EmptyText):
            edit(conversation, asked.message, text=" \x00")
        with pytest.raises(TextTooLong):
            edit(conversation, asked.message, text="长" * 8_001)

    def test_a_question_nobody_needs_an_answer_to_is_no_figure(self, conversation: Conversation) -> None:
        edit(conversation, say(conversation).message)
        period = analytics.Period(timezone.now() - dt.timedelta(days=1), timezone.now() + dt.timedelta(days=1))
        assert not analytics.turns(conversation.workspace, period).exists()


class TestAgain:
    def test_each_answer_to_a_question_has_its_number_and_all_stay(self, conversation: Conversation) -> None:
        asked = answered(conversation)
        turn = asked.turn
        for text in ("A week. [1]", "Seven days, that is. [1]"):
            turn = again(conversation, turn)
            services.finish_turn(turn_id=turn.pk, result=TurnResult(Turn.Outcome.ANSWERED, text))
        said = [event.message for event in log(conversation) if event.message and event.message.author == "bot"]
        assert [(message.of, message.variant) for message in said] == [
            (asked.message.public_id, number) for number in (1, 2, 3)
        ]
        assert len({message.turn for message in said}) == 3

    def test_sent_twice_it_is_done_once(self, conversation: Conversation) -> None:
        asked = answered(conversation)
        second = again(conversation, asked.turn)
        assert again(conversation, asked.turn) is None
        services.finish_turn(turn_id=second.pk, result=ANSWERED)
        assert again(conversation, asked.turn) is None
        assert Turn.objects.of(conversation.workspace).count() == 2

    @pytest.mark.parametrize("outcome", sorted(REPEATABLE))
    def test_an_answer_without_words_takes_no_number(self, conversation: Conversation, outcome: str) -> None:
        turn = say(conversation).turn
        services.finish_turn(turn_id=turn.pk, result=TurnResult(Turn.Outcome(outcome)))
        assert again(conversation, turn).variant == 1

    @pytest.mark.parametrize("outcome", ["merged", "superseded", "refused", "handed_off"])
    def test_what_was_no_answer_cannot_be_repeated(self, conversation: Conversation, outcome: str) -> None:
        turn = say(conversation).turn
        services.finish_turn(turn_id=turn.pk, result=TurnResult(Turn.Outcome(outcome)))
        with pytest.raises(NotRepeatable):
            again(conversation, turn)

    def test_only_the_last_turn_once_it_has_ended(self, conversation: Conversation, inbox: Inbox) -> None:
        first = answered(conversation).turn
        second = say(conversation, "And returns?", "c2").turn
        other = services.open_conversation(inbox=inbox, contact=services.new_contact(inbox=inbox))
        for turn in (first, second, answered(other).turn):
            with pytest.raises(NotRepeatable):
                again(conversation, turn)

    def test_not_while_a_person_has_the_line_nor_after_one_has_spoken(
        self, conversation: Conversation, mei: User
    ) -> None:
        turn = answered(conversation).turn
        services.take_over(conversation_id=conversation.pk, agent=mei)
        with pytest.raises(NotRepeatable):
            again(conversation, turn)
        services.reply(conversation_id=conversation.pk, agent=mei, text="Five days.", client_id="r1")
        services.hand_back(conversation_id=conversation.pk, agent=mei)
        with pytest.raises(NotRepeatable):
            again(conversation, turn)


class TestAProcessThatDied:
    @pytest.fixture
    def later(self) -> dt.datetime:
        return timezone.now() + dt.timedelta(seconds=checkpoints.TURN_LEASE_S + 0.1)

    def test_the_visitor_is_told_and_may_go_on(self, conversation: Conversation, later: dt.datetime) -> None:
        turn = say(conversation).turn
        services.checkpoint_turn(turn_id=turn.pk, shown="Refunds take")
        later += dt.timedelta(seconds=1)
        assert services.sweep_turns(now=later) == 1
        cut, told = log(conversation)[-2:]
        assert (cut.message.text, cut.message.state) == ("Refunds take", "interrupted")
        assert (told.type, told.data) == (
            "turn.ended",
            {"turn": turn.public_id, "outcome": "interrupted", "error": "process_lost"},
        )
        assert again(conversation, turn).variant == 2

    def test_with_nothing_shown_only_the_end_is_told(self, conversation: Conversation, later: dt.datetime) -> None:
        turn = say(conversation).turn
        services.sweep_turns(now=later)
        assert [event.type for event in log(conversation)][-2:] == ["message.added", "turn.ended"]
        assert again(conversation, turn).variant == 1

    def test_a_process_that_was_only_slow_finds_its_writes_refused(
        self, conversation: Conversation, later: dt.datetime
    ) -> None:
        turn = say(conversation).turn
        services.sweep_turns(now=later)
        for write in (
            lambda: services.checkpoint_turn(turn_id=turn.pk, shown="Refunds take seven"),
            lambda: services.finish_turn(turn_id=turn.pk, result=ANSWERED),
        ):
            with pytest.raises(LineTaken):
                write()
        assert not Message.objects.of(conversation.workspace).filter(author=Author.BOT).exists()

    def test_what_the_caller_knows_to_be_alive_is_spared_and_so_are_other_conversations(
        self, conversation: Conversation, inbox: Inbox, later: dt.datetime
    ) -> None:
        alive = say(conversation).turn
        later += dt.timedelta(minutes=1)  # however long the next steps take
        other = services.open_conversation(inbox=inbox, contact=services.new_contact(inbox=inbox))
        say(other)
        assert services.sweep_turns(now=later, spare={alive.public_id}, conversation_id=conversation.pk) == 0
        assert services.sweep_turns(now=later, spare={alive.public_id}) == 1
        alive.refresh_from_db()
        assert alive.outcome == Turn.Outcome.RUNNING

    def test_a_later_turn_waits_for_a_living_one_and_clears_away_a_dead_one(self, conversation: Conversation) -> None:
        first = say(conversation).turn
        second = say(conversation, "And returns?", "c2").turn
        assert services.clear_way(turn_id=first.pk)
        assert not services.clear_way(turn_id=second.pk)
        Turn.every.filter(pk=first.pk).update(lease_until=timezone.now() - dt.timedelta(seconds=1))
        assert services.clear_way(turn_id=second.pk)
        first.refresh_from_db()
        assert (first.outcome, first.error) == (Turn.Outcome.INTERRUPTED, "process_lost")

    def test_on_a_platform_a_turn_nobody_works_on_is_answered_with_the_next(self, workspace) -> None:
        telegram = Inbox.objects.of(workspace).create(name="Bot", kind=Inbox.Kind.TELEGRAM)
        first, second = (
            services.receive_from_platform(
                inbox=telegram, dedupe_keys=(key,), user_id="7", thread_id="7", text=key
            ).turn
            for key in ("u1", "u2")
        )
        Turn.every.filter(pk=first.pk).update(lease_until=timezone.now() - dt.timedelta(seconds=1))
        assert services.clear_way(turn_id=second.pk)
        first.refresh_from_db()
        assert first.outcome == Turn.Outcome.MERGED


class TestTheQueue:
    def waiting(self, inbox: Inbox, since_s: float) -> Conversation:
        conversation = services.open_conversation(inbox=inbox, contact=services.new_contact(inbox=inbox))
        services.request_person(conversation_id=conversation.pk)
        since = timezone.now() - dt.timedelta(seconds=since_s)
        Conversation.every.filter(pk=conversation.pk).update(waiting_since=since)
        return Conversation.every.get(pk=conversation.pk)

    def test_the_place_is_counted_and_moves_when_others_leave(self, inbox: Inbox, mei: User) -> None:
        first, second, third = (self.waiting(inbox, ago) for ago in (30, 20, 10))
        assert [queue_place(each).place for each in (first, second, third)] == [1, 2, 3]
        services.take_over(conversation_id=first.pk, agent=mei)
        services.back_to_bot(conversation_id=second.pk)
        assert queue_place(third).place == 1

    def test_who_came_at_the_same_moment_does_not_share_a_place(self, inbox: Inbox) -> None:
        first, second = self.waiting(inbox, 10), self.waiting(inbox, 10)
        Conversation.every.filter(pk=second.pk).update(waiting_since=first.waiting_since)
        second.refresh_from_db()
        assert [queue_place(each).place for each in (first, second)] == [1, 2]

    def test_the_usual_wait_is_that_of_people_whom_an_agent_took(self, inbox: Inbox, mei: User) -> None:
        for wait_s in (10, 20, 30, 40, 50):
            served = self.waiting(inbox, 0)
            served.episodes.filter(party=Status.QUEUED).update(started_at=timezone.now() - dt.timedelta(seconds=wait_s))
            assert queue_place(served).wait_s is None
            services.take_over(conversation_id=served.pk, agent=mei)
        for _ in range(20):  # gave up at once
            services.back_to_bot(conversation_id=self.waiting(inbox, 0).pk)
        assert queue_place(self.waiting(inbox, 0)).wait_s == pytest.approx(30, abs=2)
