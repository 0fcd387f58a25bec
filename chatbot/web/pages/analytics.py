"""The figures, each with the rows behind it one click away and as CSV."""

import csv
import datetime as dt
from collections.abc import Iterable
from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from chatbot.web.access import member_page
from chatbot.web.pages.names import intent_names
from conversations import analytics
from conversations.analytics import Period
from conversations.models import Turn
from workspace.models import Membership, Workspace
from workspace.roles import Action

DAYS = (1, 7, 30, 90)
PAGE = 50
CSV_ROWS = 20_000
UNANSWERED_SHOWN = 8


@require_GET
@member_page(Action.SEE_ANALYTICS)
def overview(request: HttpRequest, member: Membership) -> HttpResponse:
    workspace, (days, period) = member.workspace, _period(request)
    contained, before = (analytics.containment(workspace, each) for each in (period, period.before))
    context = {
        "days": days,
        "days_text": str(days),
        "choices": DAYS,
        "volume": analytics.volume(workspace, period),
        "conversations": analytics.conversations(workspace, period).count(),
        "conversations_before": analytics.conversations(workspace, period.before).count(),
        "questions": analytics.turns(workspace, period).count(),
        "contained": contained,
        "contained_change": contained.percent - before.percent if before.of else None,
        "outcomes": [(share, Turn.Outcome(share.name).label) for share in analytics.outcomes(workspace, period)],
        "intents": _named(workspace, analytics.intents(workspace, period)),
        "times": analytics.first_answer_times(workspace, period),
        "unanswered": analytics.unanswered(workspace, period)[:UNANSWERED_SHOWN],
        "unanswered_count": analytics.unanswered(workspace, period).count(),
    }
    return render(request, "analytics/overview.html", context)


@require_GET
@member_page(Action.SEE_ANALYTICS)
def turns(request: HttpRequest, member: Membership) -> HttpResponse:
    """The rows behind a figure: the same query, as a page or, with ``format=csv``, as a file."""
    days, period = _period(request)
    rows = analytics.turns(member.workspace, period)
    outcome, intent = request.GET.get("outcome", ""), request.GET.get("intent")
    if outcome == "unanswered":
        rows = analytics.unanswered(member.workspace, period)
    elif outcome in Turn.Outcome.values:
        rows = rows.filter(outcome=outcome)
    if intent is not None:
        rows = rows.filter(intent=intent)
    if request.GET.get("format") == "csv":
        return _csv(rows[:CSV_ROWS])
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    context = {"days": days, "choices": DAYS, "page": page, "outcome": outcome, "intent": intent}
    return render(request, "analytics/turns.html", context | {"query": _query(request)})


def _period(request: HttpRequest) -> tuple[int, Period]:
    asked = request.GET.get("days", "")
    days = int(asked) if asked.isdigit() and int(asked) in DAYS else 7
    until = timezone.now()
    return days, Period(until - dt.timedelta(days=days), until)


def _named(workspace: Workspace, shares: Iterable[analytics.Share]) -> list[tuple[analytics.Share, str]]:
    names = intent_names(workspace)
    return [(share, names.get(share.name, share.name)) for share in shares]


def _csv(rows: Iterable[Turn]) -> HttpResponse:
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = 'attachment; filename="turns.csv"'
    response.write("\ufeff")  # so that spreadsheets read Chinese
    writer = csv.writer(response)
    writer.writerow(
        [
            "started_at", "conversation", "turn", "question", "language", "intent", "confidence", "outcome", "source",
            "evidence", "first_text_ms", "total_ms", "prompt_tokens", "completion_tokens", "error",
        ]
    )  # fmt: skip
    for turn in rows:
        writer.writerow(
            [
                _harmless(value)
                for value in (
                    turn.started_at.isoformat(), turn.conversation.public_id, turn.public_id, turn.question.text,
                    turn.language, turn.intent, turn.confidence, turn.outcome, turn.source, turn.evidence,
                    turn.first_text_ms, turn.total_ms, turn.prompt_tokens, turn.completion_tokens, turn.error,
                )
            ]
        )  # fmt: skip
    return response


def _harmless(value: Any) -> Any:
    """A cell that a spreadsheet would run as a formula becomes text."""
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return f"'{value}"
    return "" if value is None else value


def _query(request: HttpRequest) -> str:
    kept = request.GET.copy()
    for name in ("page", "format"):
        kept.pop(name, None)
    return kept.urlencode()
