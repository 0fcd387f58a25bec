"""The figures, each with the rows behind it one click away and as CSV."""

from collections.abc import Iterable

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from chatbot.web.access import member_page
from chatbot.web.pages.names import intent_names
from chatbot.web.pages.rows import CSV_ROWS, DAYS, PAGE, csv_file, period_of, query_of
from conversations import analytics
from conversations.models import Turn
from workspace.models import Membership, Workspace
from workspace.roles import Action

UNANSWERED_SHOWN = 8


@require_GET
@member_page(Action.SEE_ANALYTICS)
def overview(request: HttpRequest, member: Membership) -> HttpResponse:
    workspace, (days, period) = member.workspace, period_of(request)
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
        "contained_change_size": abs(contained.percent - before.percent),
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
    days, period = period_of(request)
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
    return render(request, "analytics/turns.html", context | {"query": query_of(request)})


def _named(workspace: Workspace, shares: Iterable[analytics.Share]) -> list[tuple[analytics.Share, str]]:
    names = intent_names(workspace)
    return [(share, names.get(share.name, share.name)) for share in shares]


def _csv(rows: Iterable[Turn]) -> HttpResponse:
    header = (
        "started_at", "conversation", "turn", "question", "language", "intent", "confidence", "outcome", "source",
        "evidence", "first_text_ms", "total_ms", "prompt_tokens", "completion_tokens", "error",
    )  # fmt: skip
    cells = (
        (
            turn.started_at.isoformat(), turn.conversation.public_id, turn.public_id, turn.question.text, turn.language,
            turn.intent, turn.confidence, turn.outcome, turn.source, turn.evidence, turn.first_text_ms, turn.total_ms,
            turn.prompt_tokens, turn.completion_tokens, turn.error,
        )
        for turn in rows
    )  # fmt: skip
    return csv_file("turns.csv", header, cells)
