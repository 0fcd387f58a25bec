"""Inboxes, contacts, conversations and everything that happens in them.

The truth about a conversation is its row (`status` and `epoch` say who holds the line), its messages, and its numbered
events. Turns are the bot's work on one question.
"""

from conversations.models.afterwards import Feedback, Rating, Recollection, Summary
from conversations.models.inboxes import Contact, Inbox
from conversations.models.line import Conversation, Episode, Status
from conversations.models.record import Attachment, Author, Event, InboundReceipt, Message, Turn

__all__ = [
    "Attachment",
    "Author",
    "Contact",
    "Conversation",
    "Episode",
    "Event",
    "Feedback",
    "InboundReceipt",
    "Inbox",
    "Message",
    "Rating",
    "Recollection",
    "Status",
    "Summary",
    "Turn",
]
