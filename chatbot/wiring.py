"""The one file that names concrete classes: what fills each seam of the turn, and what it reports."""

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from django.conf import settings

from chatbot import providers, redis_pool, retriever
from chatbot.ahead import Ahead
from chatbot.cache import AnswerCache, MemoryShelf, RedisShelf, Shelf
from chatbot.crossing import cross
from chatbot.ledger import Step
from chatbot.llm.extractive import MODEL, Extractive
from chatbot.llm.fallback import Fallback
from chatbot.memory import ContactMemory
from chatbot.moderation.judge import WordModeration
from chatbot.moderation.masking import Masker
from chatbot.own_intents import recogniser
from chatbot.providers import Generated
from chatbot.replies import OwnerReplies
from chatbot.retriever import HybridRetriever
from chatbot.rewriting import ByModel
from chatbot.turn.evidence import ByStrength
from chatbot.turn.faq import faq_answer
from chatbot.turn.language import ByScript
from chatbot.turn.prompt import PROMPT_VERSION
from chatbot.turn.query import WithContext
from chatbot.turn.seams import Model, Stages
from chatbot.turn.support import Sources
from chatbot.turn.values import (
    NOTHING,
    Answered,
    Earlier,
    Evidence,
    InboxView,
    Intent,
    ModelEvent,
    Prompt,
    Query,
    Question,
    Retrieved,
    Started,
    Usage,
    Verdict,
)
from knowledge.embedding import question_vector
from knowledge.reranking import reranker
from knowledge.schedule import request_reencoding
from knowledge.segment import legs

logger = logging.getLogger(__name__)

READING_PACE = 90.0  # characters a second of a quotation; Chinese text counts two for one


@dataclass
class Record:
    """What a turn's seams reported, for its row. Times in milliseconds since the turn began, or of a stage."""

    language: str = ""
    intent: Intent | None = None
    verdict: Verdict | None = None
    query: Query | None = None
    earlier: Earlier = NOTHING
    retrieved: Retrieved | None = None
    evidence: Evidence | None = None
    started: Started | None = None
    usage: Usage | None = None
    step: Step = Step.FULL
    masked: bool = False
    unsupported: bool = False
    failures: list[str] = field(default_factory=list)
    timings_ms: dict[str, float] = field(default_factory=dict)

    def as_fields(self) -> dict[str, Any]:
        """The columns of `conversations.models.Turn`."""
        fields: dict[str, Any] = {
            "language": self.language,
            "timings_ms": {name: round(value, 1) for name, value in self.timings_ms.items()},
            "versions": {"prompt": PROMPT_VERSION},
            "flags": {
                **({"noted": list(self.verdict.noted)} if self.verdict and self.verdict.noted else {}),
                **({"masked": True} if self.masked else {}),
                **({"unsupported": True} if self.unsupported else {}),
                **({"conflicts": list(self.evidence.conflicts)} if self.evidence and self.evidence.conflicts else {}),
                **({"budget": self.step.value} if self.step is not Step.FULL else {}),
                **({"model_failures": self.failures} if self.failures else {}),
                **({"recalled": len(self.earlier.exchanges)} if self.earlier else {}),
            },
        }
        if self.intent:
            fields |= {"intent": self.intent.key, "confidence": round(self.intent.confidence, 4)}
        if self.query:
            joined = self.query.earlier if self.retrieved and self.retrieved.joined else ()
            fields["query"] = "\n".join([self.query.text, *self.query.also, *joined])
        if self.retrieved:
            fields["passages"] = [
                {
                    "id": passage.id,
                    "document": passage.document,
                    "score": round(passage.score, 4),
                    "cosine": round(passage.cosine, 4),
                    "coverage": round(passage.coverage, 4),
                    **({} if passage.reranked is None else {"reranked": round(passage.reranked, 4)}),
                }
                for passage in self.retrieved.passages
            ]
        if self.evidence:
            fields["evidence"] = round(self.evidence.score, 4)
        if self.started:
            fields |= {"model": self.started.model, "source": self.started.source}
        if self.usage:
            fields |= {
                "prompt_tokens": self.usage.prompt,
                "completion_tokens": self.usage.completion,
                "cached_tokens": self.usage.cached,
            }
        return fields


