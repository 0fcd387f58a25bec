"""What the models cost: figures, budgets, notices, prices; and the calls behind every figure, as a page or a file."""

import datetime as dt
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from chatbot import costs, notices
from chatbot.costs import NARROWINGS, NONE, BudgetNow, Part, PerResolved, Total
from chatbot.ledger import Step
from chatbot.llm.catalogue import as_of
from chatbot.llm.pricing import is_peak
from chatbot.models import Budget, ModelCall
from chatbot.provider_check import explain
from chatbot.web.access import member_page
from chatbot.web.pages.names import failure_name, purpose_name
from chatbot.web.pages.rows import CSV_ROWS, DAYS, PAGE, csv_file, period_of, query_of
from conversations.analytics import Period
from conversations.models import Inbox
from workspace.models import Membership, Workspace
from workspace.roles import Action

STEPS = {
    Step.FULL: gettext_lazy("answers as usual"),
    Step.SHORTER: gettext_lazy("shorter prompts"),
    Step.EXTRACTIVE: gettext_lazy("quotations only, no model"),
    Step.PERSON: gettext_lazy("a person takes over"),
}


@require_GET
@member_page(Action.SEE_ANALYTICS)
def overview(request: HttpRequest, member: Membership) -> HttpResponse:
    """One currency at a time, since amounts of two cannot be added up."""
    workspace, (days, period) = member.workspace, period_of(request)
    everything = costs.totals(costs.calls(workspace, period))
    total = _chosen(everything, request.GET.get("currency", ""))
    rows = costs.calls(workspace, period).filter(currency=total.currency)
    earlier = costs.calls(workspace, period.before).filter(currency=total.currency)
    before = next(iter(costs.totals(earlier)), Total(total.currency))
    change, by_day = _change(total, before), [(part, _day(part.key)) for part in costs.by_day(rows, period)]
    context = {
        "days": days,
        "choices": DAYS,
        "total": total,
        "others": [each for each in everything if each.currency != total.currency],
        "before": before,
        "change": change,
        "change_size": abs(change or 0),
        "each": costs.per_resolved(rows) if total.calls else PerResolved(0, 0, total.amount),
        "rows": f"{reverse('cost-calls')}?days={days}&currency={total.currency}",
        "currency_kept": f"currency={total.currency}",
        "by_day": by_day,
        "dearest": max(by_day, key=lambda day: day[0].amount),
        "by_model": [(part, part.key) for part in costs.by_model(rows)],
        "by_purpose": [(part, purpose_name(part.key)) for part in costs.by_purpose(rows)],
        "by_inbox": _by_inbox(workspace, costs.by_inbox(rows)),
        "by_failure": [(part, failure_name(part.key), explain(part.key)) for part in costs.by_failure(rows)],
        "budgets": [(budget, STEPS[budget.step], _rows_of(budget)) for budget in costs.budgets(workspace)],
        "notices": [(notice, notices.say(notice)) for notice in notices.unread(workspace.pk)],
        "may_configure": member.may(Action.CONFIGURE),
        "prices": costs.prices(workspace),
        "as_of": as_of(),
        "peak": is_peak(timezone.now()),
    }
    return render(request, "analytics/costs.html", context)


@require_GET
@member_page(Action.SEE_ANALYTICS)
def calls(request: HttpRequest, member: Membership) -> HttpResponse:
    """The rows behind a figure: the same query, as a page or, with ``format=csv``, as a file."""
    workspace, (days, period) = member.workspace, _period(request)
    asked = {word: request.GET[word] for word in NARROWINGS if request.GET.get(word)}
    every = costs.calls(workspace, period)
    rows = costs.narrowed(every, asked)
    if request.GET.get("format") == "csv":
        return _csv(rows[:CSV_ROWS])
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    context = {
        "days": days,
        "since": request.GET.get("since", "") if not days else "",
        "choices": DAYS,
        "page": page,
        "shown": [(call, purpose_name(call.purpose), failure_name(call.failure)) for call in page],
        "totals": costs.totals(rows),
        "query": query_of(request),
        "asked_kept": urlencode(asked),
        "fields": _fields(workspace, every, asked),
        "further": _further(asked),
    }
    return render(request, "analytics/calls.html", context)


@require_POST
@member_page(Action.CONFIGURE)
def understood(request: HttpRequest, member: Membership, notice: int) -> HttpResponse:
    notices.understood(member.workspace, notice)
    return redirect("costs")


