"""The answer cache: exactly the same question, in exactly the same circumstances, gets the answer it got before.

The key holds everything an answer depends on: workspace, inbox, language, the state of the knowledge (it changes with
every publish and delete, and never back: what changed while an answer was written is not asked for again), the prompt's
version and the model. Questions that lean on the conversation so far, and
questions about the visitor's own affairs, are never looked up and never kept.
"""

import hashlib
import json
import logging
import re
import unicodedata
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Protocol

from chatbot import redis_pool
from chatbot.turn.values import Answered, Citation, Outcome, Question
from workspace.chinese import simplified

logger = logging.getLogger(__name__)

KEPT = 5_000
KEPT_S = 24 * 3600
LONGEST_QUESTION = 300

_PERSONAL = re.compile(
    r"\b(?:my|mine|our)\s+(?:\w+\s+){0,2}(?:order|parcel|package|delivery|account|refund|return|invoice|payment|card|"
    r"subscription|balance|points|address|ticket|case|money)s?\b"
    r"|我(?:的|们的|昨天|前天|上周|刚|这)?[^，。？！]{0,6}(?:订单|单子|快递|包裹|账户|账号|余额|积分|退款|发票|地址|会员|订阅|钱)"
    r"|\d{5,}",
    re.IGNORECASE,
)


class Shelf(Protocol):
    """Keeps text by key for a while."""

    async def get(self, key: str) -> str | None: ...

    async def put(self, key: str, value: str) -> None: ...


class MemoryShelf:
    """The least recently used goes first. One a process."""

    def __init__(self, size: int = KEPT) -> None:
        self._size, self._held = size, OrderedDict[str, str]()

    async def get(self, key: str) -> str | None:
        if key in self._held:
            self._held.move_to_end(key)
        return self._held.get(key)

    async def put(self, key: str, value: str) -> None:
        self._held[key] = value
        self._held.move_to_end(key)
        while len(self._held) > self._size:
            self._held.popitem(last=False)


class RedisShelf:
    """Shared by all processes, with the process's own memory in front. Redis away: only the memory serves."""

    def __init__(self) -> None:
        self._memory = MemoryShelf()

    async def get(self, key: str) -> str | None:
        if (held := await self._memory.get(key)) is not None:
            return held
        try:
            value = await redis_pool.async_redis().get(f"answer:{key}")
        except redis_pool.Unavailable:
            return None
        if value is None:
            return None
        text = str(value)
        await self._memory.put(key, text)
        return text

    async def put(self, key: str, value: str) -> None:
        await self._memory.put(key, value)
        try:
            await redis_pool.async_redis().set(f"answer:{key}", value, ex=KEPT_S)
        except redis_pool.Unavailable:
            logger.info("answer kept by this process alone")


class AnswerCache:
    """The cache of one turn (see `chatbot.turn.seams.Cache`).

    `version` names knowledge, prompt and model. `is_personal` knows masked data. Only answers as `source` tells are kept: a
    quotation that stood in for an unreachable model must not outlive the outage.
    """

    def __init__(
        self,
        shelf: Shelf,
        version: Callable[[], Awaitable[str]],
        is_personal: Callable[[str], bool],
        source: Callable[[], Awaitable[str]],
    ) -> None:
        self._shelf, self._version, self._is_personal, self._source = shelf, version, is_personal, source
        self._asked_key = ""

    async def get(self, question: Question, language: str) -> Answered | None:
        if not self._may_keep(question):
            return None
        self._asked_key = await self._key(question, language)
        held = await self._shelf.get(self._asked_key)
        if held is None:
            return None
        row = json.loads(held)
        citations = tuple(Citation(**citation) for citation in row["citations"])
        return Answered(row["text"], citations, source=await self._source(), cached=True)

    async def put(self, question: Question, language: str, outcome: Outcome) -> None:
        if not isinstance(outcome, Answered) or outcome.truncated or outcome.source != await self._source():
            return
        if not self._asked_key:
            return  # never looked up
        row = {"text": outcome.text, "citations": [asdict(citation) for citation in outcome.citations]}
        await self._shelf.put(self._asked_key, json.dumps(row, ensure_ascii=False))

    def _may_keep(self, question: Question) -> bool:
        return (
            not question.history
            and not question.again
            and len(question.text) <= LONGEST_QUESTION
            and _PERSONAL.search(simplified(question.text)) is None
            and not self._is_personal(question.text)
        )

    async def _key(self, question: Question, language: str) -> str:
        parts = [
            str(question.inbox.workspace),
            question.inbox.id,
            language,
            await self._version(),
            normalise(question.text),
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def normalise(question: str) -> str:
    """The question without what does not change its meaning: case, width, spacing, closing punctuation."""
    folded = unicodedata.normalize("NFKC", question).casefold()
    return re.sub(r"\s+", " ", folded).strip(" .!?。！？~～")
