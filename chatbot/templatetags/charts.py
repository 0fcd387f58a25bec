"""Charts as SVG, drawn by the server: they print, follow the theme, need no script, and name their finding in words."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django import template
from django.utils.formats import date_format

from conversations.analytics import Share

register = template.Library()

WIDTH = 640
ROW = 28
LABEL = 210
NUMBER = 60
COLUMNS_HEIGHT = 140
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
    """A bar with its place; `tone` is the colour's class, `link` where its rows are."""

    label: str
    value: int
    percent: int
    y: int
    width: int
    tone: str
    link: str


@dataclass(frozen=True)
class Column:
    label: str
    value: int
    x: float
    y: float
    width: float
    height: float


@register.inclusion_tag("analytics/_bars.html")
def bars(rows: Sequence[tuple[Share, str]], title: str, link: str, limit: int = 10) -> dict[str, object]:
    """Horizontal bars of `analytics.Share` rows with their labels; `link` gets the row's name appended."""
    shown = list(rows)[:limit]
    most = max((share.count for share, _ in shown), default=0)
    room = WIDTH - LABEL - NUMBER
    drawn = [
        Bar(
            label=label,
            value=share.count,
            percent=share.percent,
            y=at * ROW,
            width=max(2, round(room * share.count / most)) if most else 0,
            tone=TONES.get(share.name, ""),
            link=f"{link}{share.name}",
        )
        for at, (share, label) in enumerate(shown)
    ]
    return {"bars": drawn, "title": title, "width": WIDTH, "height": ROW * len(drawn), "label": LABEL}


@register.inclusion_tag("analytics/_columns.html")
def columns(rows: Sequence[tuple[dt.date, int]], title: str) -> dict[str, object]:
    """Columns by day."""
    most = max((count for _, count in rows), default=0)
    step = WIDTH / max(1, len(rows))
    drawn = [
        Column(
            label=date_format(day, "SHORT_DATE_FORMAT"),
            value=count,
            x=at * step + step * 0.1,
            y=COLUMNS_HEIGHT - (COLUMNS_HEIGHT * count / most if most else 0),
            width=step * 0.8,
            height=COLUMNS_HEIGHT * count / most if most else 0,
        )
        for at, (day, count) in enumerate(rows)
    ]
    first, last = (drawn[0].label, drawn[-1].label) if drawn else ("", "")
    return {
        "columns": drawn, "title": title, "width": WIDTH, "height": COLUMNS_HEIGHT, "most": most,
        "first": first, "last": last,
    }  # fmt: skip
