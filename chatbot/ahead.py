"""What an answer needs of a visitor's words alone, begun while they are still being stored.

The storing waits for the database and the recognising for the processor: one after the other a question took both times
before its model was asked (docs/performance.md).
"""

import asyncio
from dataclasses import dataclass

from chatbot.crossing import cross
from chatbot.own_intents import recogniser
from chatbot.turn.values import Intent
from knowledge.embedding import question_vector


@dataclass(frozen=True)
class Ahead:
    """Of `text`: its intent, on the way, after which the encoder remembers its vector."""

    text: str
    intent: asyncio.Task[Intent]


def look_ahead(workspace: int, text: str) -> Ahead:
    """Begin with `text`, on the event loop. Whoever waits for the intent is told what went wrong."""
    intent = asyncio.create_task(cross(_look_ahead, workspace, text), name="looking ahead")
    intent.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may come to wait for it
    return Ahead(text, intent)


def _look_ahead(workspace: int, text: str) -> Intent:
    intent = recogniser().recognise(workspace, text)
    if not intent.wants_person:
        question_vector(text)
    return intent
