"""How a turn ended, as the record keeps it."""

import time
from collections.abc import Mapping

from chatbot import store
from chatbot.live.log import TurnLog
from chatbot.replies import OwnerReplies
from chatbot.turn.language import answer_language
from chatbot.turn.values import Answered, AskedBack, HandedOff, NoAnswer, Outcome, Question, Refused
from chatbot.wiring import Record
from conversations.models import Inbox, Message, Turn
from conversations.services import TurnResult

BUSY = "busy"

_OUTCOMES: Mapping[type[Outcome], tuple[Turn.Outcome, str]] = {
    Answered: (Turn.Outcome.ANSWERED, "answer"),
    AskedBack: (Turn.Outcome.ASKED_BACK, "ask_back"),
    NoAnswer: (Turn.Outcome.NO_ANSWER, "no_source"),
    Refused: (Turn.Outcome.REFUSED, "refused"),
    HandedOff: (Turn.Outcome.HANDED_OFF, "handed_off"),
}


def fields_of(record: Record, log: TurnLog, began: float) -> dict[str, object]:
    """How an answer came about, as columns of its turn; `began` on the clock of `time.perf_counter`."""
    fields: dict[str, object] = record.as_fields() | {"total_ms": round((time.perf_counter() - began) * 1000)}
    if log.first_at is not None:
        fields["first_text_ms"] = round((log.first_at - began) * 1000)
    return fields


def rest_of(text: str, written: str) -> str:
    """What is to be shown of a whole answer after what was written of it: where the answer was cut, it lacks the white space
    that stood there. One that is another altogether replaces what was shown when it is stored."""
    written = written if text.startswith(written) else written.rstrip()
    return text[len(written) :] if text.startswith(written) else ""


def no_room(asked: str, inbox: Inbox) -> TurnResult:
    """What a visitor is told whose question is one too many. Blocking."""
    language = answer_language(asked, (), inbox.language)
    text = OwnerReplies(store.view_inbox(inbox)).say(BUSY, language)
    return TurnResult(Turn.Outcome.FAILED, text, kind="error", record={"error": BUSY, "language": language})


def failed(question: Question, record: Record, written: str, code: str) -> TurnResult:
    """What is kept of an answer that broke off after `written`: that much, or the word that it failed."""
    if written:
        return TurnResult(Turn.Outcome.FAILED, written, Message.State.INTERRUPTED, "answer", record={"error": code})
    text = OwnerReplies(question.inbox).say("failed", record.language or question.inbox.language)
    return TurnResult(Turn.Outcome.FAILED, text, kind="error", record={"error": code})


def result_of(outcome: Outcome) -> TurnResult:
    kind, label = _OUTCOMES[type(outcome)]
    record: dict[str, object] = {}
    if isinstance(outcome, Answered):
        label = outcome.source or label
        record["source"] = outcome.source
        if outcome.cached:
            record["model"] = "cache"
    return TurnResult(
        outcome=kind,
        text=outcome.text,
        kind=label,
        citations=[citation.as_dict() for citation in outcome.citations],
        hand_off_reason=outcome.reason if isinstance(outcome, HandedOff) else "",
        record=record,
    )


def with_record(result: TurnResult, fields: Mapping[str, object], record: Record) -> TurnResult:
    return TurnResult(
        outcome=result.outcome,
        text=result.text,
        state=result.state,
        kind=result.kind,
        citations=result.citations,
        hand_off_reason=result.hand_off_reason,
        mood=record.verdict.mood if record.verdict else "",
        record=fields,
    )
