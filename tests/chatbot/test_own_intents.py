"""What an owner changes about intents: at once in this process, within a second in others."""

import pytest
from django.utils import timezone

from chatbot import own_intents
from chatbot.intents import recogniser as recognising
from chatbot.management.starter_intents import load_starter_intents
from chatbot.models import Intent, IntentExample
from workspace.models import Workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def held(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> recognising.Recogniser:
    monkeypatch.setattr(recognising, "LOOK_EVERY_S", 60.0)
    load_starter_intents(workspace)
    made = own_intents.recogniser()
    made.prepare(workspace.pk)
    made.recognise(workspace.pk, "Where is my order?")
    return made


def reply(held: recognising.Recogniser, workspace: Workspace) -> str:
    return held.recognise(workspace.pk, "hello").reply.get("en", "")


def greeting(workspace: Workspace) -> Intent:
    return Intent.objects.of(workspace).get(key="greeting")


def test_a_reply_that_is_edited_here_counts_at_once(held: recognising.Recogniser, workspace: Workspace) -> None:
    intent = greeting(workspace)
    intent.reply_en, intent.action = "Good day from the lamp shop.", Intent.Action.REPLY
    intent.updated_at = timezone.now()
    intent.save()
    assert reply(held, workspace) == "Good day from the lamp shop."


def test_an_example_that_is_taken_away_here_counts_at_once(held: recognising.Recogniser, workspace: Workspace) -> None:
    before = held._version(workspace.pk)
    example = IntentExample.objects.of(workspace).first()
    assert example
    example.delete()
    assert held._version(workspace.pk) != before


def test_what_others_change_is_looked_at_again_after_a_while(
    held: recognising.Recogniser, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = reply(held, workspace)
    Intent.objects.of(workspace).filter(key="greeting").update(  # as from another process: no signal
        reply_en="Good day.", action=Intent.Action.REPLY, updated_at="2030-01-01T00:00:00Z"
    )
    assert reply(held, workspace) == before
    monkeypatch.setattr(recognising, "LOOK_EVERY_S", 0.0)
    assert reply(held, workspace) == "Good day."
