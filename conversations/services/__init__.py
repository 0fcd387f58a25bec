"""The verbs of a conversation. Each is one function and one transaction; nothing else writes these tables.

Every function locks the conversation's row first, so that two of them never interleave on one conversation, and rings
the doorbell after its commit. Law 1: whatever the bot writes is refused (`LineTaken`) unless status and epoch are still
those its turn began with.
"""

from conversations.services.bot import (
    PLATFORM_TURN_LOST_S,
    checkpoint_turn,
    clear_way,
    finish_turn,
    merge_turn,
    record_shown,
    sweep_turns,
)
from conversations.services.errors import (
    AlreadyTaken,
    ClientIdReused,
    ConversationError,
    EmptyText,
    LineTaken,
    NotEditable,
    NotHolder,
    NotRepeatable,
    NotWaiting,
    TextTooLong,
)
from conversations.services.line import back_to_bot, hand_back, reply, request_person, resolve, take_over
from conversations.services.record import ANSWER_JOB, DELIVER_JOB, Shown, TurnResult
from conversations.services.visitor import (
    MAX_TEXT,
    Added,
    Refusal,
    add_visitor_message,
    check_edit,
    checked_text,
    edit_question,
    find_or_open_thread,
    leave_details,
    new_contact,
    open_conversation,
    receive_from_platform,
    repeat_turn,
)

__all__ = [
    "ANSWER_JOB",
    "DELIVER_JOB",
    "MAX_TEXT",
    "PLATFORM_TURN_LOST_S",
    "Added",
    "AlreadyTaken",
    "ClientIdReused",
    "ConversationError",
    "EmptyText",
    "LineTaken",
    "NotEditable",
    "NotHolder",
    "NotRepeatable",
    "NotWaiting",
    "Refusal",
    "Shown",
    "TextTooLong",
    "TurnResult",
    "add_visitor_message",
    "back_to_bot",
    "check_edit",
    "checked_text",
    "checkpoint_turn",
    "clear_way",
    "edit_question",
    "find_or_open_thread",
    "finish_turn",
    "hand_back",
    "leave_details",
    "merge_turn",
    "new_contact",
    "open_conversation",
    "receive_from_platform",
    "record_shown",
    "repeat_turn",
    "reply",
    "request_person",
    "resolve",
    "sweep_turns",
    "take_over",
]
