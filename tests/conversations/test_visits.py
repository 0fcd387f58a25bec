"""Opening hours, the form before a chat, thumbs and ratings, and visitors whom a site vouches for."""

import datetime as dt

import pytest

from conversations import events, feedback, identity, prechat, services
from conversations.hours import BadHours, Opening, check_hours, opening
from conversations.models import Contact, Conversation, Feedback, Inbox, Rating, Turn
from conversations.services import TurnResult
from workspace.models import User

SHANGHAI = {
    "time_zone": "Asia/Shanghai",
    "weekly": {"mon": [["09:00", "12:00"], ["13:00", "18:00"]], "sat": [["20:00", "24:00"]]},
    "holidays": ["2026-11-30"],
}


@pytest.mark.parametrize(
    ("utc", "expected"),
    [
        ("2026-11-23T01:00", Opening(True)),  # Monday 09:00 there
        ("2026-11-23T04:30", Opening(False, dt.datetime(2026, 11, 23, 5, tzinfo=dt.UTC))),  # lunch
        ("2026-11-23T10:00", Opening(False, dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC))),  # closing time is closed
        ("2026-11-28T15:59", Opening(True)),  # Saturday until midnight there
        ("2026-11-28T16:00", Opening(False, dt.datetime(2026, 12, 5, 12, tzinfo=dt.UTC))),  # next Monday is a holiday
    ],
)
def test_it_is_open_when_the_clock_of_the_shop_says_so(utc: str, expected: Opening) -> None:
    assert opening(SHANGHAI, dt.datetime.fromisoformat(utc).replace(tzinfo=dt.UTC)) == expected


def test_summer_time_is_the_shops_own() -> None:
    hours = {"time_zone": "Europe/Berlin", "weekly": {"sun": [["09:00", "10:00"]]}}
    before, after = dt.datetime(2026, 3, 22, 8, 30, tzinfo=dt.UTC), dt.datetime(2026, 3, 29, 7, 30, tzinfo=dt.UTC)
    assert opening(hours, before).open
    assert opening(hours, after).open


def test_no_setting_and_a_broken_one_turn_nobody_away() -> None:
    now = dt.datetime.now(dt.UTC)
    assert opening({}, now) == opening({"time_zone": "Mars/Olympus"}, now) == Opening(True)


@pytest.mark.parametrize(
    "hours",
    [
        [],
        {"zone": "UTC"},
        {"time_zone": "Nowhere/At all", "weekly": {}},
        {"time_zone": "UTC"},
        {"time_zone": "UTC", "weekly": {"monday": []}},
        {"time_zone": "UTC", "weekly": {"mon": [["9:00", "18:00"]]}},
        {"time_zone": "UTC", "weekly": {"mon": [["18:00", "09:00"]]}},
        {"time_zone": "UTC", "weekly": {}, "holidays": ["1 October"]},
    ],
)
def test_hours_that_cannot_be_used_are_refused_with_a_sentence(hours) -> None:
    with pytest.raises(BadHours) as refused:
        check_hours(hours)
    assert str(refused.value)


FORM = [
    {"key": "name", "label": {"en": "Name", "zh": "姓名"}},
    {"key": "email", "kind": "email", "required": True, "label": {"en": "E-mail", "zh": "邮箱"}},
    {"key": "phone", "kind": "tel", "label": {"en": "Phone"}},
    {
        "key": "topic",
        "kind": "choice",
        "label": {"en": "Topic", "zh": "主题"},
        "choices": [{"en": "Order", "zh": "订单"}, {"en": "Repair", "zh": "维修"}],
    },
]


def test_the_fields_come_in_the_visitors_language() -> None:
    fields = prechat.fields_in(FORM, "zh")
    assert [field["label"] for field in fields] == ["姓名", "邮箱", "Phone", "主题"]
    assert fields[3]["choices"][1] == {"value": "Repair", "label": "维修"}
    assert [field["autocomplete"] for field in fields] == ["name", "email", "tel", "off"]


def test_every_wrong_answer_is_named() -> None:
    checked = prechat.check_answers(FORM, {"name": "x" * 300, "phone": "call me", "topic": "Weather", "email": " "})
    assert checked.wrong == {"name": "invalid", "email": "required", "phone": "phone", "topic": "invalid"}
    checked = prechat.check_answers(FORM, {"email": "li.lei@example.com", "topic": "Order", "unasked": "x"})
    assert (checked.answers, checked.wrong) == ({"email": "li.lei@example.com", "topic": "Order"}, {})
    assert prechat.check_answers(FORM, {"email": "nobody"}).wrong == {"email": "email"}


