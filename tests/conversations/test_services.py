import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from conversations import checkpoints, events, services
from conversations.models import Author, Contact, Conversation, Episode, Inbox, Message, Status, Turn
from conversations.services import (
    AlreadyTaken,
    ClientIdReused,
    EmptyText,
    LineTaken,
    NotHolder,
    NotWaiting,
    TextTooLong,
    TurnResult,
)
from workspace.models import AuditRow, Job, User

pytestmark = pytest.mark.django_db

ANSWERED = TurnResult(Turn.Outcome.ANSWERED, "Seven days. [1]", kind="extractive")


def say(conversation: Conversation, text: str = "How long do refunds take?", client_id: str = "c1") -> services.Added:
    return services.add_visitor_message(conversation_id=conversation.pk, text=text, client_id=client_id)


def fresh(conversation: Conversation) -> Conversation:
    return Conversation.every.get(pk=conversation.pk)


def log(conversation: Conversation) -> list[tuple[int, str]]:
    return [(event.seq, event.type) for event in events.read(fresh(conversation))]


class TestSpeaking:
    def test_a_visitor_message_is_stored_numbered_and_opens_a_turn(self, conversation: Conversation) -> None:
        added = say(conversation)
        assert added.turn is not None
        assert added.message.text == "How long do refunds take?"
        assert log(conversation) == [(1, "conversation.opened"), (2, "message.added")]
        assert fresh(conversation).waiting_since == added.message.created_at

    def test_the_same_client_id_is_one_message(self, conversation: Conversation) -> None:
        first, second = say(conversation), say(conversation)
        assert (first.duplicate, second.duplicate) == (False, True)
        assert first.message.pk == second.message.pk
        assert Message.objects.of(conversation.workspace).count() == 1
        assert Turn.objects.of(conversation.workspace).count() == 1

    def test_the_same_client_id_with_other_words_is_refused(self, conversation: Conversation) -> None:
        say(conversation)
        with pytest.raises(ClientIdReused):
            say(conversation, text="Something else")

    @pytest.mark.parametrize("text", ["Hi", "\x00 Hi", " \x00 H\x00i \x00\n"])
    def test_what_is_checked_already_stays_as_it_is(self, text: str) -> None:
        assert services.checked_text(text) == services.checked_text(services.checked_text(text)) == "Hi"

    @pytest.mark.parametrize("text", ["", "   ", "\n\t", "\x00"])
    def test_nothing_is_not_a_message(self, conversation: Conversation, text: str) -> None:
        with pytest.raises(EmptyText):
            say(conversation, text=text)
        assert log(conversation) == [(1, "conversation.opened")]

    def test_a_message_may_have_8000_characters_and_not_one_more(self, conversation: Conversation) -> None:
        say(conversation, text="长" * 8_000)
        with pytest.raises(TextTooLong):
            say(conversation, text="长" * 8_001, client_id="c2")

    def test_the_answer_ends_the_turn_and_the_wait(self, conversation: Conversation) -> None:
        turn = say(conversation).turn
        message = services.finish_turn(turn_id=turn.pk, result=ANSWERED)
        turn.refresh_from_db()
        assert (message.author, message.text, message.kind) == (Author.BOT, "Seven days. [1]", "extractive")
        assert (turn.outcome, turn.shown) == (Turn.Outcome.ANSWERED, "")
        assert fresh(conversation).waiting_since is None

    def test_a_turn_is_answered_once(self, conversation: Conversation) -> None:
        turn = say(conversation).turn
        services.finish_turn(turn_id=turn.pk, result=ANSWERED)
        with pytest.raises(LineTaken):
            services.finish_turn(turn_id=turn.pk, result=ANSWERED)

    def test_a_message_after_the_end_reopens_the_conversation_for_the_bot(
        self, conversation: Conversation, mei: User
    ) -> None:
        services.resolve(conversation_id=conversation.pk, agent=mei)
        added = say(conversation)
        assert added.turn is not None
        assert fresh(conversation).status == Status.BOT
        assert [kind for _, kind in log(conversation)][-2:] == ["conversation.reopened", "message.added"]

    def test_an_outcome_without_words_is_an_event(self, conversation: Conversation) -> None:
        turn = say(conversation).turn
        services.finish_turn(turn_id=turn.pk, result=TurnResult(Turn.Outcome.STOPPED))
        last = events.read(fresh(conversation))[-1]
        assert (last.type, last.data["outcome"], last.message) == ("turn.ended", "stopped", None)