def stages_for(question: Question, record: Record, *, pace: float | None = None, ahead: Ahead | None = None) -> Stages:
    """The stages of one turn, each reporting to `record`. `pace` 0: quotations come at once (terminal, tests). `ahead`: what
    was begun for it before."""
    inbox, masker, allowance = question.inbox, Masker(), _Allowance(record)
    return Stages(
        languages=_Languages(record),
        intents=_Intents(inbox.workspace, ahead, record),
        moderation=_Moderation(inbox, masker, record),
        replies=OwnerReplies(inbox),
        cache=AnswerCache(_shelf(), _version_of(inbox), _holds_personal_data, _source_of(inbox)),
        queries=_Queries(record),
        rewriter=_Rewriter(masker, record),
        memory=_Memory(record),
        knowledge=_Knowledge(inbox, record),
        judge=_Judge(record),
        faq=_Faq(inbox.workspace),
        support=_Support(record),
        privacy=_Privacy(masker, record),
        allowance=allowance,
        model=_Model(question, allowance, record, pace),
    )


async def warm_up(workspaces: Sequence[int]) -> None:
    """Load the encoder, the segmenter, the reranker and the classifiers, so that the first visitor does not wait for them."""
    await cross(question_vector, "warm up")
    await cross(request_reencoding)
    await cross(legs, "预热")
    if second_look := reranker():
        await cross(second_look.prepare)
    for workspace in workspaces:
        await cross(recogniser().prepare, workspace)


# --- seams with their reports ------------------------------------------------------------------------------------------
class _Timed:
    """Times a stage into the record."""

    def __init__(self, record: Record, name: str) -> None:
        self._record, self._name = record, name

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        took = (time.perf_counter() - self._began) * 1000
        self._record.timings_ms[self._name] = self._record.timings_ms.get(self._name, 0.0) + took


class _Languages(ByScript):
    def __init__(self, record: Record) -> None:
        self._record = record

    def answers_in(self, question: Question) -> str:
        self._record.language = super().answers_in(question)
        return self._record.language


class _Intents:
    def __init__(self, workspace: int, ahead: Ahead | None, record: Record) -> None:
        self._workspace, self._ahead, self._record = workspace, ahead, record

    async def classify(self, text: str, language: str) -> Intent:
        with _Timed(self._record, "intent"):
            intent = await self._ahead.intent_of(text) if self._ahead else None
            if intent is None:
                intent = await cross(recogniser().recognise, self._workspace, text)
        self._record.intent = intent
        return intent


class _Moderation(WordModeration):
    """Our own lists and, where a gateway offers its moderation, what that finds; without an answer the lists alone."""

    def __init__(self, inbox: InboxView, masker: Masker, record: Record) -> None:
        super().__init__(inbox.moderation)
        self._workspace, self._masker, self._record = inbox.workspace, masker, record

    async def judge(self, text: str, language: str) -> Verdict:
        self._record.verdict = self.verdict(text)
        if not self._record.verdict.refused:
            also = await providers.moderate(self._workspace, self._masker.mask(text), language)
            if also:
                self._record.verdict = self.verdict(text, also)
        return self._record.verdict


class _Queries(WithContext):
    def __init__(self, record: Record) -> None:
        self._record = record

    def form(self, question: Question) -> Query:
        self._record.query = super().form(question)
        return self._record.query


class _Rewriter(ByModel):
    def __init__(self, masker: Masker, record: Record) -> None:
        super().__init__(masker)
        self._record = record

    async def rewrite(
        self, question: Question, query: Query, retrieved: Retrieved, evidence: Evidence
    ) -> tuple[str, ...]:
        with _Timed(self._record, "rewrite"):
            also = await super().rewrite(question, query, retrieved, evidence)
        self._record.query = replace(query, also=also)
        return also


class _Memory(ContactMemory):
    def __init__(self, record: Record) -> None:
        self._record = record

    async def recall(self, question: Question, query: Query) -> Earlier:
        if not question.remembers:
            return NOTHING
        with _Timed(self._record, "recall"):
            earlier = await super().recall(question, query)
        if not (await providers.plan_of(question.inbox.workspace)).accounts:
            earlier = replace(earlier, personal=False)  # only a model can tell whether it is the answer
        self._record.earlier = earlier
        return earlier


class _Knowledge(HybridRetriever):
    def __init__(self, inbox: InboxView, record: Record) -> None:
        super().__init__(inbox)
        self._record = record

    async def retrieve(self, query: Query) -> Retrieved:
        with _Timed(self._record, "retrieve"):
            self._record.retrieved = await super().retrieve(query)
        return self._record.retrieved


