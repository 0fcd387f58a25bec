import ast
from pathlib import Path

import pytest
from django.apps import apps

from conversations.models import Conversation, Inbox
from workspace.models import Workspace
from workspace.tenancy import ForgotWorkspace, OwnedByWorkspace, OwnedManager

ROOT = Path(__file__).parents[2]
OURS = ("workspace", "conversations", "knowledge", "chatbot")
ABOVE_TENANTS = {"Workspace", "User", "LoginLink"}


@pytest.mark.parametrize("model", [m for name in OURS for m in apps.get_app_config(name).get_models()], ids=str)
def test_every_model_belongs_to_a_workspace(model) -> None:
    """Fails for any model that forgets its tenant: derive it from OwnedByWorkspace."""
    if model.__name__ in ABOVE_TENANTS:
        return
    assert issubclass(model, OwnedByWorkspace), f"{model.__name__} is not OwnedByWorkspace"
    assert not model._meta.get_field("workspace").null
    assert isinstance(model.objects, OwnedManager)
    assert model._default_manager.name == "every"


@pytest.mark.django_db
def test_rows_cannot_be_asked_for_without_saying_whose() -> None:
    for ask in ("all", "count", "first", "exists"):
        with pytest.raises(ForgotWorkspace):
            getattr(Conversation.objects, ask)()
    with pytest.raises(ForgotWorkspace):
        Conversation.objects.get(pk=1)
    with pytest.raises(ForgotWorkspace):
        Inbox.objects.create(name="nobody's")


@pytest.mark.django_db
def test_a_workspace_sees_and_creates_only_its_own_rows() -> None:
    ours, theirs = Workspace.objects.create(name="ours"), Workspace.objects.create(name="theirs")
    inbox = Inbox.objects.of(ours).create(name="Shop")
    Inbox.objects.of(theirs).create(name="Bank")

    assert inbox.workspace == ours
    assert [row.name for row in Inbox.objects.of(ours)] == ["Shop"]
    assert not Inbox.objects.of(theirs).filter(public_id=inbox.public_id).exists()
    assert [row.name for row in Inbox.objects.of(ours.pk).exclude(name="x").order_by("name")] == ["Shop"]


CROSSING = {
    # Sweepers and workers, which serve every workspace; and look-ups by an unguessable public id or a key just read.
    "workspace/leases.py",
    "workspace/tenancy.py",
    "workspace/models.py",
    "conversations/broadcast.py",
    "conversations/models/line.py",
    "conversations/services/bot.py",
    "conversations/services/record.py",
    "conversations/services/visitor.py",
    "conversations/events.py",
    "conversations/memory.py",
    "knowledge/models/documents.py",
    "knowledge/models/pieces.py",
    "knowledge/publishing.py",
    "knowledge/schedule.py",
    "knowledge/services.py",
    "knowledge/search.py",
    "chatbot/store.py",
    "chatbot/tasks.py",
    "chatbot/admin/owned.py",
    "chatbot/admin/intents.py",
    "chatbot/management/starter_intents.py",
    "chatbot/web/webhooks.py",
    "chatbot/web/api.py",
    "chatbot/web/access.py",
    "chatbot/web/sockets/widget.py",
    "chatbot/web/sockets/desk.py",
    "chatbot/web/pages/widget.py",
}


def test_only_the_listed_files_reach_across_workspaces() -> None:
    found = set()
    for package in OURS:
        for path in (ROOT / package).rglob("*.py"):
            if "migrations" in path.parts:
                continue
            tree = ast.parse(path.read_text())
            if any(isinstance(node, ast.Attribute) and node.attr == "every" for node in ast.walk(tree)):
                found.add(path.relative_to(ROOT).as_posix())
    assert found <= CROSSING, f"say whose rows are meant in {sorted(found - CROSSING)}"