class TestTheLine:
    def test_takeover_stores_what_was_shown_marks_it_and_silences_the_bot(
        self, conversation: Conversation, mei: User
    ) -> None:
        turn = say(conversation).turn
        services.take_over(conversation_id=conversation.pk, agent=mei, shown={turn.public_id: "Refunds take sev"})

        message = Message.objects.of(conversation.workspace).get(author=Author.BOT)
        assert (message.text, message.state) == ("Refunds take sev", Message.State.INTERRUPTED)
        assert [kind for _, kind in log(conversation)][-2:] == ["message.added", "agent.joined"]
        for write in (
            lambda: services.finish_turn(turn_id=turn.pk, result=ANSWERED),
            lambda: services.checkpoint_turn(turn_id=turn.pk, shown="Refunds take seven days"),
        ):
            with pytest.raises(LineTaken):
                write()
        assert Message.objects.of(conversation.workspace).filter(author=Author.BOT).count() == 1

    def test_without_a_report_of_what_was_shown_the_last_checkpoint_is_kept(
        self, conversation: Conversation, mei: User
    ) -> None:
        turn = say(conversation).turn
        services.checkpoint_turn(turn_id=turn.pk, shown="Refunds take")
        services.take_over(conversation_id=conversation.pk, agent=mei)
        message = Message.objects.of(conversation.workspace).get(author=Author.BOT)
        assert message.text == "Refunds take"

        services.record_shown(turn_id=turn.pk, shown="Refunds take sev")
        message.refresh_from_db()
        assert message.text == "Refunds take sev"
        services.record_shown(turn_id=turn.pk, shown="Something else entirely, and longer")
        message.refresh_from_db()
        assert message.text == "Refunds take sev"

    def test_nothing_shown_leaves_no_empty_bubble(self, conversation: Conversation, mei: User) -> None:
        say(conversation)
        services.take_over(conversation_id=conversation.pk, agent=mei)
        assert not Message.objects.of(conversation.workspace).filter(author=Author.BOT).exists()
        assert [kind for _, kind in log(conversation)][-2:] == ["turn.ended", "agent.joined"]

    def test_only_one_agent_gets_the_line_and_the_other_is_told_who(
        self, conversation: Conversation, mei: User, tom: User
    ) -> None:
        services.take_over(conversation_id=conversation.pk, agent=mei)
        with pytest.raises(AlreadyTaken) as refused:
            services.take_over(conversation_id=conversation.pk, agent=tom)
        assert refused.value.holder == "Mei"
        with pytest.raises(AlreadyTaken):
            services.resolve(conversation_id=conversation.pk, agent=tom)

    def test_taking_what_one_holds_changes_nothing(self, conversation: Conversation, mei: User) -> None:
        first = services.take_over(conversation_id=conversation.pk, agent=mei)
        second = services.take_over(conversation_id=conversation.pk, agent=mei)
        assert first.epoch == second.epoch

    def test_while_an_agent_holds_the_line_a_visitor_message_opens_no_turn(
        self, conversation: Conversation, mei: User
    ) -> None:
        services.take_over(conversation_id=conversation.pk, agent=mei)
        assert say(conversation).turn is None

    def test_only_the_holder_may_reply_and_a_reply_sent_twice_is_one(
        self, conversation: Conversation, mei: User, tom: User
    ) -> None:
        with pytest.raises(NotHolder):
            services.reply(conversation_id=conversation.pk, agent=mei, text="Hi", client_id="r1")
        services.take_over(conversation_id=conversation.pk, agent=mei)
        first = services.reply(conversation_id=conversation.pk, agent=mei, text="Hi", client_id="r1")
        assert services.reply(conversation_id=conversation.pk, agent=mei, text="Hi", client_id="r1").pk == first.pk
        with pytest.raises(NotHolder):
            services.reply(conversation_id=conversation.pk, agent=tom, text="Me too", client_id="r2")

    def test_hand_back_gives_the_bot_what_nobody_answered(self, conversation: Conversation, mei: User) -> None:
        services.take_over(conversation_id=conversation.pk, agent=mei)
        say(conversation)
        turn = services.hand_back(conversation_id=conversation.pk, agent=mei)
        assert turn.epoch == fresh(conversation).epoch
        assert fresh(conversation).status == Status.BOT
        services.finish_turn(turn_id=turn.pk, result=ANSWERED)

    def test_hand_back_after_the_agents_answer_owes_nothing(self, conversation: Conversation, mei: User) -> None:
        say(conversation)
        services.take_over(conversation_id=conversation.pk, agent=mei)
        services.reply(conversation_id=conversation.pk, agent=mei, text="Seven days.", client_id="r1")
        assert services.hand_back(conversation_id=conversation.pk, agent=mei) is None

    def test_a_turn_from_before_a_takeover_is_refused_even_when_the_bot_has_the_line_again(
        self, conversation: Conversation, mei: User
    ) -> None:
        turn = say(conversation).turn
        services.take_over(conversation_id=conversation.pk, agent=mei)
        services.hand_back(conversation_id=conversation.pk, agent=mei)
        Turn.every.filter(pk=turn.pk).update(outcome=Turn.Outcome.RUNNING, ended_at=None)
        with pytest.raises(LineTaken):
            services.finish_turn(turn_id=turn.pk, result=ANSWERED)

    def test_the_wish_for_a_person_queues_and_the_visitor_may_change_their_mind(
        self, conversation: Conversation
    ) -> None:
        say(conversation)
        services.request_person(conversation_id=conversation.pk)
        assert fresh(conversation).status == Status.QUEUED
        waiting_since = fresh(conversation).waiting_since
        services.request_person(conversation_id=conversation.pk)
        assert fresh(conversation).waiting_since == waiting_since

        services.back_to_bot(conversation_id=conversation.pk)
        assert fresh(conversation).status == Status.BOT
        with pytest.raises(NotWaiting):
            services.back_to_bot(conversation_id=conversation.pk)

    def test_in_the_queue_nobody_generates(self, conversation: Conversation) -> None:
        services.request_person(conversation_id=conversation.pk)
        assert say(conversation).turn is None

    def test_the_bot_can_hand_off_and_its_last_words_are_stored_before_the_queue(
        self, conversation: Conversation
    ) -> None:
        turn = say(conversation, text="I want a person").turn
        result = TurnResult(Turn.Outcome.HANDED_OFF, "A person will join.", hand_off_reason="visitor_asked")
        services.finish_turn(turn_id=turn.pk, result=result)
        assert [kind for _, kind in log(conversation)][-2:] == ["message.added", "person.requested"]
        assert fresh(conversation).status == Status.QUEUED
        assert fresh(conversation).waiting_since is not None

    def test_every_handover_raises_the_epoch_and_begins_an_episode(self, conversation: Conversation, mei: User) -> None:
        services.request_person(conversation_id=conversation.pk)
        services.take_over(conversation_id=conversation.pk, agent=mei)
        services.hand_back(conversation_id=conversation.pk, agent=mei)
        services.resolve(conversation_id=conversation.pk, agent=mei)

        episodes = Episode.objects.of(conversation.workspace).order_by("pk")
        assert [episode.party for episode in episodes] == ["bot", "queued", "agent", "bot"]
        assert all(episode.ended_at for episode in episodes)
        assert fresh(conversation).epoch == 5

    def test_takeover_hand_back_and_resolve_are_in_the_audit_trail(self, conversation: Conversation, mei: User) -> None:
        services.take_over(conversation_id=conversation.pk, agent=mei)
        services.hand_back(conversation_id=conversation.pk, agent=mei)
        services.resolve(conversation_id=conversation.pk, agent=mei)
        rows = AuditRow.objects.of(conversation.workspace).order_by("seq")
        assert [row.action.split(".")[1] for row in rows] == ["take_over", "hand_back", "resolve"]
        assert {row.actor for row in rows} == {mei.public_id}