class _Judge(ByStrength):
    def __init__(self, record: Record) -> None:
        self._record = record

    def weigh(self, query: Query, retrieved: Retrieved) -> Evidence:
        self._record.evidence = super().weigh(query, retrieved)
        return self._record.evidence


class _Faq:
    """Where a model would be asked. Without one the entry is quoted anyway, at a reading pace."""

    def __init__(self, workspace: int) -> None:
        self._workspace = workspace

    async def answer(self, query: Query, retrieved: Retrieved, language: str) -> Answered | None:
        found = faq_answer(query, retrieved) if settings.FAQ_WITHOUT_MODEL else None
        return found if found and (await providers.plan_of(self._workspace)).accounts else None


class _Support:
    def __init__(self, record: Record) -> None:
        self._record = record

    def read(self, texts: Sequence[str]) -> "_Sources":
        return _Sources(texts, self._record)


class _Sources(Sources):
    def __init__(self, texts: Sequence[str], record: Record) -> None:
        super().__init__(texts)
        self._record = record

    def support(self, sentence: str) -> bool:
        supported = super().support(sentence)
        self._record.unsupported = self._record.unsupported or not supported
        return supported


class _Privacy:
    def __init__(self, masker: Masker, record: Record) -> None:
        self._masker, self._record = masker, record

    def mask(self, text: str) -> str:
        masked = self._masker.mask(text)
        self._record.masked = self._masker.found
        return masked

    def unmask(self, text: str) -> str:
        return self._masker.unmask(text)


class _Allowance:
    """What the budgets let this turn cost; asked once."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self.step = Step.FULL

    async def is_spent(self, question: Question) -> bool:
        self.step = self._record.step = await providers.step_for(question)
        return self.step is Step.PERSON


class _Model:
    """The configured providers in order, as far as the budgets allow them, and the extractive model last."""

    def __init__(self, question: Question, allowance: _Allowance, record: Record, pace: float | None) -> None:
        self._question, self._allowance, self._record = question, allowance, record
        self._quoting = Extractive(_likeness, READING_PACE if pace is None else pace)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        began = time.perf_counter()
        step, accounts = self._allowance.step, (await providers.plan_of(self._question.inbox.workspace)).accounts
        able = accounts if step in {Step.FULL, Step.SHORTER} else ()
        generated: list[Model] = [Generated(account, self._question, step) for account in able]
        stream = Fallback([*generated, self._quoting], self._record.failures.append).stream(prompt)
        try:
            async for event in stream:
                match event:
                    case Started():
                        self._record.started = event
                        self._record.timings_ms["model_start"] = (time.perf_counter() - began) * 1000
                    case Usage():
                        self._record.usage = event
                yield event
        finally:
            await stream.aclose()
            self._record.timings_ms["model"] = (time.perf_counter() - began) * 1000


# --- what the seams are made of ----------------------------------------------------------------------------------------
@lru_cache(maxsize=1)
def _shelf() -> Shelf:
    return RedisShelf() if redis_pool.configured() else MemoryShelf()


def _source_of(inbox: InboxView) -> Callable[[], Awaitable[str]]:
    async def source() -> str:
        return "generated" if (await providers.plan_of(inbox.workspace)).accounts else "extractive"

    return source


def _version_of(inbox: InboxView) -> Callable[[], Awaitable[str]]:
    async def version() -> str:
        accounts = (await providers.plan_of(inbox.workspace)).accounts
        models = [
            (account.profile.id, account.profile.model, account.profile.model_by_language) for account in accounts
        ]
        policy = sorted(inbox.moderation.items())
        order = settings.RERANKER
        return f"{await retriever.version_key(inbox)}|{PROMPT_VERSION}|{models or MODEL}|{policy}|{order}"

    return version


def _holds_personal_data(text: str) -> bool:
    masker = Masker()
    masker.mask(text)
    return masker.found


def _likeness(question: str, sentences: Sequence[str]) -> list[float]:
    """Shares of the question's tokens that each sentence holds; words count once."""
    asked = set(legs(question).pairs) | set(legs(question).words)
    held = [set(legs(sentence).pairs) | set(legs(sentence).words) for sentence in sentences]
    return [len(asked & tokens) / len(asked) if asked else 0.0 for tokens in held]
