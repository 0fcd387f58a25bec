"""What models cost, for the owner's eyes. Every figure is a query over the calls (law 8); `calls` gives the rows behind it."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from chatbot import ledger
from chatbot.ledger import Step
from chatbot.llm.catalogue import Rate
from chatbot.models import Budget, ModelCall, Price, Provider
from conversations.analytics import Period
from conversations.models import Status
from workspace.models import Workspace

STOPPED = "stopped"  # by us, which is no failure: the visitor left, or a person took over
NONE = "none"
FAILED = ~Q(failure__in=["", STOPPED])


@dataclass(frozen=True)
class Total:
    """Calls of one currency, added up. `priced` is how many of them have a known cost."""

    currency: str
    calls: int = 0
    failed: int = 0
    priced: int = 0
    amount: Decimal = Decimal(0)
    saved: Decimal = Decimal(0)
    cached_tokens: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0

    @property
    def unpriced(self) -> int:
        return self.calls - self.priced

    @property
    def cached_percent(self) -> int:
        return round(100 * self.cached_tokens / self.prompt_tokens) if self.prompt_tokens else 0


@dataclass(frozen=True)
class Part:
    """Calls that have something in common, `key`, with what they cost of the whole; `priced` of them have a known cost."""

    key: str
    calls: int
    priced: int
    amount: Decimal
    whole: Decimal

    @property
    def percent(self) -> int:
        return round(100 * self.amount / self.whole) if self.whole else 0

    @property
    def known(self) -> bool:
        """Whether the amount says anything: it is not merely zero for want of a price."""
        return bool(self.amount) or self.priced == self.calls


@dataclass(frozen=True)
class PerResolved:
    """What a resolved conversation cost on average: `resolved` of the `talked` conversations that a model had a part in."""

    resolved: int
    talked: int
    amount: Decimal

    @property
    def each(self) -> Decimal | None:
        return self.amount / self.resolved if self.resolved else None


@dataclass(frozen=True)
class BudgetNow:
    """A budget in its running period. Of a visitor's budget: the visitor who spent most, whose public id is `contact`."""

    budget: Budget
    amount: Decimal
    percent: int
    step: Step
    since: dt.date
    contact: str = ""


@dataclass(frozen=True)
class PriceNow:
    """What a model costs now: the owner's `own` price, a list price, or (None) nobody knows."""

    provider: str
    model: str
    currency: str
    rate: Rate | None
    own: bool


def totals(rows: QuerySet[ModelCall]) -> list[Total]:
    """By currency, the one with most calls first."""
    found = (
        rows.order_by()
        .values("currency")
        .annotate(
            calls=Count("pk"),
            failed=Count("pk", filter=FAILED),
            priced=Count("cost"),
            amount=Sum("cost"),
            total_saved=Sum("saved"),
            cached=Sum("cached_tokens"),
            missed=Sum("missed_tokens"),
            output=Sum("output_tokens"),
        )
        .order_by("-calls", "currency")
    )
    return [
        Total(
            currency=row["currency"],
            calls=row["calls"],
            failed=row["failed"],
            priced=row["priced"],
            amount=row["amount"] or Decimal(0),
            saved=row["total_saved"] or Decimal(0),
            cached_tokens=row["cached"],
            prompt_tokens=row["cached"] + row["missed"],
            output_tokens=row["output"],
        )
        for row in found
    ]


