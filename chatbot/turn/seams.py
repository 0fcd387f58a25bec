"""What the turn needs from the world, one small Protocol each. `chatbot.wiring` says who fills them."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from chatbot.turn.values import (
    Answered,
    Earlier,
    Evidence,
    Intent,
    ModelEvent,
    Outcome,
    Prompt,
    Query,
    Question,
    Retrieved,
    Verdict,
)


class Languages(Protocol):
    def answers_in(self, question: Question) -> str:
        """What to answer in: an ISO 639 code ("zh", "en", …), or "zh-hant" for Traditional Chinese."""


class Intents(Protocol):
    async def classify(self, text: str, language: str) -> Intent: ...


class Moderation(Protocol):
    async def judge(self, text: str, language: str) -> Verdict:
        """What the visitor's words contain, under the inbox's policy."""

    def offence(self, text: str, before: str) -> tuple[int, str] | None:
        """Where the first thing that may not be shown begins in `text`, and its category. `before` was shown already."""

    def safe_length(self, text: str, before: str) -> int:
        """How much of `text` no rule can match any more, whatever comes after it."""


class Replies(Protocol):
    def small_talk(self, intent: Intent, language: str) -> str:
        """The owner's fixed reply to an intent, or nothing."""

    def say(self, key: str, language: str, **values: str) -> str:
        """One of the bot's own sentences, in the visitor's language."""


class Cache(Protocol):
    """Answers that were given before, to exactly the same question under exactly the same circumstances."""

    async def get(self, question: Question, language: str) -> Answered | None: ...

    async def put(self, question: Question, language: str, outcome: Outcome) -> None:
        """Keep an answer that may be given again; anything else is passed over."""


class Knowledge(Protocol):
    async def retrieve(self, query: Query) -> Retrieved:
        """Raises `KnowledgeFailed`."""


class Memory(Protocol):
    async def recall(self, question: Question, query: Query) -> Earlier:
        """What was said before the question's history, and goes with it. Nothing at all where nothing is remembered."""


class Queries(Protocol):
    def form(self, question: Question) -> Query: ...


class Rewriter(Protocol):
    async def rewrite(
        self, question: Question, query: Query, retrieved: Retrieved, evidence: Evidence
    ) -> tuple[str, ...]:
        """Other forms of a query that are worth searching for beside it, by what it found; mostly none."""


class Judge(Protocol):
    def weigh(self, query: Query, retrieved: Retrieved) -> Evidence: ...


class FaqAnswers(Protocol):
    """Answers that need no model, since the owner has written them down."""

    async def answer(self, query: Query, retrieved: Retrieved, language: str) -> Answered | None: ...


class Sources(Protocol):
    """What one answer may be drawn from."""

    def support(self, sentence: str) -> bool:
        """Whether nothing speaks against a finished sentence."""


class Support(Protocol):
    def read(self, texts: Sequence[str]) -> Sources | None:
        """Get ready to judge the sentences of an answer drawn from `texts`; None: sentences are not judged."""


class Privacy(Protocol):
    """Keeps personal data of the visitor away from the model, for one turn."""

    def mask(self, text: str) -> str:
        """`text` with placeholders such as ``[PHONE_1]`` in place of personal data."""

    def unmask(self, text: str) -> str: ...


class Allowance(Protocol):
    """What the owner lets an answer cost."""

    async def is_spent(self, question: Question) -> bool:
        """Whether the owner wants a person to take over, now that a budget is spent."""


class Model(Protocol):
    def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        """`Started`, then `Text` pieces with at most one `Usage`, then `Finished`. Raises `ModelFailed`.

        `Reasoning` and `ToolCall` may come between; what shows text passes them over.
        """


@dataclass(frozen=True)
class Stages:
    """Everything a turn works with."""

    languages: Languages
    intents: Intents
    moderation: Moderation
    replies: Replies
    cache: Cache
    queries: Queries
    rewriter: Rewriter
    memory: Memory
    knowledge: Knowledge
    judge: Judge
    faq: FaqAnswers
    support: Support
    privacy: Privacy
    allowance: Allowance
    model: Model
