"""The turn: from a question to what the visitor is told."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from chatbot.turn.gate import Gate
from chatbot.turn.prompt import build_prompt
from chatbot.turn.seams import Stages
from chatbot.turn.values import (
    Answered,
    AskedBack,
    Delta,
    Grounds,
    HandedOff,
    NoAnswer,
    Outcome,
    Question,
    Refused,
)


async def answer(question: Question, on: Stages) -> AsyncGenerator[Delta | Outcome, None]:
    """Yield `Delta` while the answer is written, and last the `Outcome`. Raises `TurnFailed`."""
    language = on.languages.detect(question.text, question.inbox.language)

    intent = await on.intents.classify(question.text, language)
    if intent.wants_person:
        yield HandedOff(on.replies.say("handed_off", language))
        return

    verdict = await on.moderation.judge(question.text, language)
    if verdict.refused:
        yield Refused(on.replies.say("refused", language), category=verdict.refused)
        return

    if reply := on.replies.small_talk(intent, language):
        yield Gate.clear(Answered(reply, source="reply"), on.moderation, refusal=on.replies.say("withheld", language))
        return

    if known := await on.cache.get(question, language):
        yield known
        return

    query = on.queries.form(question)
    retrieved = await on.knowledge.retrieve(query)
    evidence = on.judge.weigh(query, retrieved)
    if evidence.grounds is Grounds.UNDERSPECIFIED:
        yield AskedBack(on.replies.say("ask_back", language, choices="\n".join(f"- {c}" for c in evidence.choices)))
        return
    if evidence.grounds is Grounds.NONE:
        yield NoAnswer(on.replies.say("no_source", language))
        return

    if not evidence.conflicts and (written := await on.faq.answer(query, retrieved, language)):
        yield Gate.clear(written, on.moderation, refusal=on.replies.say("withheld", language))
        return

    if await on.allowance.is_spent(question):
        yield HandedOff(on.replies.say("handed_off", language), reason="budget")
        return

    prompt = build_prompt(question, retrieved.passages, language, on.privacy, evidence.conflicts)
    said = (earlier.text for earlier in question.history)
    sources = on.support.read((*prompt.sources, question.text, *said))
    gate = Gate(prompt.passages, on.moderation, on.privacy, sources, strict=question.inbox.strict)
    async with aclosing(gate.release(on.model.stream(prompt))) as pieces:
        async for piece in pieces:
            yield Delta(piece)

    outcome = gate.outcome(on.replies, language)
    await on.cache.put(question, language, outcome)
    yield outcome
