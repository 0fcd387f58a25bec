"""What pages of figures share: the period asked for, the address without its page, and rows as a file for spreadsheets."""

import csv
import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from conversations.analytics import Period

DAYS = (1, 7, 30, 90)
PAGE = 50
CSV_ROWS = 20_000


def period_of(request: HttpRequest) -> tuple[int, Period]:
    """The last days that were chosen, up to now; seven when none were."""
    asked = request.GET.get("days", "")
    days = int(asked) if asked.isdigit() and int(asked) in DAYS else 7
    until = timezone.now()
    return days, Period(until - dt.timedelta(days=days), until)


def query_of(request: HttpRequest) -> str:
    """What was asked for, for a link to another page of the same rows."""
    kept = request.GET.copy()
    for name in ("page", "format"):
        kept.pop(name, None)
    return kept.urlencode()


def csv_file(name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> HttpResponse:
    """Comma-separated, with the mark by which spreadsheets read Chinese."""
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.write("\ufeff")
    writer = csv.writer(response)
    writer.writerow(header)
    for row in rows:
        writer.writerow([_harmless(value) for value in row])
    return response


def _harmless(value: Any) -> Any:
    """A cell that a spreadsheet would run as a formula becomes text."""
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return f"'{value}"
    return "" if value is None else value
