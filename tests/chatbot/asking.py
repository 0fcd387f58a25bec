"""A question asked as any way in asks it, with whatever models the test has set up."""

import asyncio
import time

from chatbot import providers
from chatbot.live.hub import Hub
from chatbot.models import ModelCall
from chatbot.runner import Runner
from conversations import services
from conversations.models import Author, Conversation, Message, Turn

QUESTION = "How long do refunds take?"


def ask(conversation: Conversation, text: str = QUESTION) -> tuple[Turn, str]:
    """Run a turn to its end; the turn, and what the bot said."""
    turn = services.add_visitor_message(
        conversation_id=conversation.pk, text=text, client_id=str(time.monotonic())
    ).turn
    assert turn

    async def run() -> None:
        live = Hub()
        live.start()
        await Runner(live).start(turn, conversation=conversation.public_id, pace=0)
        await live.stop()
        await providers.close_providers()

    asyncio.run(run())
    turn.refresh_from_db()
    said = Message.objects.of(conversation.workspace).filter(conversation=conversation, author=Author.BOT).last()
    return turn, said.text if said else ""


def calls(conversation: Conversation) -> list[ModelCall]:
    return list(ModelCall.objects.of(conversation.workspace).order_by("pk"))
