"""The turn: from a question to what the visitor is told."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from chatbot.turn.gate import Gate
from chatbot.turn.prompt import build_prompt
from chatbot.turn.seams import Stages
from chatbot.turn.sentences import finished_part
from chatbot.turn.values import (
    Answered,
    AskedBack,
    Delta,
    Earlier,
    Evidence,
    Grounds,
    HandedOff,
    NoAnswer,
    Outcome,
    Query,
    Question,
    Refused,
    Retrieved,
)


async def answer(question: Question, on: Stages) -> AsyncGenerator[Delta | Outcome, None]:
    """Yield `Delta` while the answer is written, and last the `Outcome`. Raises `TurnFailed`."""
    language = on.languages.answers_in(question)

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

    query, retrieved, evidence = await _look_up(question, on)
    earlier = await on.memory.recall(question, query)
    by_memory = evidence.grounds is not Grounds.ENOUGH and bool(earlier.told or earlier.personal)
    if evidence.grounds is Grounds.UNDERSPECIFIED and not by_memory:
        yield AskedBack(on.replies.say("ask_back", language, choices="\n".join(f"- {c}" for c in evidence.choices)))
        return
    if evidence.grounds is Grounds.NONE and not by_memory:
        yield NoAnswer(on.replies.say("no_source", language))
        return

    if not by_memory and not evidence.conflicts and (written := await on.faq.answer(query, retrieved, language)):
        yield Gate.clear(written, on.moderation, refusal=on.replies.say("withheld", language))
        return

    if await on.allowance.is_spent(question):
        yield HandedOff(on.replies.say("handed_off", language), reason="budget")
        return

    passages = () if evidence.grounds is Grounds.NONE else retrieved.passages
    told = _told(earlier, language, on) if by_memory else ""
    prompt = build_prompt(question, passages, language, on.privacy, evidence.conflicts, earlier, told)
    said = (finished_part(each.text) if each.cut_short else each.text for each in question.history if each.sourced)
    sources = on.support.read((*prompt.sources, *prompt.earlier, prompt.told, question.text, *said))
    gate = Gate(prompt.passages, on.moderation, on.privacy, sources, strict=question.inbox.strict)
    async with aclosing(gate.release(on.model.stream(prompt))) as pieces:
        async for piece in pieces:
            yield Delta(piece)

    outcome = gate.outcome(on.replies, language)
    if not earlier:
        await on.cache.put(question, language, outcome)
    yield outcome


async def _look_up(question: Question, on: Stages) -> tuple[Query, Retrieved, Evidence]:
    """The question's own words first; once more with others beside them, where these are worth it."""
    query = on.queries.form(question)
    retrieved = await on.knowledge.retrieve(query)
    evidence = on.judge.weigh(query, retrieved)
    if also := await on.rewriter.rewrite(question, query, retrieved, evidence):
        query = replace(query, also=also)
        retrieved = await on.knowledge.retrieve(query)
        evidence = on.judge.weigh(query, retrieved)
    return query, retrieved, evidence


def _told(earlier: Earlier, language: str, on: Stages) -> str:
    """What to say where no model does."""
    if not earlier.told:
        return on.replies.say("no_source", language)
    return on.replies.say("told", language, quote=earlier.told)
