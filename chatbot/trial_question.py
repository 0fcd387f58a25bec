"""Ask a question outside any conversation, through the very same turn: the test page, the terminal, the API."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from chatbot.turn.answer import answer
from chatbot.turn.values import Answered, Citation, Delta, InboxView, Outcome, Passage, Question, TurnFailed
from chatbot.wiring import Record, stages_for
from workspace.models import Workspace


@dataclass(frozen=True)
class Tried:
    """What would be answered, and how it came about. `outcome` is the name of the outcome, or "failed"."""

    text: str
    outcome: str
    source: str
    citations: tuple[Citation, ...]
    language: str
    intent: str
    confidence: float
    evidence: float
    passages: tuple[Passage, ...]
    timings_ms: dict[str, float]
    error: str = ""


async def try_question(
    *, workspace: Workspace, question: str, collections: Sequence[str] = (), draft: bool = False
) -> Tried:
    """Run a turn to its end, on what is live or on the drafts. A failure is a result here, with its code."""
    record = Record()
    try:
        async for item in stream_question(
            workspace=workspace, question=question, collections=collections, record=record, draft=draft
        ):
            if isinstance(item, Outcome):
                return _tried(item, record)
    except TurnFailed as problem:
        return _tried(Outcome(""), record, problem.code)
    raise AssertionError("a turn ends with an outcome")


async def stream_question(
    *,
    workspace: Workspace,
    question: str,
    collections: Sequence[str],
    record: Record,
    pace: float = 0,
    draft: bool = False,
) -> AsyncGenerator[Delta | Outcome, None]:
    """The turn as it happens; `pace`: see `chatbot.wiring.stages_for`. Raises `TurnFailed`."""
    inbox = InboxView(
        id="",
        workspace=workspace.pk,
        business=workspace.name,
        language="en",
        collections=tuple(collections),
        draft=draft,
    )
    asked = Question("", "", question, inbox)
    async with aclosing(answer(asked, stages_for(asked, record, pace=pace))) as items:
        async for item in items:
            yield item


def _tried(outcome: Outcome, record: Record, error: str = "") -> Tried:
    return Tried(
        text=outcome.text,
        outcome="failed" if error else type(outcome).__name__,
        source=outcome.source if isinstance(outcome, Answered) else "",
        citations=outcome.citations,
        language=record.language,
        intent=record.intent.key if record.intent else "",
        confidence=record.intent.confidence if record.intent else 0.0,
        evidence=record.evidence.score if record.evidence else 0.0,
        passages=record.retrieved.passages if record.retrieved else (),
        timings_ms=dict(record.timings_ms),
        error=error,
    )
