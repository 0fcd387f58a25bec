"""Which adapter serves which kind of inbox. Packages may bring more, as entry points of the group ``baton.platforms``."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any

from chatbot.platforms.adapter import Adapter
from chatbot.platforms.generic import GenericWebhook
from chatbot.platforms.telegram import Telegram

Factory = Callable[[Mapping[str, Any]], Adapter]

OURS: dict[str, Factory] = {"generic": GenericWebhook, "telegram": Telegram}


class UnknownPlatform(Exception):
    """No adapter serves this kind of inbox."""


def adapter_for(kind: str, credentials: Mapping[str, Any]) -> Adapter:
    """Raises `UnknownPlatform`."""
    factory = _all().get(kind)
    if factory is None:
        raise UnknownPlatform(kind)
    return factory(credentials)


@lru_cache(maxsize=1)
def _all() -> dict[str, Factory]:
    return OURS | {point.name: point.load() for point in entry_points(group="baton.platforms")}
