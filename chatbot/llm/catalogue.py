"""What is known of models, as data with a date (`catalogue.toml`): limits, and list prices. Rows of the owner's go first."""

import datetime as dt
import tomllib
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).with_name("catalogue.toml")


@dataclass(frozen=True)
class ModelLimits:
    """`context` and `max_output` in tokens; `concurrency` is the provider's own limit of answers under way per account."""

    context: int
    max_output: int
    vision: bool
    thinking: bool
    concurrency: int


UNKNOWN = ModelLimits(context=32_768, max_output=8_192, vision=False, thinking=False, concurrency=0)


@dataclass(frozen=True)
class Rate:
    """What a million tokens cost from `since` on, off peak and at peak, in `currency`. Prompt tokens are `hit` or `miss`."""

    model: str
    currency: str
    since: dt.datetime
    hit: Decimal
    miss: Decimal
    output: Decimal
    peak_hit: Decimal
    peak_miss: Decimal
    peak_output: Decimal


@lru_cache(maxsize=64)
def limits_of(model: str) -> ModelLimits:
    """Of a model nobody knows, cautious ones."""
    row = _data()["models"].get(_canonical(model))
    if row is None:
        return UNKNOWN
    return ModelLimits(
        context=row["context"],
        max_output=row["max_output"],
        vision=row["vision"],
        thinking=row["thinking"],
        concurrency=row["concurrency"],
    )


@lru_cache(maxsize=64)
def listed_rates(model: str) -> tuple[Rate, ...]:
    """The list prices of a model, the newest first; none for a model nobody lists."""
    name = _canonical(model)
    rates = [
        Rate(
            model=name,
            currency=row["currency"],
            since=row["since"],
            **{key: Decimal(row[key]) for key in ("hit", "miss", "output", "peak_hit", "peak_miss", "peak_output")},
        )
        for row in _data()["prices"]
        if row["model"] == name
    ]
    return tuple(sorted(rates, key=lambda rate: rate.since, reverse=True))


@dataclass(frozen=True)
class PeakHours:
    """When peak prices hold: local times of day on `weekdays` (0 is Monday), not on public holidays of `country`."""

    timezone: str
    weekdays: frozenset[int]
    hours: tuple[tuple[dt.time, dt.time], ...]
    country: str


@lru_cache(maxsize=1)
def peak_hours() -> PeakHours:
    row = _data()["peak"]
    hours = tuple((dt.time.fromisoformat(begin), dt.time.fromisoformat(end)) for begin, end in row["hours"])
    return PeakHours(row["timezone"], frozenset(row["weekdays"]), hours, row["country"])


def as_of() -> dt.date:
    """When the list was last compared with the provider's own."""
    date: dt.date = _data()["as_of"]
    return date


def known_models() -> list[str]:
    return sorted(_data()["models"])


def _canonical(model: str) -> str:
    return str(_data()["aliases"].get(model, model))


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    return tomllib.loads(DATA.read_text(encoding="utf-8"))
