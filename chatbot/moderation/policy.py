"""What happens with each category of words, per inbox: *off*, *note* or *block*."""

from collections.abc import Mapping
from enum import StrEnum


class Policy(StrEnum):
    OFF = "off"
    NOTE = "note"
    BLOCK = "block"


DEFAULTS: dict[str, Policy] = {
    "abuse": Policy.BLOCK,
    "hate": Policy.BLOCK,
    "sexual": Policy.BLOCK,
    "violence": Policy.BLOCK,
    "drugs": Policy.BLOCK,
    "gambling": Policy.BLOCK,
    "weapons": Policy.NOTE,
    "advertising": Policy.NOTE,
}

MOODS = frozenset({"abuse", "hate"})
"""A visitor who uses these words is upset: noted as mood, never refused (law 5). The bot itself never says them."""


def policy_of(chosen: Mapping[str, str]) -> dict[str, Policy]:
    """An inbox's choices over the defaults; an unknown category or policy is ignored, the default then holds."""
    known = {
        category: Policy(value)
        for category, value in chosen.items()
        if category in DEFAULTS and value in Policy.__members__.values()
    }
    return DEFAULTS | known
