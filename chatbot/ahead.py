"""What an answer needs of a visitor's words alone, begun while they are still being stored.

The storing waits for the database and the recognising for the processor: one after the other a question took both times
before its model was asked (docs/performance.md).
"""

import asyncio
import logging
from dataclasses import dataclass

from chatbot.crossing import cross
from chatbot.own_intents import recogniser
from chatbot.turn.values import Intent

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ahead:
    """Of `text`: its intent, on the way. Where it takes the text's vector to find it, the encoder remembers that too."""

    text: str
    finding: asyncio.Task[Intent]

    async def intent_of(self, text: str) -> Intent | None:
        """None: these are other words, or it could not be found ahead. It takes nothing from an answer that may find it yet."""
        if text != self.text:
            return None
        await asyncio.wait([self.finding])
        if self.finding.cancelled() or self.finding.exception():
            return None
        return self.finding.result()


def look_ahead(workspace: int, text: str) -> Ahead:
    """Begin with `text`, on the event loop."""
    finding = asyncio.create_task(cross(recogniser().recognise, workspace, text), name="looking ahead")
    finding.add_done_callback(_report)
    return Ahead(text, finding)


def _report(done: asyncio.Task[Intent]) -> None:
    if not done.cancelled() and (problem := done.exception()):
        logger.warning("looking ahead failed", extra={"problem": type(problem).__name__})
