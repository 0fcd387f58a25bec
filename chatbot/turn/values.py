"""The words the turn speaks in: what goes in, what comes out, what can go wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

PERSON = "agent"
BOT = "bot"
VISITOR = "visitor"
TOOK_OVER = "took_over"
HANDED_BACK = "handed_back"


@dataclass(frozen=True)
class Utterance:
    """An earlier message. `cut_short` when its author was interrupted; `speaker` is a person's name for agents; `seq` is its
    number in the conversation. Not `sourced`: the bot had no source for it, or not for all of it.

    With a `boundary` nothing was said: here `speaker` took the line, or gave it back.
    """

    author: str
    text: str
    cut_short: bool = False
    speaker: str = ""
    boundary: str = ""
    seq: int = 0
    sourced: bool = True


@dataclass(frozen=True)
class InboxView:
    """What the turn needs to know of an inbox. `moderation` maps category to off, note or block; where `strict`, no
    sentence of a model is shown before it is held against its sources. `draft`: the collections' drafts are asked instead of
    what is live."""

    id: str
    workspace: int
    business: str
    language: str
    collections: tuple[str, ...] = ()
    moderation: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    strict: bool = False
    draft: bool = False


@dataclass(frozen=True)
class Question:
    """What a turn is about: the visitor's unanswered words (several messages are joined by a line break) and what came before.

    `again`: it was answered before, and another answer is wanted. `remembers`: the conversation is longer than `history`, or
    not the contact's first, so that there may be more to know than is here.
    """

    turn: str
    conversation: str
    text: str
    inbox: InboxView
    history: tuple[Utterance, ...] = ()
    contact: str = ""
    again: bool = False
    remembers: bool = False


@dataclass(frozen=True)
class Intent:
    """What a message is for. `key` is empty when it is out of scope; `confidence` is 0 to 1."""

    key: str
    confidence: float
    wants_person: bool = False
    reply: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What moderation found in the visitor's words, by category. `refused` names the category that blocks, if any."""

    refused: str = ""
    noted: tuple[str, ...] = ()
    mood: str = ""


@dataclass(frozen=True)
class Query:
    """What is searched for. `earlier` are the visitor's questions before it, the last one last; `also` other forms of it."""

    text: str
    earlier: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Passage:
    """A chunk as retrieved; see `knowledge.search.Passage`."""

    id: str
    document: str
    title: str
    heading: str
    question: str
    text: str
    url: str
    score: float
    cosine: float
    coverage: float
    alone: float = 0.0
    phrasing: str = ""
    reranked: float | None = None


@dataclass(frozen=True)
class Retrieved:
    """Passages, best first, and how much of the question the encoder understood (0 to 1). `strength` and `joined`: see
    `knowledge.search.Found`. `written`: which share of the knowledge is in which language (ISO 639 codes, by script)."""

    passages: tuple[Passage, ...]
    understood: float = 1.0
    strength: float = 0.0
    joined: float = 0.0
    written: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Recalled:
    """An exchange that is older than the history. `seq` numbers its first message, in this conversation if `own`; `on` is its
    day (ISO). `answered` is what was said to it, by a person of ours where `speaker` names one. `score` is 0 to about 1."""

    seq: int
    own: bool
    on: str
    said: str
    answered: str = ""
    speaker: str = ""
    score: float = 0.0


@dataclass(frozen=True)
class Gist:
    """What an episode came to. `seq` is up to which message, `on` its day (ISO)."""

    seq: int
    own: bool
    on: str
    text: str


@dataclass(frozen=True)
class Earlier:
    """What goes with a question from before: gists, the newest first; exchanges, the best first.

    `personal`: it is about the visitor, or about what was said, so that a model may find the answer here. `told` is the
    visitor's own remark that answers it beyond doubt, if there is one: then not even a model is needed.
    """

    gists: tuple[Gist, ...] = ()
    exchanges: tuple[Recalled, ...] = ()
    personal: bool = False
    told: str = ""

    def __bool__(self) -> bool:
        return bool(self.gists or self.exchanges)


NOTHING = Earlier()


class Grounds(StrEnum):
    """Whether there is enough to answer from."""

    ENOUGH = "enough"
    UNDERSPECIFIED = "underspecified"
    NONE = "none"


