"""How one provider is called: dialect, address, credential, model, limits, clocks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from chatbot.llm.catalogue import ModelLimits, limits_of


class Dialect(StrEnum):
    """Which protocol the provider speaks."""

    OFFICIAL = "deepseek"
    COMPATIBLE = "openai"
    GATEWAY = "gateway"


@dataclass(frozen=True)
class Profile:
    """One provider account. Times in seconds; the three clocks are this client's own, a keep-alive does not reset them.

    `key` is the API key; a gateway has `client_id` and `client_secret` instead. `context_window` in tokens, 0: as the
    model allows, at most `PROMPT_ROOM`. `max_streams` counts what one process has under way. `ca` is PEM text of a private
    authority; certificates are always verified. `extra` is sent as it is.
    """

    id: str = "env"
    name: str = "DeepSeek"
    dialect: Dialect = Dialect.OFFICIAL
    base_url: str = "https://api.deepseek.com"
    key: str = field(default="", repr=False)
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    model: str = "deepseek-flash"
    model_by_language: Mapping[str, str] = field(default_factory=dict)
    max_tokens: int = 1024
    temperature: float = 0.5
    effort: str = "low"
    context_window: int = 0
    first_token_s: float = 25.0
    idle_s: float = 20.0
    total_s: float = 120.0
    max_streams: int = 200
    ca: str = ""
    api_version: str = "v1"
    text_path: str = ""
    chunks: str = "auto"
    logit_bias: Mapping[str, float] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def limits(self) -> ModelLimits:
        return limits_of(self.model)

    @property
    def prompt_room(self) -> int:
        """Tokens that a prompt may have, the answer's already taken off."""
        window = self.context_window or min(self.limits.context, PROMPT_ROOM + self.max_tokens)
        return max(256, window - self.max_tokens - 64)

    def model_for(self, language: str) -> str:
        return self.model_by_language.get(language) or self.model_by_language.get(language.split("-")[0]) or self.model

    def url(self, path: str) -> str:
        """The address may come with or without a slash, a version or the whole path at its end."""
        base = self.base_url.rstrip("/").removesuffix("/chat/completions")
        return f"{base}/{path}"


PROMPT_ROOM = 24_000  # tokens; more costs money and time, and a support question needs no more