@pytest.mark.parametrize(
    "form",
    [
        {},
        [{"label": {"en": "A"}}],
        [{"key": "A b", "label": {"en": "A"}}],
        [{"key": "a"}],
        [{"key": "a", "label": {"en": "A"}, "kind": "password"}],
        [{"key": "a", "label": {"en": "A"}, "kind": "choice"}],
        [{"key": "a", "label": {"en": "A"}}, {"key": "a", "label": {"en": "B"}}],
        [{"key": f"a{n}", "label": {"en": "A"}} for n in range(9)],
    ],
)
def test_a_form_that_cannot_be_used_is_refused_and_asks_for_nothing(form) -> None:
    with pytest.raises(prechat.BadForm):
        prechat.check_form(form)
    assert prechat.fields_in(form, "en") == []


@pytest.mark.django_db
def test_answers_fill_the_contact(conversation: Conversation) -> None:
    contact = conversation.contact
    prechat.fill_contact(contact, {"name": "Li Lei", "topic": "Order"})
    contact.refresh_from_db()
    assert (contact.name, contact.details) == ("Li Lei", {"topic": "Order"})


@pytest.fixture
def answer(conversation: Conversation):
    added = services.add_visitor_message(conversation_id=conversation.pk, text="Refunds?", client_id="q")
    return services.finish_turn(
        turn_id=added.turn.pk, result=TurnResult(Turn.Outcome.ANSWERED, "Seven days.", kind="generated")
    )


@pytest.mark.django_db
class TestFeedback:
    def test_the_newest_judgement_counts_and_is_in_the_record(self, conversation: Conversation, answer) -> None:
        def judge(value: int, reason: str = "") -> Feedback:
            return feedback.judge(conversation_id=conversation.pk, message=answer.public_id, value=value, reason=reason)

        judge(-1)
        judge(-1, "Wrong product")
        assert Feedback.objects.of(conversation.workspace_id).get().reason == "Wrong product"
        judge(1)
        judge(1)
        kept = Feedback.objects.of(conversation.workspace_id).get()
        assert (kept.value, kept.reason) == (1, None)
        log = [event.data for event in events.read(conversation) if event.type == "answer.judged"]
        assert [data["value"] for data in log] == [-1, -1, 1]

    def test_only_answers_of_this_conversation_can_be_judged(self, conversation: Conversation, answer) -> None:
        other = services.open_conversation(inbox=conversation.inbox, contact=conversation.contact)
        for target, value in ((other, 1), (conversation, 5)):
            with pytest.raises(feedback.CannotJudge):
                feedback.judge(conversation_id=target.pk, message=answer.public_id, value=value)

    def test_a_conversation_is_rated_once_at_its_end(self, conversation: Conversation, mei: User) -> None:
        with pytest.raises(feedback.CannotJudge):
            feedback.rate(conversation_id=conversation.pk, score=5)
        services.take_over(conversation_id=conversation.pk, agent=mei)
        services.resolve(conversation_id=conversation.pk, agent=mei)
        for score in (0, 6):
            with pytest.raises(feedback.CannotJudge):
                feedback.rate(conversation_id=conversation.pk, score=score)
        rating = feedback.rate(conversation_id=conversation.pk, score=4, comment="Quick!")
        assert (rating.score, rating.agent) == (4, mei)
        with pytest.raises(feedback.AlreadyRated):
            feedback.rate(conversation_id=conversation.pk, score=1)
        assert Rating.objects.of(conversation.workspace_id).get().comment == "Quick!"


@pytest.mark.django_db
class TestIdentity:
    ann = identity.Person("ann-1", "Ann", "ann@example.com")

    def test_an_anonymous_conversation_becomes_hers(self, inbox: Inbox, conversation: Conversation) -> None:
        assert identity.identify(inbox=inbox, person=self.ann, current=conversation) == conversation
        contact = Contact.objects.of(inbox.workspace_id).get()
        assert (contact.name, contact.email, contact.external_id) == ("Ann", "ann@example.com", "ann-1")

    def test_on_another_device_she_finds_it_again(self, inbox: Inbox, conversation: Conversation) -> None:
        identity.identify(inbox=inbox, person=self.ann, current=conversation)
        assert identity.identify(inbox=inbox, person=self.ann, current=None) == conversation
        second = services.open_conversation(inbox=inbox, contact=services.new_contact(inbox=inbox))
        assert identity.identify(inbox=inbox, person=self.ann, current=second) == second
        second.refresh_from_db()
        assert second.contact == conversation.contact

    def test_a_conversation_of_somebody_else_is_left_alone(self, inbox: Inbox, conversation: Conversation) -> None:
        identity.identify(inbox=inbox, person=self.ann, current=conversation)
        conversation.contact.refresh_from_db()
        bob = identity.Person("bob-2", "Bob")
        assert identity.identify(inbox=inbox, person=bob, current=conversation) is None
        conversation.refresh_from_db()
        assert conversation.contact.name == "Ann"