@dataclass(frozen=True)
class Evidence:
    """The judgement on the passages. `score` is the strength of the evidence, 0 to about 1.5; `choices` are what an unclear
    question could mean; `conflicts` are pairs of passages, numbered from 1, that contradict each other."""

    grounds: Grounds
    score: float
    choices: tuple[str, ...] = ()
    conflicts: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Citation:
    """A source shown with an answer. `n` is the number in the text."""

    n: int
    passage: str
    title: str
    heading: str
    quote: str
    url: str

    def as_dict(self) -> dict[str, str | int]:
        return {
            "n": self.n,
            "passage": self.passage,
            "title": self.title,
            "heading": self.heading,
            "quote": self.quote,
            "url": self.url,
        }


@dataclass(frozen=True)
class Prompt:
    """What the model is given. `system` is the same for every turn of an inbox and language, so that providers can cache it.

    `sources` are the passages as they stand in `request`, one text each; `earlier` what is remembered from before `history`,
    as it stands in there too, what matters most first. `told` is what to say without a model, where no source answers the
    question but what was said before may.
    """

    system: str
    history: tuple[Utterance, ...]
    question: str
    request: str
    passages: tuple[Passage, ...]
    language: str
    version: str
    sources: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    told: str = ""


# --- what a model says ------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Started:
    """The first thing a model says: who answers, how (`generated` or `extractive`), and the provider's own trace id."""

    model: str
    source: str
    trace: str = ""


@dataclass(frozen=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True)
class Reasoning:
    """A piece of what the model says to itself. Never shown, never kept."""

    text: str


@dataclass(frozen=True)
class ToolCall:
    """A tool the model wants called, whole. `arguments` is JSON as the model wrote it: check it before use."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Usage:
    """Tokens, as the provider counts them; `cached` of the prompt's were read from its cache, `reasoning` of the
    completion's were never shown. `estimated`: the provider did not say, this is our own count."""

    prompt: int
    completion: int
    cached: int = 0
    reasoning: int = 0
    estimated: bool = False


@dataclass(frozen=True)
class Finished:
    """Why the model stopped: ``stop``, ``length``, ``content_filter``, ``tool_calls``, or the provider's own other word."""

    reason: str


ModelEvent = Started | Text | Reasoning | ToolCall | Usage | Finished


# --- what a turn says -------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Delta:
    """More of the answer's text, cleared by the gate."""

    text: str


@dataclass(frozen=True)
class Outcome:
    """How a turn ended. `text` is everything the visitor was or is to be shown, in Markdown."""

    text: str
    citations: tuple[Citation, ...] = ()


@dataclass(frozen=True)
class Answered(Outcome):
    """`source` is generated, extractive, faq (an entry that was asked for) or reply (an owner's fixed text); `cached` when
    it was given before."""

    source: str = ""
    truncated: bool = False
    cached: bool = False


@dataclass(frozen=True)
class AskedBack(Outcome):
    """The question could mean several things; the visitor is asked which."""


@dataclass(frozen=True)
class NoAnswer(Outcome):
    """There is no source, or none for what came next; that is said, and a person is offered. Nobody is put in a queue."""


@dataclass(frozen=True)
class Refused(Outcome):
    """Declined: the question fell in a blocked category, or the answer did. `category` says which."""

    category: str = ""


@dataclass(frozen=True)
class HandedOff(Outcome):
    """A person is to take the line: ``visitor_asked``, or by the owner's policy ``budget``."""

    reason: str = "visitor_asked"


# --- what can go wrong ------------------------------------------------------------------------------------------------
class TurnFailed(Exception):
    """Base of every failure of a turn. `code` is what the client is told; the rest stays in the log.

    TurnFailed
      ModelFailed        the model could not answer, or broke off
      KnowledgeFailed    nothing could be searched
    """

    code = "internal"


class ModelFailed(TurnFailed):
    """The model could not answer (`code` says why, see `chatbot.llm`), or broke off after some text had come."""

    def __init__(self, code: str, detail: str = "") -> None:
        self.code = code
        super().__init__(f"{code} {detail}".strip())


class KnowledgeFailed(TurnFailed):
    code = "knowledge_unavailable"
