"""How an event of a conversation is shown to an agent."""

from typing import Any

from chatbot.web.frames import bot_html
from conversations.events import EventView, Kind
from conversations.models import Author

QUIET = {Kind.CONVERSATION_OPENED}


def event_context(event: EventView) -> dict[str, Any]:
    """What ``desk/_event.html`` needs. Texts of people are shown as text, the bot's as Markdown."""
    message = event.message
    return {
        "event": event,
        "message": message,
        "html": bot_html(message) if message and message.author == Author.BOT else "",
        "quiet": event.type in QUIET or (event.type == Kind.TURN_ENDED and not event.data.get("error")),
    }
