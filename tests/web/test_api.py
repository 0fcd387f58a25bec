"""The REST API: what a program is told."""

import hashlib

import pytest
from django.test import Client

from conversations import services
from conversations.models import Conversation
from workspace.models import ApiKey, Workspace

pytestmark = pytest.mark.django_db

KEY = "btn_test"


@pytest.fixture
def program(workspace: Workspace) -> Client:
    ApiKey.objects.of(workspace).create(name="till", secret_hash=hashlib.sha256(KEY.encode()).hexdigest(), hint="test")
    return Client(headers={"authorization": f"Bearer {KEY}"})


def test_conversations_and_their_record_are_listed_without_asking_for_a_number(
    program: Client, conversation: Conversation
) -> None:
    services.add_visitor_message(conversation_id=conversation.pk, text="Hello?", client_id="1")
    listed = program.get("/api/v1/conversations")
    assert (listed.status_code, [row["id"] for row in listed.json()]) == (200, [conversation.public_id])
    record = program.get(f"/api/v1/conversations/{conversation.public_id}/events")
    assert record.status_code == 200
    assert [event["type"] for event in record.json()] == ["conversation.opened", "message.added"]
    assert program.get("/api/v1/conversations?limit=0").status_code == 422
    assert program.get(f"/api/v1/conversations/{conversation.public_id}/events?after=1").json()[0]["seq"] == 2