def by_day(rows: QuerySet[ModelCall], period: Period) -> list[Part]:
    """Every day of the period, with those on which nothing was asked; `key` as 2026-11-20."""
    days = {part.key: part for part in _parts(rows.annotate(key=TruncDate("ended_at")))}
    first, last = (timezone.localtime(each).date() for each in (period.since, period.until))
    whole = sum((part.amount for part in days.values()), Decimal(0))
    every = [(first + dt.timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]
    return [days.get(day) or Part(day, 0, 0, Decimal(0), whole) for day in every]


def by_model(rows: QuerySet[ModelCall]) -> list[Part]:
    return _parts(rows.annotate(key=F("model")))


def by_purpose(rows: QuerySet[ModelCall]) -> list[Part]:
    return _parts(rows.annotate(key=F("purpose")))


def by_inbox(rows: QuerySet[ModelCall]) -> list[Part]:
    """`key` is the inbox's public id; "none": the call was for no inbox."""
    return _parts(rows.annotate(key=F("inbox__public_id")))


def by_failure(rows: QuerySet[ModelCall]) -> list[Part]:
    """Most frequent first; what we stopped ourselves is not among them."""
    return sorted(_parts(rows.filter(FAILED).annotate(key=F("failure"))), key=lambda part: -part.calls)


def per_resolved(rows: QuerySet[ModelCall]) -> PerResolved:
    talked = rows.filter(conversation__isnull=False).aggregate(n=Count("conversation", distinct=True))["n"]
    resolved = rows.filter(conversation__status=Status.RESOLVED).aggregate(
        n=Count("conversation", distinct=True), amount=Sum("cost")
    )
    return PerResolved(resolved["n"], talked, resolved["amount"] or Decimal(0))


def calls(workspace: Workspace, period: Period) -> QuerySet[ModelCall]:
    """The rows behind every figure, the newest first."""
    return (
        ModelCall.objects.of(workspace)
        .filter(ended_at__gte=period.since, ended_at__lt=period.until)
        .select_related("inbox", "conversation")
        .order_by("-ended_at", "-pk")
    )


def narrowed(rows: QuerySet[ModelCall], asked: Mapping[str, str]) -> QuerySet[ModelCall]:
    """The calls that fit all of what is asked; see `NARROWINGS` for the words. Unknown words and empty ones ask nothing."""
    for word, narrowing in NARROWINGS.items():
        if asked.get(word):
            rows = rows.filter(narrowing(asked[word]))
    return rows


def _on_day(text: str) -> Q:
    try:
        return Q(ended_at__date=dt.date.fromisoformat(text))
    except ValueError:
        return Q()


NARROWINGS: dict[str, Callable[[str], Q]] = {
    "day": _on_day,
    "model": lambda name: Q(model=name),
    "purpose": lambda name: Q(purpose=name),
    "inbox": lambda inbox: Q(inbox=None) if inbox == NONE else Q(inbox__public_id=inbox),
    "contact": lambda contact: Q(contact__public_id=contact),
    "currency": lambda currency: Q(currency=currency),
    "failure": lambda code: FAILED if code == "any" else Q(failure=code),
    "priced": lambda _: Q(cost=None),
    "cached": lambda _: Q(cached_tokens__gt=0),
    "conversation": lambda kind: (
        Q(conversation__status=Status.RESOLVED) if kind == "resolved" else Q(conversation__isnull=False)
    ),
}


def budgets(workspace: Workspace) -> list[BudgetNow]:
    """Each with what is gone of it now, the fullest first."""
    found = [_now(budget) for budget in Budget.objects.of(workspace).select_related("inbox")]
    return sorted(found, key=lambda each: (-each.percent, each.budget.pk))


def prices(workspace: Workspace) -> list[PriceNow]:
    """Of every model that is set up: what it costs now. The owner's own prices go before the list."""
    providers = list(Provider.objects.of(workspace).filter(active=True))
    if not providers and settings.DEEPSEEK_API_KEY:
        return [_price(workspace, None, settings.DEEPSEEK_MODEL)]
    return [
        _price(workspace, provider, model)
        for provider in providers
        for model in dict.fromkeys([provider.model, *provider.model_by_language.values(), *_own_models(provider)])
    ]


def _parts(rows: QuerySet[Any]) -> list[Part]:
    grouped = rows.order_by().values("key").annotate(calls=Count("pk"), priced=Count("cost"), amount=Sum("cost"))
    found = [(row["key"], row["calls"], row["priced"], row["amount"] or Decimal(0)) for row in grouped]
    whole = sum((amount for *_, amount in found), Decimal(0))
    parts = [Part(str(key or NONE), calls, priced, amount, whole) for key, calls, priced, amount in found]
    return sorted(parts, key=lambda part: (-part.amount, -part.calls, part.key))


def _now(budget: Budget) -> BudgetNow:
    contact, began = "", ledger.since(budget)
    if budget.scope == Budget.Scope.VISITOR:
        spenders = ModelCall.objects.of(budget.workspace_id).filter(
            contact__isnull=False, currency=budget.currency, ended_at__gte=began
        )
        most = spenders.values("contact__public_id").annotate(total=Sum("cost")).order_by("-total").first()
        contact = most["contact__public_id"] if most and most["total"] else ""
    held = ledger.spent(budget, contact=contact)
    return BudgetNow(budget, held.amount, int(held.percent), ledger.rung(budget, held.percent), began.date(), contact)


def _own_models(provider: Provider) -> list[str]:
    return sorted(
        set(Price.objects.of(provider.workspace_id).filter(provider=provider).values_list("model", flat=True))
    )


def _price(workspace: Workspace, provider: Provider | None, model: str) -> PriceNow:
    now = timezone.now()
    rates = [rate for rate in ledger.rates_for(workspace.pk, provider, model) if rate.since <= now]
    newest = max(rates, key=lambda rate: rate.since, default=None)
    own = provider is not None and model in _own_models(provider)
    currency = provider.currency if provider else settings.DEEPSEEK_CURRENCY
    return PriceNow(provider.name if provider else "DeepSeek", model, currency, newest, own)
