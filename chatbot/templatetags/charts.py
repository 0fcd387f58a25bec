"""Charts as SVG, drawn by the server: they print, follow the theme, need no script, and name their finding in words."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django import template
from django.utils.formats import date_format
from django.utils.translation import gettext

from chatbot.costs import Part
from chatbot.templatetags.amounts import money
from conversations.analytics import Share

register = template.Library()

HIGH = 100  # of the drawing; the page stretches it
TONES = {
    "handed_off": "person",
    "interrupted": "person",
    "no_answer": "queued",
    "asked_back": "queued",
    "stopped": "queued",
    "refused": "bad",
    "failed": "bad",
}


@dataclass(frozen=True)
class Bar:
    """A bar of `width` percent; `tone` is the colour's class, `link` where its rows are."""

    label: str
    value: int | str
    percent: int
    width: int
    tone: str
    link: str


@dataclass(frozen=True)
class Column:
    """Places as percentages of the drawing."""

    label: str
    value: int | str
    x: float
    y: float
    width: float
    height: float
    link: str = ""


@register.inclusion_tag("analytics/_bars.html")
def bars(rows: Sequence[tuple[Share, str]], title: str, link: str, limit: int = 10) -> dict[str, object]:
    """Horizontal bars of `analytics.Share` rows with their labels; `link` gets the row's name appended."""
    shown = list(rows)[:limit]
    most = max((share.count for share, _ in shown), default=0)
    drawn = [
        Bar(
            label=label,
            value=share.count,
            percent=share.percent,
            width=max(1, round(100 * share.count / most)) if most else 0,
            tone=TONES.get(share.name, ""),
            link=f"{link}{share.name}",
        )
        for share, label in shown
    ]
    return {"bars": drawn, "title": title}


@register.inclusion_tag("analytics/_bars.html")
def money_bars(
    rows: Sequence[tuple[Part, str]], title: str, link: str, currency: str, limit: int = 12
) -> dict[str, object]:
    """Horizontal bars of what parts of the calls cost; `link` gets the part's key appended."""
    shown = list(rows)[:limit]
    most = max((part.amount for part, _ in shown), default=0)
    drawn = [
        Bar(
            label=label,
            value=money(part.amount, currency) if part.known else gettext("unknown"),
            percent=part.percent,
            width=max(1, round(100 * part.amount / most)) if most else 0,
            tone="",
            link=f"{link}{part.key}",
        )
        for part, label in shown
    ]
    return {"bars": drawn, "title": title, "kind": "money"}


@register.inclusion_tag("analytics/_columns.html")
def money_columns(rows: Sequence[tuple[Part, str]], title: str, link: str, currency: str) -> dict[str, object]:
    """Columns of what each day cost, each a link to its calls."""
    most = max((part.amount for part, _ in rows), default=0)
    step = HIGH / max(1, len(rows))
    drawn = []
    for at, (part, label) in enumerate(rows):
        height = float(HIGH * part.amount / most) if most else 0.0
        column = Column(
            label=label,
            value=money(part.amount, currency),
            x=at * step + step * 0.1,
            y=HIGH - height,
            width=step * 0.8,
            height=height,
            link=f"{link}{part.key}" if part.calls else "",
        )
        drawn.append(column)
    first, last = (drawn[0].label, drawn[-1].label) if drawn else ("", "")
    ends = {"first": first, "last": last}
    return {"columns": drawn, "title": title, "high": HIGH, "most": most, "linked": True, **ends}


@register.inclusion_tag("analytics/_columns.html")
def columns(rows: Sequence[tuple[dt.date, int]], title: str) -> dict[str, object]:
    """Columns by day."""
    most = max((count for _, count in rows), default=0)
    step = HIGH / max(1, len(rows))
    drawn = [
        Column(
            label=date_format(day, "SHORT_DATE_FORMAT"),
            value=count,
            x=at * step + step * 0.1,
            y=HIGH - (HIGH * count / most if most else 0),
            width=step * 0.8,
            height=HIGH * count / most if most else 0,
        )
        for at, (day, count) in enumerate(rows)
    ]
    first, last = (drawn[0].label, drawn[-1].label) if drawn else ("", "")
    return {"columns": drawn, "title": title, "high": HIGH, "most": most, "first": first, "last": last}
