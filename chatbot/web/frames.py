"""What goes over the wire about events and messages, for visitors and for agents."""

from collections.abc import Mapping
from typing import Any

from chatbot.markdown import render, render_cut
from conversations.events import EventView, FileView, MessageView
from conversations.models import Author, Message
from conversations.queue import QueuePlace

VISITOR_DATA = {"reason", "agent", "outcome", "error", "turn", "message", "value", "score"}


def event_frame(event: EventView) -> dict[str, Any]:
    """An event as a visitor sees it."""
    frame: dict[str, Any] = {
        "type": "event",
        "seq": event.seq,
        "kind": event.type,
        "at": event.at.isoformat(),
        "data": {key: value for key, value in event.data.items() if key in VISITOR_DATA},
    }
    if event.message:
        frame["message"] = message_frame(event.message)
    if event.file:
        frame["file"] = file_frame(event.file)
    return frame


def file_frame(file: FileView) -> dict[str, Any]:
    return {
        "id": file.id,
        "author": file.author,
        "client_id": file.client_id,
        "name": file.name,
        "mime": file.mime,
        "size": file.size,
        "width": file.width,
        "height": file.height,
    }


def message_frame(message: MessageView) -> dict[str, Any]:
    """A message. Bot texts are rendered here; what people type is text and stays text."""
    frame: dict[str, Any] = {
        "id": message.id,
        "author": message.author,
        "at": message.created_at.isoformat(),
        "state": message.state,
        "kind": message.kind,
    }
    if message.author == Author.BOT:
        frame |= {
            "turn": message.turn,
            "of": message.of,
            "variant": message.variant,
            "html": bot_html(message),
            "citations": [citation_frame(citation) for citation in message.citations],
        }
    else:
        frame |= {"text": message.text}
    if message.revises:
        frame["revises"] = message.revises
    if message.client_id and message.author == Author.VISITOR:
        frame["client_id"] = message.client_id
    if message.agent_name:
        frame["name"] = message.agent_name
    return frame


def bot_html(message: MessageView) -> str:
    return render(message.text) if message.state == Message.State.COMPLETE else render_cut(message.text)


def citation_frame(citation: Mapping[str, Any]) -> dict[str, Any]:
    return {key: citation.get(key, "") for key in ("n", "passage", "title", "heading", "quote", "url")}


def queue_frame(place: QueuePlace) -> dict[str, Any]:
    return {
        "type": "queue",
        "place": place.place,
        "online": place.online,
        "wait_s": place.wait_s,
        "open": place.open,
        "opens_at": place.opens_at.isoformat() if place.opens_at else None,
    }
