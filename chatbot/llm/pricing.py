"""What a call costs: tokens, times the price that was valid at the hour it ended. Exact decimals, no rounding."""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays

from chatbot.llm.catalogue import Rate, peak_hours
from chatbot.turn.values import Usage

MILLION = Decimal(1_000_000)


@dataclass(frozen=True)
class Cost:
    """`amount` in `currency`; `saved` is what the tokens read from the provider's cache would have cost more."""

    amount: Decimal
    saved: Decimal
    currency: str
    peak: bool


def cost_of(
    usage: Usage, rates: Sequence[Rate], at: dt.datetime, further_holidays: Collection[dt.date] = ()
) -> Cost | None:
    """`at`: when the call ended, with a time zone. `rates` of one model and currency. None: no price was valid then."""
    rate = next((rate for rate in sorted(rates, key=lambda rate: rate.since, reverse=True) if rate.since <= at), None)
    if rate is None:
        return None
    peak = is_peak(at, further_holidays)
    hit, miss, output = (
        (rate.peak_hit, rate.peak_miss, rate.peak_output) if peak else (rate.hit, rate.miss, rate.output)
    )
    missed = usage.prompt - usage.cached
    return Cost(
        amount=(usage.cached * hit + missed * miss + usage.completion * output) / MILLION,
        saved=usage.cached * (miss - hit) / MILLION,
        currency=rate.currency,
        peak=peak,
    )


def is_peak(at: dt.datetime, further_holidays: Collection[dt.date] = ()) -> bool:
    """Whether peak prices hold: on working days in the provider's country, at its busy hours; an hour's end is off peak."""
    peak = peak_hours()
    local = at.astimezone(ZoneInfo(peak.timezone))
    if local.weekday() not in peak.weekdays or local.date() in further_holidays:
        return False
    if local.date() in _public_holidays(peak.country, local.year):
        return False
    return any(begin <= local.time() < end for begin, end in peak.hours)


def off_peak_from(at: dt.datetime, further_holidays: Collection[dt.date] = ()) -> dt.datetime:
    """The first moment from `at` on that is off peak."""
    peak = peak_hours()
    while is_peak(at, further_holidays):
        local = at.astimezone(ZoneInfo(peak.timezone))
        end = next(end for begin, end in peak.hours if begin <= local.time() < end)
        at = local.replace(hour=end.hour, minute=end.minute, second=0, microsecond=0).astimezone(dt.UTC)
    return at


@lru_cache(maxsize=16)
def _public_holidays(country: str, year: int) -> frozenset[dt.date]:
    return frozenset(holidays.country_holidays(country, years=year))
