"""The demo shop: an invented business with its knowledge, its people and a day's conversations to look at."""

import datetime as dt
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone

from chatbot.management.starter_intents import load_starter_intents
from conversations import services
from conversations.models import Conversation, Episode, Event, Inbox, Message, Status, Turn
from conversations.services import TurnResult
from knowledge import services as knowledge
from workspace.models import Membership, User, Workspace
from workspace.roles import Role

FOLDER = Path(__file__).parent / "demo"
NAME = "Northwind Coffee Gear"
AGENT = "mei"
COLLECTION = "shop"
DOCUMENTS = "https://northwind.example/help"


def demo_workspace() -> Workspace | None:
    return Workspace.objects.filter(name=NAME).first()


def load_demo_shop(step: Callable[[str], None]) -> Workspace:
    """Make the demo shop; its knowledge is left as jobs. `step` hears what is being done."""
    with transaction.atomic():
        workspace = Workspace.objects.create(name=NAME)
        mei = User.objects.create(username=AGENT, display_name="Mei Lin", is_staff=True, is_superuser=True)
        mei.set_unusable_password()
        mei.save()
        Membership.objects.of(workspace).create(user=mei, role=Role.ADMIN)
        inbox = Inbox.objects.of(workspace).create(
            name="Shop website",
            language="en",
            texts={
                "greeting": {
                    "en": "Hello! I know our returns, shipping, warranty and grinder care. What can I do for you?",
                    "zh": "您好！退换货、发货、保修和器具保养，都可以问我。请问有什么可以帮您？",
                }
            },
        )
        step("intents")
        load_starter_intents(workspace)
        step("FAQ and documents")
        collection = knowledge.find_or_create_collection(workspace=workspace, name=COLLECTION)
        for path in sorted(FOLDER.glob("*.*")):
            if path.suffix in {".csv", ".md"}:
                knowledge.add_file(collection=collection, name=path.name, data=path.read_bytes())
        step("a day's conversations")
        _play_day(inbox, mei)
    return workspace


def _play_day(inbox: Inbox, agent: User) -> None:
    """Conversations as they might have been today, through the same services as real ones, then set back in time."""
    day = json.loads((FOLDER / "day.json").read_text(encoding="utf-8"))
    for script in day:
        conversation = services.open_conversation(
            inbox=inbox,
            contact=services.new_contact(inbox=inbox, language=script["language"]),
            language=script["language"],
        )
        if name := script.get("name"):
            conversation.contact.name = name
            conversation.contact.save(update_fields=["name"])
        for at, said in enumerate(script["steps"]):
            _play(conversation, said, f"demo-{at}", agent)
        _set_back(conversation, dt.timedelta(minutes=script["minutes_ago"]), script.get("pace_s", 25))


def _play(conversation: Conversation, said: Mapping[str, Any], client_id: str, agent: User) -> None:
    match said:
        case {"visitor": text}:
            services.add_visitor_message(conversation_id=conversation.pk, text=text, client_id=client_id)
        case {"bot": text}:
            turn = Turn.objects.of(conversation.workspace_id).filter(conversation=conversation).latest("pk")
            record = {
                "intent": said.get("intent", ""),
                "confidence": said.get("confidence"),
                "evidence": said.get("evidence"),
                "language": conversation.language[:2],
                "source": said.get("kind", ""),
                "first_text_ms": said.get("first_text_ms", 80),
                "total_ms": said.get("total_ms", 4_000),
            }
            services.finish_turn(
                turn_id=turn.pk,
                result=TurnResult(
                    outcome=Turn.Outcome(said.get("outcome", "answered")),
                    text=text,
                    kind=said.get("kind", "extractive"),
                    citations=said.get("citations", []),
                    hand_off_reason="visitor_asked" if said.get("outcome") == "handed_off" else "",
                    mood=said.get("mood", ""),
                    record=record,
                ),
            )
        case {"take_over": shown}:
            turns = Turn.objects.of(conversation.workspace_id).filter(
                conversation=conversation, outcome=Turn.Outcome.RUNNING
            )
            seen = {turn.public_id: shown for turn in turns}
            services.take_over(conversation_id=conversation.pk, agent=agent, shown=seen)
        case {"agent": text}:
            services.reply(conversation_id=conversation.pk, agent=agent, text=text, client_id=client_id)
        case {"hand_back": _}:
            services.hand_back(conversation_id=conversation.pk, agent=agent)
        case {"resolve": _}:
            services.resolve(conversation_id=conversation.pk, agent=agent)


def _set_back(conversation: Conversation, ago: dt.timedelta, pace_s: float) -> None:
    """Spread what was just played over the past, one event every `pace_s` seconds."""
    begun = timezone.now() - ago
    times: dict[int, dt.datetime] = {}
    for event in Event.objects.of(conversation.workspace_id).filter(conversation=conversation):
        times[event.seq] = begun + dt.timedelta(seconds=pace_s * (event.seq - 1))
        Event.objects.of(conversation.workspace_id).filter(pk=event.pk).update(at=times[event.seq])
    last = begun
    for message in Message.objects.of(conversation.workspace_id).filter(conversation=conversation):
        last = times[message.seq]
        Message.objects.of(conversation.workspace_id).filter(pk=message.pk).update(created_at=last)
    for turn in Turn.objects.of(conversation.workspace_id).filter(conversation=conversation).select_related("question"):
        asked = times[turn.question.seq]
        Turn.objects.of(conversation.workspace_id).filter(pk=turn.pk).update(
            started_at=asked, ended_at=asked + dt.timedelta(milliseconds=turn.total_ms or 4_000)
        )
    previous = None
    for episode in Episode.objects.of(conversation.workspace_id).filter(conversation=conversation).order_by("-pk"):
        started = times[episode.started_seq]
        Episode.objects.of(conversation.workspace_id).filter(pk=episode.pk).update(
            started_at=started, ended_at=None if episode.ended_at is None else (previous or last)
        )
        previous = started
    conversation.refresh_from_db()
    waiting = last if conversation.status == Status.QUEUED else None
    Conversation.objects.of(conversation.workspace_id).filter(pk=conversation.pk).update(
        created_at=begun, last_message_at=last, waiting_since=waiting
    )
