"""The one file that names concrete classes: what fills each seam of the turn, and what it reports."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db.models import Count, Max

from chatbot import redis_pool, retriever
from chatbot.cache import AnswerCache, MemoryShelf, RedisShelf, Shelf
from chatbot.crossing import cross
from chatbot.intents.classifier import Example
from chatbot.intents.recogniser import IntentSet, Recogniser
from chatbot.llm.deepseek import DeepSeek, Settings
from chatbot.llm.extractive import MODEL, Extractive
from chatbot.llm.fallback import Fallback
from chatbot.models import Intent as IntentRow
from chatbot.models import IntentExample
from chatbot.moderation.judge import WordModeration
from chatbot.moderation.masking import Masker
from chatbot.replies import OwnerReplies
from chatbot.retriever import HybridRetriever
from chatbot.turn.evidence import ByScore
from chatbot.turn.language import ByScript
from chatbot.turn.prompt import PROMPT_VERSION
from chatbot.turn.query import WithContext
from chatbot.turn.seams import Model, Stages
from chatbot.turn.values import (
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
    retrieved: Retrieved | None = None
    evidence: Evidence | None = None
    started: Started | None = None
    usage: Usage | None = None
    masked: bool = False
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
                **({"model_failures": self.failures} if self.failures else {}),
            },
        }
        if self.intent:
            fields |= {"intent": self.intent.key, "confidence": round(self.intent.confidence, 4)}
        if self.query:
            fields["query"] = self.query.text
        if self.retrieved:
            fields["passages"] = [
                {
                    "id": passage.id,
                    "document": passage.document,
                    "score": round(passage.score, 4),
                    "cosine": round(passage.cosine, 4),
                    "coverage": round(passage.coverage, 4),
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


def stages_for(question: Question, record: Record, *, pace: float | None = None) -> Stages:
    """The stages of one turn, each reporting to `record`. `pace` 0: quotations come at once (terminal, tests)."""
    inbox, masker = question.inbox, Masker()
    return Stages(
        languages=_Languages(record),
        intents=_Intents(inbox.workspace, record),
        moderation=_Moderation(inbox, record),
        replies=OwnerReplies(inbox),
        cache=AnswerCache(_shelf(), _version_of(inbox), _holds_personal_data, _source()),
        queries=_Queries(record),
        knowledge=_Knowledge(inbox, record),
        judge=_Judge(record),
        privacy=_Privacy(masker, record),
        model=_Model(record, question.text, pace),
    )


async def warm_up(workspaces: Sequence[int]) -> None:
    """Load the encoder, the segmenter and the classifiers, so that the first visitor does not wait for them."""
    await cross(question_vector, "warm up")
    await cross(legs, "预热")
    for workspace in workspaces:
        await cross(recogniser().prepare, workspace)


@lru_cache(maxsize=1)
def recogniser() -> Recogniser:
    return Recogniser(_intents_version, _load_intents, settings.HOME / "intents")


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

    def detect(self, text: str, fallback: str) -> str:
        self._record.language = super().detect(text, fallback)
        return self._record.language


class _Intents:
    def __init__(self, workspace: int, record: Record) -> None:
        self._workspace, self._record = workspace, record

    async def classify(self, text: str, language: str) -> Intent:
        with _Timed(self._record, "intent"):
            self._record.intent = await cross(recogniser().recognise, self._workspace, text)
        return self._record.intent


class _Moderation(WordModeration):
    def __init__(self, inbox: InboxView, record: Record) -> None:
        super().__init__(inbox.moderation)
        self._record = record

    def judge(self, text: str) -> Verdict:
        self._record.verdict = super().judge(text)
        return self._record.verdict


class _Queries(WithContext):
    def __init__(self, record: Record) -> None:
        self._record = record

    def form(self, question: Question) -> Query:
        self._record.query = super().form(question)
        return self._record.query


class _Knowledge(HybridRetriever):
    def __init__(self, inbox: InboxView, record: Record) -> None:
        super().__init__(inbox)
        self._record = record

    async def retrieve(self, query: Query) -> Retrieved:
        with _Timed(self._record, "retrieve"):
            self._record.retrieved = await super().retrieve(query)
        return self._record.retrieved


class _Judge(ByScore):
    def __init__(self, record: Record) -> None:
        self._record = record

    def weigh(self, query: Query, retrieved: Retrieved) -> Evidence:
        self._record.evidence = super().weigh(query, retrieved)
        return self._record.evidence


class _Privacy:
    def __init__(self, masker: Masker, record: Record) -> None:
        self._masker, self._record = masker, record

    def mask(self, text: str) -> str:
        masked = self._masker.mask(text)
        self._record.masked = self._masker.found
        return masked

    def unmask(self, text: str) -> str:
        return self._masker.unmask(text)


class _Model:
    """The configured models in order, the extractive one last."""

    def __init__(self, record: Record, question: str, pace: float | None) -> None:
        self._record = record
        if pace is None:
            pace = READING_PACE
        generated: list[Model] = [model] if (model := _deepseek()) else []
        self._models = Fallback([*generated, Extractive(_likeness, pace)], record.failures.append)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        began = time.perf_counter()
        stream = self._models.stream(prompt)
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
_providers: WeakKeyDictionary[asyncio.AbstractEventLoop, DeepSeek] = WeakKeyDictionary()


def _deepseek() -> Model | None:
    """The provider of this event loop, if one is configured; its connections cannot live across two loops."""
    if not settings.DEEPSEEK_API_KEY:
        return None
    loop = asyncio.get_running_loop()
    if loop not in _providers:
        _providers[loop] = DeepSeek(
            Settings(
                api_key=settings.DEEPSEEK_API_KEY,
                base_url=settings.DEEPSEEK_BASE_URL,
                model=settings.DEEPSEEK_MODEL,
                max_tokens=settings.DEEPSEEK_MAX_TOKENS,
                temperature=settings.DEEPSEEK_TEMPERATURE,
                first_token_s=settings.DEEPSEEK_FIRST_TOKEN_S,
                idle_s=settings.DEEPSEEK_IDLE_S,
                total_s=settings.DEEPSEEK_TOTAL_S,
                max_streams=settings.DEEPSEEK_MAX_STREAMS,
            )
        )
    return _providers[loop]


async def close_providers() -> None:
    """Close what this event loop has opened."""
    if provider := _providers.pop(asyncio.get_running_loop(), None):
        await provider.aclose()


@lru_cache(maxsize=1)
def _shelf() -> Shelf:
    return RedisShelf() if redis_pool.configured() else MemoryShelf()


def _source() -> str:
    return "generated" if settings.DEEPSEEK_API_KEY else "extractive"


def _version_of(inbox: InboxView) -> Callable[[], Awaitable[str]]:
    async def version() -> str:
        model = settings.DEEPSEEK_MODEL if settings.DEEPSEEK_API_KEY else MODEL
        policy = sorted(inbox.moderation.items())
        return f"{await retriever.version_key(inbox)}|{PROMPT_VERSION}|{model}|{policy}"

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


def _intents_version(workspace: int) -> str:
    rows = IntentRow.objects.of(workspace).aggregate(last=Max("updated_at"), count=Count("pk"))
    examples = IntentExample.objects.of(workspace).aggregate(last=Max("updated_at"), count=Count("pk"))
    return f"{rows['last']}/{rows['count']}/{examples['last']}/{examples['count']}"


def _load_intents(workspace: int) -> IntentSet:
    version = _intents_version(workspace)
    rows = list(IntentRow.objects.of(workspace))
    examples = [
        Example(text, key or "") for text, key in IntentExample.objects.of(workspace).values_list("text", "intent__key")
    ]
    named = [
        Example(name, row.key) for row in rows for name in (row.name_en, row.name_zh) if name.strip()
    ]  # the label's own words are a free example
    return IntentSet(
        version=version,
        examples=tuple(examples + named),
        replies={
            row.key: {"en": row.reply_en, "zh": row.reply_zh} for row in rows if row.action == IntentRow.Action.REPLY
        },
        handoffs=frozenset(row.key for row in rows if row.action == IntentRow.Action.HANDOFF),
    )
