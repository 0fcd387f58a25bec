"""What the desk says beside a thread."""

import pytest
from django.test import Client
from django.utils import timezone

from conversations import services
from conversations.models import Contact, Conversation, Inbox, Turn
from knowledge import services as knowledge
from knowledge.models import Chunk, Entry
from workspace.models import User, Workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def conversation(inbox: Inbox) -> Conversation:
    contact = Contact.objects.of(inbox.workspace_id).create(inbox=inbox)
    return services.open_conversation(inbox=inbox, contact=contact)


def found(workspace: Workspace) -> tuple[Entry, Chunk]:
    """An entry and a passage of a collection."""
    collection = knowledge.find_or_create_collection(workspace=workspace, name="shop")
    for name, text in (
        ("faq.csv", "question,answer\nHow long do refunds take?,Seven days.\n"),
        ("guide.md", "# Care\n\n## Burrs\n\nBrush the burrs every two weeks.\n"),
    ):
        knowledge.read_document(document=knowledge.add_file(collection=collection, name=name, data=text.encode()))
    return Entry.objects.of(workspace).get(), Chunk.objects.of(workspace).get(entry=None)


def test_passages_are_named_by_what_they_are(conversation: Conversation, mei: User) -> None:
    entry, chunk = found(conversation.inbox.workspace)
    scores = {"document": "", "score": 0.9, "cosine": 0.8, "coverage": 0.7}
    ids = (entry.public_id, chunk.public_id, "chk_deleted")
    turn = services.add_visitor_message(conversation_id=conversation.pk, text="How long?", client_id="one").turn
    assert turn
    passages = [{"id": each, **scores} for each in ids]
    Turn.every.filter(pk=turn.pk).update(outcome=Turn.Outcome.ANSWERED, ended_at=timezone.now(), passages=passages)
    client = Client()
    client.force_login(mei)
    page = client.get(f"/desk/{conversation.public_id}/about/")
    names = [passage["name"] for passage in page.context["turns"][0]["passages"]]
    assert names == ["How long do refunds take?", "Care › Burrs", ""], "the title does not stand there twice"
    for words in (*names[:2], "no longer there"):
        assert words in page.content.decode()
