"""Amounts of money with their currency, with as many decimals as a small sum needs."""

from decimal import Decimal

from django import template

register = template.Library()


@register.filter
def money(amount: Decimal | None, currency: str) -> str:
    """1,204.50 USD; 0.0123 USD; 0.000045 USD. None, an unknown amount, is a dash."""
    return "–" if amount is None else f"{digits(amount)} {currency}"


@register.filter
def price(amount: Decimal) -> str:
    """As it is written in a price list: no zeros at the end."""
    return f"{amount.normalize():f}"


def digits(amount: Decimal) -> str:
    size = abs(amount)
    if size >= 1 or size == 0:
        return f"{amount:,.2f}"
    if size >= Decimal("0.01"):
        return f"{amount:.4f}"
    return f"{amount:.6f}" if size >= Decimal("0.0000005") else "< 0.000001"