class TestTheRecord:
    def test_events_are_numbered_without_gaps_and_replay_from_any_point(
        self, conversation: Conversation, mei: User
    ) -> None:
        for number in range(3):
            turn = say(conversation, text=f"Question {number}", client_id=f"c{number}").turn
            services.finish_turn(turn_id=turn.pk, result=ANSWERED)
        services.take_over(conversation_id=conversation.pk, agent=mei)

        whole = events.read(fresh(conversation))
        assert [event.seq for event in whole] == list(range(1, len(whole) + 1))
        for after in range(len(whole) + 1):
            assert events.read(fresh(conversation), after=after) == whole[after:]

    def test_events_hold_no_words(self, conversation: Conversation) -> None:
        from conversations.models import Event

        say(conversation, text="my secret question")
        assert all("secret" not in str(event.data) for event in Event.objects.of(conversation.workspace))

    def test_a_lost_process_leaves_a_marked_answer_not_a_silence(self, conversation: Conversation) -> None:
        turn = say(conversation).turn
        services.checkpoint_turn(turn_id=turn.pk, shown="Refunds take")
        assert services.sweep_turns() == 0

        later = timezone.now() + dt.timedelta(seconds=checkpoints.TURN_LEASE_S + 1)
        assert services.sweep_turns(now=later) == 1
        turn.refresh_from_db()
        message = Message.objects.of(conversation.workspace).get(author=Author.BOT)
        assert (turn.outcome, turn.error) == (Turn.Outcome.INTERRUPTED, "process_lost")
        assert (message.text, message.state) == ("Refunds take", Message.State.INTERRUPTED)


