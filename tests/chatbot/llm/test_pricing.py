"""What calls cost, to the last digit, against sums done by hand."""

import datetime as dt
from decimal import Decimal

import pytest

from chatbot.llm.catalogue import Rate, as_of, limits_of, listed_rates
from chatbot.llm.pricing import cost_of, is_peak, off_peak_from
from chatbot.turn.values import Usage

BEIJING = dt.timezone(dt.timedelta(hours=8))


def beijing(*when: int) -> dt.datetime:
    return dt.datetime(*when, tzinfo=BEIJING)


WEDNESDAY_10H = beijing(2026, 11, 18, 10)
SUNDAY_10H = beijing(2026, 11, 22, 10)
NATIONAL_DAY_10H = beijing(2026, 10, 1, 10)  # a Thursday
WORKED_SATURDAY_10H = beijing(2026, 10, 10, 10)  # worked in lieu of a holiday, and still a Saturday
PLAIN = Usage(1_000, 100)
CACHED = Usage(10_000, 250, cached=8_192)


@pytest.mark.parametrize(
    ("model", "currency", "usage", "at", "amount", "saved"),
    [
        # 1000 × 0.15 + 100 × 0.60
        ("deepseek-flash", "USD", PLAIN, SUNDAY_10H, "0.00021", "0"),
        # 1000 × 0.30 + 100 × 1.20
        ("deepseek-flash", "USD", PLAIN, WEDNESDAY_10H, "0.00042", "0"),
        # the last moment of the morning's peak, and the first after it
        ("deepseek-flash", "USD", PLAIN, beijing(2026, 11, 18, 11, 59, 59), "0.00042", "0"),
        ("deepseek-flash", "USD", PLAIN, beijing(2026, 11, 18, 12), "0.00021", "0"),
        ("deepseek-flash", "USD", PLAIN, NATIONAL_DAY_10H, "0.00021", "0"),
        ("deepseek-flash", "USD", PLAIN, WORKED_SATURDAY_10H, "0.00021", "0"),
        # 8192 × 0.003 + 1808 × 0.15 + 250 × 0.60; saved 8192 × (0.15 − 0.003)
        ("deepseek-flash", "USD", CACHED, SUNDAY_10H, "0.000445776", "0.001204224"),
        # 8192 × 0.006 + 1808 × 0.30 + 250 × 1.20; saved 8192 × (0.30 − 0.006)
        ("deepseek-flash", "USD", CACHED, WEDNESDAY_10H, "0.000891552", "0.002408448"),
        # 64 × 0.30 + 3269 × 9 + 777 × 27; saved 64 × (9 − 0.30)
        ("deepseek-v4-pro", "CNY", Usage(3_333, 777, cached=64), WEDNESDAY_10H, "0.0504192", "0.0005568"),
        # 1 × 1 + 500 × 4: reasoning is part of the answer's tokens and is not counted twice
        ("deepseek-v4-flash", "CNY", Usage(1, 500, reasoning=450), SUNDAY_10H, "0.002001", "0"),
    ],
)
def test_ten_calls_cost_what_a_hand_computes(
    model: str, currency: str, usage: Usage, at: dt.datetime, amount: str, saved: str
) -> None:
    rates = [rate for rate in listed_rates(model) if rate.currency == currency]
    cost = cost_of(usage, rates, at)
    assert cost
    assert (cost.amount, cost.saved, cost.currency) == (Decimal(amount), Decimal(saved), currency)


def rate(since: dt.datetime, price: str) -> Rate:
    each = Decimal(price)
    return Rate("m", "CNY", since, each, each, each, each, each, each)


def test_the_price_is_that_of_the_moment_the_call_ended() -> None:
    old, new = rate(beijing(2026, 1, 1), "3"), rate(beijing(2026, 11, 1), "5")
    usage = Usage(120, 32)
    before = cost_of(usage, [new, old], beijing(2026, 10, 31, 23, 59))
    after = cost_of(usage, [old, new], beijing(2026, 11, 1))
    assert before
    assert after
    assert (before.amount, after.amount) == (Decimal("0.000456"), Decimal("0.00076"))
    assert cost_of(usage, [old, new], beijing(2025, 12, 31)) is None


@pytest.mark.parametrize(
    ("at", "peak"),
    [
        (beijing(2026, 11, 18, 8, 59), False),
        (beijing(2026, 11, 18, 9), True),
        (beijing(2026, 11, 18, 13), False),
        (beijing(2026, 11, 18, 14), True),
        (beijing(2026, 11, 18, 18), False),
        (beijing(2026, 2, 17, 10), False),  # Spring Festival, a Tuesday
        (dt.datetime(2026, 11, 18, 1, tzinfo=dt.UTC), True),
        (dt.datetime(2026, 11, 18, 10, tzinfo=dt.UTC), False),
    ],
)
def test_peak_is_working_hours_in_beijing(at: dt.datetime, peak: bool) -> None:
    assert is_peak(at) is peak


def test_the_owner_may_name_further_holidays() -> None:
    assert not is_peak(WEDNESDAY_10H, {dt.date(2026, 11, 18)})


def test_off_peak_begins_when_the_running_peak_ends() -> None:
    assert off_peak_from(WEDNESDAY_10H) == beijing(2026, 11, 18, 12)
    assert off_peak_from(beijing(2026, 11, 18, 17, 59)) == beijing(2026, 11, 18, 18)
    assert off_peak_from(SUNDAY_10H) == SUNDAY_10H


def test_the_catalogue_has_a_date_limits_and_cautious_ones_for_what_it_does_not_know() -> None:
    assert as_of() >= dt.date(2026, 11, 15)
    assert limits_of("deepseek-flash").vision
    assert limits_of("deepseek-v4-flash") == limits_of("deepseek-flash")
    assert limits_of("a-model-of-2031").max_output < 10_000
    assert listed_rates("a-model-of-2031") == ()
