"""Statements that are written once give what Django's own would, for each set of values."""

import datetime as dt

import pytest
from django.db import connection, transaction
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from conversations import services
from conversations.models import Author, Conversation, Event, Message, Turn
from workspace.prepared import Rows, insert, update

pytestmark = pytest.mark.django_db


def by_author(author: str, conversation: int) -> QuerySet[Message]:
    return Message.every.filter(author=author, conversation=conversation).select_related("conversation__inbox")


@pytest.fixture
def said(conversation: Conversation) -> list[Message]:
    return [
        services.add_visitor_message(
            conversation_id=conversation.pk, text=f"Refunds {number}?", client_id=f"c{number}"
        ).message
        for number in range(4)
    ]


def test_rows_come_with_what_they_refer_to_and_sealed_columns_open(
    conversation: Conversation, said: list[Message]
) -> None:
    rows = Rows(by_author, author=str, conversation=int)
    rows.all(author="nobody", conversation=1)
    with CaptureQueriesContext(connection) as queries:
        found = rows.all(author=Author.VISITOR, conversation=conversation.pk)
        assert [message.text for message in found] == [message.text for message in said]
        assert {message.conversation.inbox.name for message in found} == {conversation.inbox.name}
    assert len(queries) == 1
    assert found == said
    assert found[0]._state.db == "default"
    assert not found[0]._state.adding
    assert rows.all(author=Author.BOT, conversation=conversation.pk) == []


def test_one_row_none_and_the_first(conversation: Conversation, said: list[Message]) -> None:
    rows = Rows(lambda seq: Message.every.filter(conversation=conversation, seq=seq), seq=int)
    assert rows.get(seq=said[1].seq) == said[1]
    assert rows.first(seq=10_000) is None
    with pytest.raises(Message.DoesNotExist):
        rows.get(seq=10_000)


def test_a_list_may_be_shorter_than_what_was_written(conversation: Conversation, said: list[Message]) -> None:
    rows = Rows(lambda keys: Message.every.filter(pk__in=keys).order_by("pk"), keys=(int,) * 4)
    assert rows.all(keys=[message.pk for message in said]) == said
    assert rows.all(keys=[said[2].pk]) == [said[2]]
    assert rows.all(keys=[said[0].pk, said[3].pk]) == [said[0], said[3]]


def test_moments(conversation: Conversation, said: list[Message]) -> None:
    rows = Rows(lambda at: Event.every.filter(conversation=conversation, at__lte=at), at=dt.datetime)
    now = timezone.now()
    assert len(rows.all(at=now)) == len(said) + 1
    assert rows.all(at=now - dt.timedelta(days=1)) == []


def test_a_value_that_is_nowhere_in_the_statement_is_a_mistake() -> None:
    rows = Rows(lambda seq, client: Message.every.filter(seq=seq), seq=int, client=str)
    with pytest.raises(ValueError, match="client"):
        rows.all(seq=1, client="c1")


def test_what_is_inserted_is_what_saving_would_have_written(conversation: Conversation, said: list[Message]) -> None:
    def message(seq: int) -> Message:
        return Message(
            workspace_id=conversation.workspace_id, conversation=conversation, seq=seq, epoch=1, author=Author.BOT,
            text="退款 七天", citations=[{"n": 1, "title": "退款"}], created_at=said[0].created_at,
        )  # fmt: skip

    prepared, saved = message(100), message(101)
    insert(prepared)
    saved.save()
    assert prepared.pk
    assert not prepared._state.adding
    one, other = Message.every.filter(pk__in=[prepared.pk, saved.pk]).order_by("seq")
    for field in Message._meta.concrete_fields:
        if field.name not in {"id", "public_id", "seq"}:
            assert getattr(one, field.attname) == getattr(other, field.attname), field.name
    with connection.cursor() as cursor:
        cursor.execute("SELECT text FROM conversations_message WHERE id = %s", [prepared.pk])
        assert "退款" not in cursor.fetchone()[0]


def test_only_the_named_columns_are_updated(conversation: Conversation, said: list[Message]) -> None:
    turn = Turn.every.filter(question=said[0]).get()
    other = Turn.every.filter(question=said[1]).get()
    turn.shown, turn.flags, turn.intent, turn.repeats = "七天", {"masked": True}, "refund", other
    update(turn, ("shown", "flags", "repeats"))
    kept = Turn.every.get(pk=turn.pk)
    assert (kept.shown, kept.flags, kept.intent, kept.repeats) == ("七天", {"masked": True}, "", other)
    assert Turn.every.get(pk=other.pk).shown == ""


def test_a_lock_is_written_into_the_statement(conversation: Conversation) -> None:
    rows = Rows(lambda key: Conversation.every.select_for_update().filter(pk=key), key=int)
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        assert rows.get(key=conversation.pk) == conversation
    locks = "FOR UPDATE" in queries[0]["sql"]
    assert locks is connection.features.has_select_for_update
