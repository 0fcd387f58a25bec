"""``POST /chat/completions``: DeepSeek's official API, and the servers that speak its format (vLLM, SGLang, Ollama, proxies).

Facts and traps are those of the API's public documentation: thinking is on unless it is switched off; comments keep a
queued connection alive; usage rides on the last chunk or on one of its own with no choices; a stream that ends without
``[DONE]`` and without a finish reason was cut. See docs/deepseek.md.
"""

import base64
from collections.abc import Iterator, Sequence
from typing import Any

from chatbot.llm import errors
from chatbot.llm.errors import ModelCallFailed
from chatbot.llm.profile import Profile
from chatbot.llm.reading import Answer, error_message, read_json
from chatbot.llm.request import ASSISTANT, SYSTEM, TOOL, USER, ChatMessage, Request, repair
from chatbot.llm.sse import DONE, LineTooLong, SseDecoder
from chatbot.turn.values import ModelEvent

MAX_BODY = 8 * 1024 * 1024
_JSON_REMINDER = "Answer with one JSON object and nothing else."


class OfficialChat:
    """DeepSeek's own dialect."""

    path = "chat/completions"

    def body(self, request: Request, profile: Profile) -> dict[str, Any]:
        """The request as the API wants it; see docs/deepseek.md for each field."""
        vision = profile.limits.vision
        messages = repair(request.messages, vision=vision)
        if request.json and not any(
            "json" in message.text.lower() for message in messages if message.role != ASSISTANT
        ):
            messages = _reminded(messages)
        body: dict[str, Any] = {
            "model": profile.model_for(request.language),
            "messages": [_message(message) for message in messages],
            "max_tokens": min(request.max_tokens or profile.max_tokens, profile.limits.max_output),
            "stream": True,
            **self._own_fields(request, profile),
        }
        if not request.thinking:  # it has no effect while thinking
            body["temperature"] = profile.temperature if request.temperature is None else request.temperature
        if request.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
                }
                for tool in request.tools
            ]
            if request.tool_choice and not request.thinking:  # refused while thinking
                body["tool_choice"] = _tool_choice(request.tool_choice)
        if request.json:
            body["response_format"] = {"type": "json_object"}
        if request.stop:
            body["stop"] = list(request.stop[:16])
        return {**body, **profile.extra}

    def reader(self, request: Request, profile: Profile, content_type: str, trace: str) -> "ChatReader":
        answer = Answer(profile.model_for(request.language), trace, frozenset(tool.name for tool in request.tools))
        return ChatReader(answer, whole="json" in content_type)

    def _own_fields(self, request: Request, profile: Profile) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "thinking": {"type": "enabled" if request.thinking else "disabled"},
            "stream_options": {"include_usage": True},
        }
        if request.thinking:
            fields["reasoning_effort"] = profile.effort
        if request.user:
            fields["user_id"] = request.user
        return fields


class CompatibleChat(OfficialChat):
    """Any other server with this format: only fields that all of them know, unless the profile adds its own."""

    def _own_fields(self, request: Request, profile: Profile) -> dict[str, Any]:
        fields: dict[str, Any] = {"stream_options": {"include_usage": True}}
        if request.user:
            fields["user"] = request.user
        return fields


class ChatReader:
    """Reads the stream of chunks or, with `whole`, one JSON body (a server that does not stream; blank lines before it
    are its keep-alive)."""

    def __init__(self, answer: Answer, *, whole: bool = False) -> None:
        self._answer, self._whole = answer, whole
        self._decoder = SseDecoder()
        self._body = bytearray()
        self.done = False

    @property
    def answer(self) -> Answer:
        return self._answer

    def feed(self, data: bytes) -> Iterator[ModelEvent]:
        if self._whole:
            self._body += data
            if len(self._body) > MAX_BODY:
                raise ModelCallFailed(errors.MALFORMED, "body too long")
            return
        try:
            for payload in self._decoder.feed(data):
                stripped = payload.strip()
                if stripped == DONE:
                    self.done = True
                    return
                if stripped:
                    yield from self._chunk(read_json(payload))
        except LineTooLong:
            raise ModelCallFailed(errors.MALFORMED, "line too long") from None

    def end(self) -> Iterator[ModelEvent]:
        if self._whole and not self._body.strip():
            raise ModelCallFailed(errors.TRUNCATED, "no body")
        if self._whole:
            yield from self._chunk(read_json(bytes(self._body)))
            self.done = True
        yield from self.answer.conclude(ended=self.done)

    def _chunk(self, chunk: dict[str, Any]) -> list[ModelEvent]:
        if chunk.get("error"):
            words = error_message(chunk)
            raise ModelCallFailed(errors.from_event(words), "error event")
        answer = self._answer
        if (usage := chunk.get("usage")) is not None:
            answer.counted(usage)
        choice = _first(chunk.get("choices"))
        if choice is None:
            return []
        events = answer.begin(chunk.get("model"))
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict):
            if thought := delta.get("reasoning_content") or delta.get("reasoning"):
                events += answer.reasoning(thought)
            if said := delta.get("content"):
                events += answer.text(said)
            calls = delta.get("tool_calls")
            if isinstance(calls, list):
                for at, fragment in enumerate(calls):
                    answer.tool_fragment(fragment, at)
        if reason := choice.get("finish_reason"):
            answer.finished(reason)
        return events


def _first(choices: object) -> dict[str, Any] | None:
    """The first choice; others are never asked for."""
    if not isinstance(choices, list):
        return None
    for choice in choices:
        if isinstance(choice, dict) and not choice.get("index"):
            return choice
    return None


def _message(message: ChatMessage) -> dict[str, Any]:
    said: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.images:
        said["content"] = [
            *({"type": "text", "text": message.text} for _ in range(bool(message.text))),
            *(
                {"type": "image_url", "image_url": {"url": _data_url(image.mime, image.data)}}
                for image in message.images
            ),
        ]
    if message.tool_calls:
        said["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.reasoning and message.role == ASSISTANT:
        said["reasoning_content"] = message.reasoning
    if message.role == TOOL:
        said["tool_call_id"] = message.tool_call_id
    return said


def _data_url(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def _tool_choice(choice: str) -> Any:
    return choice if choice in {"none", "auto", "required"} else {"type": "function", "function": {"name": choice}}


def _reminded(messages: Sequence[ChatMessage]) -> tuple[ChatMessage, ...]:
    """JSON mode is refused unless a message speaks of JSON."""
    first = messages[0] if messages else ChatMessage(USER)
    if first.role == SYSTEM:
        return (ChatMessage(SYSTEM, f"{first.text}\n\n{_JSON_REMINDER}"), *messages[1:])
    return (ChatMessage(SYSTEM, _JSON_REMINDER), *messages)