def _chosen(totals: list[Total], currency: str) -> Total:
    fallback = totals[0] if totals else Total("USD")
    return next((each for each in totals if each.currency == currency), fallback)


def _change(total: Total, before: Total) -> int | None:
    """In percent of the period before; None where nothing was spent in it."""
    return round(100 * (total.amount - before.amount) / before.amount) if before.amount else None


def _day(key: str) -> str:
    return date_format(dt.date.fromisoformat(key), "SHORT_DATE_FORMAT")


def _by_inbox(workspace: Workspace, parts: Iterable[Part]) -> list[tuple[Part, str]]:
    names = dict(Inbox.objects.of(workspace).values_list("public_id", "name")) | {NONE: _("no inbox")}
    return [(part, names.get(part.key, part.key)) for part in parts]


def _rows_of(now: BudgetNow) -> str:
    """Where the calls are that a budget counts."""
    query = f"{reverse('cost-calls')}?since={now.since.isoformat()}&currency={now.budget.currency}"
    if now.budget.scope == Budget.Scope.INBOX and now.budget.inbox:
        return f"{query}&inbox={now.budget.inbox.public_id}"
    return f"{query}&contact={now.contact}" if now.contact else query


def _period(request: HttpRequest) -> tuple[int, Period]:
    """The last days, or everything since the midnight that begins ``since``; the number of days is 0 then."""
    try:
        since = dt.date.fromisoformat(request.GET.get("since", ""))
    except ValueError:
        return period_of(request)
    begun = dt.datetime.combine(since, dt.time(), timezone.get_current_timezone())
    return 0, Period(begun, timezone.now())


def _fields(workspace: Workspace, rows: Any, asked: dict[str, str]) -> list[dict[str, Any]]:
    """What can be chosen from: only what occurs in the period."""
    found = {
        word: sorted(set(rows.order_by().values_list(word, flat=True).distinct()))
        for word in ("model", "purpose", "failure")
    }
    inboxes = {part.key for part in costs.by_inbox(rows)}
    failures = [(code, failure_name(code)) for code in found["failure"] if code]
    choices = [
        ("model", _("Model"), [(name, name) for name in found["model"]]),
        ("purpose", _("Purpose"), [(name, purpose_name(name)) for name in found["purpose"]]),
        (
            "inbox",
            _("Inbox"),
            [
                *Inbox.objects.of(workspace).filter(public_id__in=inboxes).values_list("public_id", "name"),
                *([(NONE, _("no inbox"))] if NONE in inboxes else []),
            ],
        ),
        ("failure", _("Result"), [("any", _("all failures")), *failures] if failures else []),
    ]
    return [
        {"name": name, "label": label, "choices": offered, "chosen": asked.get(name, "")}
        for name, label, offered in choices
    ]


def _further(asked: dict[str, str]) -> list[tuple[str, str, str]]:
    """What was asked for by a link and is no field of the form: its word, its value, and how it reads."""
    words = {
        "day": asked.get("day", ""),
        "currency": asked.get("currency", ""),
        "contact": _("one visitor"),
        "priced": _("cost unknown"),
        "cached": _("with tokens from the cache"),
        "conversation": _("resolved conversations") if asked.get("conversation") == "resolved" else _("conversations"),
    }
    return [(word, asked[word], said) for word, said in words.items() if word in asked]


def _csv(rows: Iterable[ModelCall]) -> HttpResponse:
    header = (
        "ended_at", "call", "provider", "model", "purpose", "prompt_version", "inbox", "conversation", "turn",
        "cached_tokens", "missed_tokens", "output_tokens", "reasoning_tokens", "estimated", "peak", "currency", "cost",
        "saved", "first_ms", "total_ms", "tries", "finish", "failure", "trace",
    )  # fmt: skip
    cells = (
        (
            call.ended_at.isoformat(), call.public_id, call.provider_name, call.model, call.purpose, call.prompt_version,
            call.inbox.name if call.inbox else "", call.conversation.public_id if call.conversation else "", call.turn,
            call.cached_tokens, call.missed_tokens, call.output_tokens, call.reasoning_tokens, call.estimated, call.peak,
            call.currency, call.cost, call.saved, call.first_ms, call.total_ms, call.tries, call.finish, call.failure,
            call.trace,
        )
        for call in rows
    )  # fmt: skip
    return csv_file("model-calls.csv", header, cells)
