"""Small fakes for every seam, so that a test says only what it is about."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace

from chatbot.moderation.judge import WordModeration
from chatbot.moderation.masking import Masker
from chatbot.turn.answer import answer
from chatbot.turn.evidence import ByStrength
from chatbot.turn.language import ByScript
from chatbot.turn.query import WithContext
from chatbot.turn.seams import Stages
from chatbot.turn.values import (
    NOTHING,
    Answered,
    Delta,
    Earlier,
    Evidence,
    Finished,
    InboxView,
    Intent,
    ModelEvent,
    Outcome,
    Passage,
    Prompt,
    Query,
    Question,
    Retrieved,
    Started,
    Text,
    Utterance,
)

INBOX = InboxView(id="ibx_1", workspace=1, business="Northwind", language="en")


def passage(text: str = "Refunds take seven days.", score: float = 0.9, **fields) -> Passage:
    whole = Passage(
        id="ent_1", document="doc_1", title="FAQ", heading="", question="How long do refunds take?", text=text,
        url="", score=score, cosine=score, coverage=score, alone=score,
    )  # fmt: skip
    return replace(whole, **fields)


def question(text: str = "How long do refunds take?", history: tuple[Utterance, ...] = (), **inbox) -> Question:
    return Question("trn_1", "cnv_1", text, replace(INBOX, **inbox), history)


@dataclass
class FakeIntents:
    intent: Intent = field(default_factory=lambda: Intent("", 0.0))

    async def classify(self, text: str, language: str) -> Intent:
        return self.intent


class FakeReplies:
    def small_talk(self, intent: Intent, language: str) -> str:
        return intent.reply.get(language, "")

    def say(self, key: str, language: str, **values: str) -> str:
        return f"<{key} {language}>" + "".join(f" {value}" for value in values.values())


@dataclass
class FakeCache:
    held: Answered | None = None
    put_in: list[Outcome] = field(default_factory=list)

    async def get(self, asked: Question, language: str) -> Answered | None:
        return self.held

    async def put(self, asked: Question, language: str, outcome: Outcome) -> None:
        self.put_in.append(outcome)


@dataclass
class FakeKnowledge:
    passages: tuple[Passage, ...] = field(default_factory=lambda: (passage(),))
    queries: list[Query] = field(default_factory=list)

    @property
    def asked(self) -> list[str]:
        return [query.text for query in self.queries]

    async def retrieve(self, query: Query) -> Retrieved:
        self.queries.append(query)
        return Retrieved(self.passages, strength=max((passage.score for passage in self.passages), default=0.0))


@dataclass
class FakeModel:
    """Says `texts` one by one; `prompts` holds what it was given; `closed` tells that its stream was ended."""

    texts: tuple[str, ...] = ("Refunds take ", "seven days. [1]")
    finish: str = "stop"
    prompts: list[Prompt] = field(default_factory=list)
    closed: bool = False

    async def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        self.prompts.append(prompt)
        try:
            yield Started("fake", "generated")
            for text in self.texts:
                yield Text(text)
            yield Finished(self.finish)
        finally:
            self.closed = True


@dataclass
class FakeMemory:
    earlier: Earlier = NOTHING

    async def recall(self, asked: Question, query: Query) -> Earlier:
        return self.earlier


@dataclass
class FakeRewriter:
    """Has the same `forms` for every question; `seen` are the questions it was asked about."""

    forms: tuple[str, ...] = ()
    seen: list[Query] = field(default_factory=list)

    async def rewrite(self, asked: Question, query: Query, retrieved: Retrieved, evidence: Evidence) -> tuple[str, ...]:
        self.seen.append(query)
        return self.forms


class NoFaq:
    async def answer(self, query: Query, retrieved: Retrieved, language: str) -> None:
        return None


class AllSupported:
    def read(self, texts) -> None:
        return None


@dataclass
class FakeAllowance:
    spent: bool = False

    async def is_spent(self, asked: Question) -> bool:
        return self.spent


def stages(**chosen) -> Stages:
    masker = Masker()
    defaults = {
        "languages": ByScript(),
        "intents": FakeIntents(),
        "moderation": WordModeration(chosen.pop("policy", {})),
        "replies": FakeReplies(),
        "cache": FakeCache(),
        "queries": WithContext(),
        "rewriter": FakeRewriter(),
        "memory": FakeMemory(),
        "knowledge": FakeKnowledge(),
        "judge": ByStrength(),
        "faq": NoFaq(),
        "support": AllSupported(),
        "privacy": masker,
        "allowance": FakeAllowance(),
        "model": FakeModel(),
    }
    return Stages(**{**defaults, **chosen})


async def run(asked: Question, on: Stages) -> tuple[list[str], Outcome]:
    """The deltas and the outcome of a turn."""
    deltas, outcome = [], None
    async for item in answer(asked, on):
        if isinstance(item, Delta):
            deltas.append(item.text)
        else:
            outcome = item
    assert outcome is not None
    return deltas, outcome
