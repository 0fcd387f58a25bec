"""What a language model is asked, whoever is asked and in whichever dialect."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chatbot.turn.budget import fit
from chatbot.turn.values import BOT, PERSON, Prompt, ToolCall

SYSTEM, USER, ASSISTANT, TOOL = "system", "user", "assistant", "tool"
MAX_TOOLS = 128
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Image:
    """A picture that we hold ourselves; an address given by a visitor is never passed on. `mime`: image/jpeg, png, gif, webp."""

    mime: str
    data: bytes


@dataclass(frozen=True)
class ChatMessage:
    """One message of the request. `tool_call_id` names the call that a ``tool`` message answers; `reasoning` is replayed."""

    role: str
    text: str = ""
    images: tuple[Image, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    reasoning: str = ""


@dataclass(frozen=True)
class Tool:
    """A function the model may ask for. `parameters` is a JSON schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not _TOOL_NAME.fullmatch(self.name):
            raise ValueError(f"A tool's name has 1 to 64 of A-Z a-z 0-9 _ -: {self.name!r}")


@dataclass(frozen=True)
class Request:
    """A call to be made. Zero and empty mean: as the provider's profile says.

    `about` holds public ids (inbox, conversation, turn, contact) for the record of the call; `language` is an ISO 639 code.
    """

    messages: tuple[ChatMessage, ...]
    purpose: str = "answer"
    language: str = ""
    tools: tuple[Tool, ...] = ()
    tool_choice: str = ""
    json: bool = False
    thinking: bool = False
    max_tokens: int = 0
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    user: str = ""
    prompt_version: str = ""
    about: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.tools) > MAX_TOOLS:
            raise ValueError(f"At most {MAX_TOOLS} tools can be offered, not {len(self.tools)}.")


def request_for(prompt: Prompt, *, room: int = 0, about: Mapping[str, str] | None = None) -> Request:
    """A turn's prompt as a request. With `room` (tokens for the whole prompt) what matters least is left out first.

    Raises `chatbot.turn.budget.TooLong` where not even rules, question and the best source fit.
    """
    if room:
        prompt = fit(prompt, room)
    roles = {BOT: ASSISTANT, PERSON: ASSISTANT}
    said = [ChatMessage(roles.get(each.author, USER), each.text) for each in prompt.history]
    return Request(
        (ChatMessage(SYSTEM, prompt.system), *said, ChatMessage(USER, prompt.request)),
        language=prompt.language,
        prompt_version=prompt.version,
        about=about or {},
    )


def repair(messages: Sequence[ChatMessage], *, vision: bool) -> tuple[ChatMessage, ...]:
    """A history that no server refuses.

    Neighbours of one role are merged, every tool call has its answer, an answer without a call is dropped, and pictures
    stay only in a visitor's message to a model that can see.
    """
    repaired: list[ChatMessage] = []
    owed: dict[str, None] = {}
    for message in messages:
        if message.images and not (vision and message.role == USER):
            message = replace(message, images=())
        if message.role == TOOL:
            if message.tool_call_id in owed:
                del owed[message.tool_call_id]
                repaired.append(message)
            continue
        repaired += _unanswered(owed)
        before = repaired[-1] if repaired else None
        if before and before.role == message.role and not before.tool_calls:
            joined = "\n\n".join(filter(None, (before.text, message.text)))
            repaired[-1] = replace(message, text=joined, images=before.images + message.images)
        else:
            repaired.append(message)
        owed = {call.id: None for call in message.tool_calls}
    return (*repaired, *_unanswered(owed))


def _unanswered(owed: dict[str, None]) -> list[ChatMessage]:
    answers = [ChatMessage(TOOL, '{"error": "not available"}', tool_call_id=call) for call in owed]
    owed.clear()
    return answers
