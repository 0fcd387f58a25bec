"""Opening hours of an inbox: is somebody there now, and if not, when again.

``{"time_zone": "Asia/Shanghai", "weekly": {"mon": [["09:00", "12:00"], ["13:00", "18:00"]]}, "holidays": ["2026-10-01"]}``;
an empty object means always open. "24:00" ends a day.
"""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.utils.translation import gettext as _

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LOOK_AHEAD_DAYS = 60
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d|24:00")


class BadHours(ValueError):
    """The setting cannot be used; the text says where, in the reader's language."""


@dataclass(frozen=True)
class Opening:
    """`opens_at` (UTC) is None while it is open, and when no opening lies within two months."""

    open: bool
    opens_at: dt.datetime | None = None


def opening(hours: Mapping[str, Any], now: dt.datetime) -> Opening:
    """Whether it is open at `now` (aware). A setting that cannot be read counts as open: nobody is turned away by a typo."""
    try:
        check_hours(hours)
    except BadHours:
        return Opening(True)
    if not hours:
        return Opening(True)
    zone = ZoneInfo(hours["time_zone"])
    local = now.astimezone(zone)
    holidays = set(hours.get("holidays", ()))
    for ahead in range(LOOK_AHEAD_DAYS):
        day = local.date() + dt.timedelta(days=ahead)
        if day.isoformat() in holidays:
            continue
        for first, last in sorted(hours["weekly"].get(DAYS[day.weekday()], ())):
            begins, ends = _moment(day, first, zone), _moment(day, last, zone)
            if begins <= now < ends:
                return Opening(True)
            if now < begins:
                return Opening(False, begins)
    return Opening(False)


def check_hours(hours: Any) -> None:
    """Raises `BadHours` for what is not as described above."""
    if not isinstance(hours, Mapping):
        raise BadHours(_("Write an object: {…}."))
    if not hours:
        return
    if unknown := set(hours) - {"time_zone", "weekly", "holidays"}:
        raise BadHours(_("Unknown: %(names)s.") % {"names": ", ".join(sorted(map(str, unknown)))})
    try:
        ZoneInfo(str(hours.get("time_zone", "")))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadHours(_('"time_zone" needs a name such as Asia/Shanghai.')) from None
    weekly = hours.get("weekly")
    if not isinstance(weekly, Mapping) or set(weekly) - set(DAYS):
        raise BadHours(_('"weekly" needs days: mon, tue, wed, thu, fri, sat, sun.'))
    for day, spans in weekly.items():
        if not isinstance(spans, list) or not all(_is_span(span) for span in spans):
            raise BadHours(_('"%(day)s" needs times such as [["09:00", "18:00"]].') % {"day": day})
    holidays = hours.get("holidays", [])
    if not isinstance(holidays, list) or not all(_is_date(day) for day in holidays):
        raise BadHours(_('"holidays" needs dates such as ["2026-10-01"].'))


def _is_span(span: Any) -> bool:
    return (
        isinstance(span, list)
        and len(span) == 2
        and all(isinstance(time, str) and _TIME.fullmatch(time) for time in span)
        and span[0] < span[1]
    )


def _is_date(day: Any) -> bool:
    try:
        return isinstance(day, str) and dt.date.fromisoformat(day).isoformat() == day
    except ValueError:
        return False


def _moment(day: dt.date, time: str, zone: ZoneInfo) -> dt.datetime:
    hour, minute = int(time[:2]), int(time[3:])
    at = dt.datetime.combine(day + dt.timedelta(days=hour // 24), dt.time(hour % 24, minute), zone)
    return at.astimezone(dt.UTC)
