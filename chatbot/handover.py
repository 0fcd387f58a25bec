"""Taking the line from a bot that may be speaking: freeze what it says, in whatever process, then change hands.

Synchronous, for pages and the API. What the visitor has seen is stored with the handover; nothing more is released.
"""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from django.db import Error

from chatbot import redis_pool
from chatbot.live import relay
from chatbot.live.hub import hub
from conversations import services
from conversations.models import Conversation, Status, Turn
from conversations.services import Added, ConversationError
from workspace.models import User


def take_over(conversation: Conversation, agent: User) -> Conversation:
    """See `conversations.services.take_over`."""
    with _held(conversation) as shown:
        return services.take_over(conversation_id=conversation.pk, agent=agent, shown=shown)


def request_person(conversation: Conversation) -> None:
    """See `conversations.services.request_person`."""
    with _held(conversation) as shown:
        services.request_person(conversation_id=conversation.pk, shown=shown)


def resolve(conversation: Conversation, agent: User) -> None:
    """See `conversations.services.resolve`."""
    with _held(conversation) as shown:
        services.resolve(conversation_id=conversation.pk, agent=agent, shown=shown)


def edit_question(conversation: Conversation, *, message: str, text: str, client_id: str) -> Added:
    """See `conversations.services.edit_question`. Nothing is frozen for an edit that could not be made."""
    pk = conversation.pk
    if known := services.check_edit(conversation_id=pk, message=message, text=text, client_id=client_id):
        return Added(known, None, duplicate=True)
    with _held(conversation) as shown:
        return services.edit_question(conversation_id=pk, message=message, text=text, client_id=client_id, shown=shown)


@contextmanager
def _held(conversation: Conversation) -> Iterator[Mapping[str, str]]:
    """The bot's mouth held shut while the body changes the line, also of an answer that begins meanwhile; opened again if the
    body is refused."""
    hold = secrets.token_hex(8)
    done = True  # or unknown: in either case the record is asked before the bot speaks on
    try:
        yield _hold(conversation, hold)
    except ConversationError:
        done = not _is_the_bots(conversation)
        raise
    finally:
        hub().let_go(conversation.public_id, hold, done=done)
        if redis_pool.configured():
            relay.let_go_everywhere(conversation.public_id, hold, done=done)


def _hold(conversation: Conversation, hold: str) -> Mapping[str, str]:
    name = conversation.public_id
    shown = hub().hold(name, hold)
    if not redis_pool.configured():
        return shown
    running = Turn.objects.of(conversation.workspace_id).filter(conversation=conversation, outcome=Turn.Outcome.RUNNING)
    if any(shown.values()) or not running.exists():
        relay.hold_quietly(name, hold)
        return shown
    return {**shown, **relay.hold_everywhere(name, hold)}  # here it is at most about to begin: another may be speaking


def _is_the_bots(conversation: Conversation) -> bool:
    """Whether the bot may go on. Whoever comes second must not open its mouth again after the first one took the line."""
    try:
        return Conversation.objects.of(conversation.workspace_id).filter(pk=conversation.pk, status=Status.BOT).exists()
    except Error:
        return False  # unknown