class TestPlatforms:
    @pytest.fixture
    def telegram(self, workspace) -> Inbox:
        return Inbox.objects.of(workspace).create(name="Bot", kind=Inbox.Kind.TELEGRAM)

    def receive(self, inbox: Inbox, key: str = "u1", text: str = "Hello", **more) -> services.Added | None:
        return services.receive_from_platform(
            inbox=inbox, dedupe_keys=(key,), user_id="chat-42", thread_id="chat-42", text=text, user_name="李雷", **more
        )

    def test_a_message_is_taken_in_once_with_the_answer_owed_as_a_job(self, telegram: Inbox) -> None:
        added = self.receive(telegram)
        assert self.receive(telegram) is None
        job = Job.objects.of(telegram.workspace).get()
        assert (job.kind, job.payload) == (services.ANSWER_JOB, {"turn": added.turn.public_id})

    def test_one_person_is_one_contact_and_one_thread_one_conversation(self, telegram: Inbox) -> None:
        self.receive(telegram, key="u1")
        self.receive(telegram, key="u2")
        assert Contact.objects.of(telegram.workspace).get().name == "李雷"
        conversation = Conversation.objects.of(telegram.workspace).get()
        assert conversation.external_id == "chat-42"
        assert "chat-42" not in (conversation.external_key or "")

    def test_whatever_is_said_there_is_owed_a_delivery(self, telegram: Inbox) -> None:
        added = self.receive(telegram)
        message = services.finish_turn(turn_id=added.turn.pk, result=ANSWERED)
        assert message.delivery == Message.Delivery.PENDING
        assert Job.objects.of(telegram.workspace).filter(kind=services.DELIVER_JOB).get().payload == {
            "message": message.public_id
        }

    def test_a_fixed_reply_is_given_once_an_hour(self, telegram: Inbox) -> None:
        for key in ("u1", "u2"):
            self.receive(telegram, key=key, text="[voice]", fixed_reply="I can only read text.")
        said = Message.objects.of(telegram.workspace).filter(author=Author.BOT)
        assert [message.text for message in said] == ["I can only read text."]


def test_many_answers_are_kept_in_one_statement_and_only_those_whose_bot_has_the_line(
    inbox: Inbox, mei: User, django_assert_num_queries: Any
) -> None:
    asked = []
    for number in range(4):
        thread = services.open_conversation(inbox=inbox, contact=services.new_contact(inbox=inbox))
        asked.append(services.add_visitor_message(conversation_id=thread.pk, text="Hi", client_id=str(number)).turn)
    services.take_over(conversation_id=asked[1].conversation_id, agent=mei)
    services.finish_turn(turn_id=asked[2].pk, result=TurnResult(Turn.Outcome.ANSWERED, "Hello"))
    leased = [turn.lease_until for turn in asked]
    told = [checkpoints.Checkpoint(turn.pk, turn.public_id, turn.workspace_id, f"shown 退 {turn.pk}") for turn in asked]
    with django_assert_num_queries(1):
        kept = checkpoints.keep_shown(told)
    assert kept == {asked[0].pk, asked[3].pk}
    for at, turn in enumerate(asked):
        turn.refresh_from_db()
        assert (turn.shown == f"shown 退 {turn.pk}") == (turn.pk in kept)
        assert (turn.lease_until > leased[at]) == (turn.pk in kept)
    assert checkpoints.keep_shown([]) == frozenset()
