"""The ledger: which providers a workspace has, what each call cost, what may still be spent. Plain sync Django.

Only frozen values leave it. Calls are kept for ever; budgets are sums over them, so that a budget and the cost page can
never disagree.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, Sum
from django.utils import timezone

from chatbot.llm import errors
from chatbot.llm.catalogue import Rate, listed_rates
from chatbot.llm.pricing import Cost, cost_of
from chatbot.llm.profile import Dialect, Profile
from chatbot.llm.provider import Call
from chatbot.models import Budget, ModelCall, Notice, Price, Provider
from conversations.models import Contact, Conversation, Inbox

WARN_AT = 80
ENVIRONMENT = "env"
_OWNERS = {failure.code for failure in (errors.AUTH, errors.QUOTA)}


class Step(StrEnum):
    """The rungs of the ladder, the best first."""

    FULL = "full"
    SHORTER = "shorter"
    EXTRACTIVE = "extractive"
    PERSON = "person"


@dataclass(frozen=True)
class Account:
    """A provider as it is to be called. `user_ids`: off, inbox or visitor."""

    profile: Profile
    user_ids: str


@dataclass(frozen=True)
class Plan:
    """What a workspace has to answer with. `budgets`: whether it has any."""

    accounts: tuple[Account, ...]
    budgets: bool


def plan_of(workspace: int) -> Plan:
    """The active providers in order; with none set up, the one that the environment names, if it does."""
    rows = list(Provider.objects.of(workspace).filter(active=True))
    accounts = [Account(profile_of(row), row.user_ids) for row in rows] or environment_account()
    return Plan(tuple(accounts), Budget.objects.of(workspace).exists())


def environment_account() -> list[Account]:
    """The provider of the environment variables ``DEEPSEEK_…``: none without a key."""
    if not settings.DEEPSEEK_API_KEY:
        return []
    profile = Profile(
        id=ENVIRONMENT,
        key=settings.DEEPSEEK_API_KEY,
        base_url=settings.DEEPSEEK_BASE_URL,
        model=settings.DEEPSEEK_MODEL,
        max_tokens=settings.DEEPSEEK_MAX_TOKENS,
        temperature=settings.DEEPSEEK_TEMPERATURE,
        first_token_s=settings.DEEPSEEK_FIRST_TOKEN_S,
        idle_s=settings.DEEPSEEK_IDLE_S,
        total_s=settings.DEEPSEEK_TOTAL_S,
        max_streams=settings.DEEPSEEK_MAX_STREAMS,
    )
    return [Account(profile, "inbox")]


def profile_of(row: Provider) -> Profile:
    secret = row.secret or {}
    return Profile(
        id=row.public_id,
        name=row.name,
        dialect=Dialect(row.dialect),
        base_url=row.base_url,
        key=str(secret.get("key", "")),
        client_id=str(secret.get("client_id", "")),
        client_secret=str(secret.get("client_secret", "")),
        model=row.model,
        model_by_language=_Frozen(row.model_by_language),
        max_tokens=row.max_tokens,
        temperature=row.temperature,
        context_window=row.context_window,
        first_token_s=row.first_token_s,
        idle_s=row.idle_s,
        total_s=row.total_s,
        max_streams=row.max_streams,
        ca=row.ca,
        api_version=row.api_version,
        text_path=row.text_path,
        chunks=row.chunks,
        logit_bias=_Frozen(row.logit_bias),
        extra=_Frozen(row.extra),
    )


class _Frozen(dict[str, Any]):
    """A mapping that lets the profile around it be compared; nobody changes it."""


# --- calls -------------------------------------------------------------------------------------------------------------
def record_calls(calls: Sequence[tuple[int, Call]]) -> None:
    """Write down calls (each with its workspace) with what they cost, and tell the owner what follows from it."""
    with transaction.atomic():
        known = _Known(calls)
        rows = [_row(workspace, call, known) for workspace, call in calls]
        for workspace in {row.workspace_id for row in rows}:
            ModelCall.objects.of(workspace).bulk_create([row for row in rows if row.workspace_id == workspace])
            _watch_budgets(workspace)
        for row in rows:
            if row.failure in _OWNERS:
                day = f"{row.ended_at:%Y-%m-%d}"
                _notice(
                    row.workspace_id,
                    Notice.Kind.PROVIDER_FAILS,
                    f"{row.failure}:{row.provider_name}:{day}",
                    {"provider": row.provider_name, "failure": row.failure},
                )


class _Known:
    """What the calls of one writing have in common, asked for once."""

    def __init__(self, calls: Sequence[tuple[int, Call]]) -> None:
        self._conversations: dict[tuple[int, str], Conversation] = {}
        for workspace in {workspace for workspace, _ in calls}:
            named = {call.request.about.get("conversation", "") for owner, call in calls if owner == workspace}
            rows = Conversation.objects.of(workspace).filter(public_id__in=named - {""})
            for row in rows.only("public_id", "inbox_id", "contact_id"):
                self._conversations[workspace, row.public_id] = row
        self._providers: dict[tuple[int, str], Provider | None] = {}
        self._rates: dict[tuple[int, str, str], list[Rate]] = {}

    def provider(self, workspace: int, public_id: str) -> Provider | None:
        key = (workspace, public_id)
        if key not in self._providers:
            rows = Provider.objects.of(workspace).filter(public_id=public_id)
            self._providers[key] = None if public_id == ENVIRONMENT else rows.first()
        return self._providers[key]

    def rates(self, workspace: int, provider: Provider | None, model: str) -> list[Rate]:
        key = (workspace, provider.public_id if provider else ENVIRONMENT, model)
        if key not in self._rates:
            self._rates[key] = rates_for(workspace, provider, model)
        return self._rates[key]

    def places(self, workspace: int, about: Mapping[str, str]) -> dict[str, int | None]:
        """The inbox, contact and conversation that a call was for; a conversation tells the other two."""
        if found := self._conversations.get((workspace, about.get("conversation", ""))):
            return {"conversation_id": found.pk, "inbox_id": found.inbox_id, "contact_id": found.contact_id}
        return {
            f"{name}_id": model.objects.of(workspace).filter(public_id=about[name]).values_list("pk", flat=True).first()
            for name, model in (("inbox", Inbox), ("contact", Contact))
            if about.get(name)
        }


def _row(workspace: int, call: Call, known: _Known) -> ModelCall:
    about, ended_at = call.request.about, _time(call.ended_at)
    provider = known.provider(workspace, call.provider)
    cost = _cost(known.rates(workspace, provider, call.model), provider, call, ended_at)
    usage = call.usage
    return ModelCall(
        workspace_id=workspace,
        provider=provider,
        provider_name=call.name,
        dialect=call.dialect,
        model=call.model,
        purpose=call.request.purpose,
        prompt_version=call.request.prompt_version,
        **known.places(workspace, about),
        turn=about.get("turn", ""),
        cached_tokens=usage.cached if usage else 0,
        missed_tokens=usage.prompt - usage.cached if usage else 0,
        output_tokens=usage.completion if usage else 0,
        reasoning_tokens=usage.reasoning if usage else 0,
        estimated=bool(usage and usage.estimated),
        peak=bool(cost and cost.peak),
        currency=cost.currency if cost else provider.currency if provider else settings.DEEPSEEK_CURRENCY,
        cost=cost.amount if cost else None if usage else Decimal(0),
        saved=cost.saved if cost else None,
        started_at=_time(call.started_at),
        ended_at=ended_at,
        first_ms=None if call.first_ms is None else round(call.first_ms),
        total_ms=round(call.total_ms),
        tries=call.tries,
        finish=call.finish,
        failure=call.failure,
        trace=call.trace,
    )


def rates_for(workspace: int, provider: Provider | None, model: str) -> list[Rate]:
    """The owner's own prices of a model, else the list prices of the official API in the account's currency."""
    if provider:
        own = [
            _rate(price, provider.currency)
            for price in Price.objects.of(workspace).filter(provider=provider, model=model)
        ]
        if own or provider.dialect != Dialect.OFFICIAL:
            return own
    currency = provider.currency if provider else settings.DEEPSEEK_CURRENCY
    return [rate for rate in listed_rates(model) if rate.currency == currency]


def _cost(rates: Sequence[Rate], provider: Provider | None, call: Call, ended_at: dt.datetime) -> Cost | None:
    if call.usage is None:
        return None
    further = {dt.date.fromisoformat(day) for day in provider.holidays} if provider else set()
    return cost_of(call.usage, rates, ended_at, further)


def _rate(price: Price, currency: str) -> Rate:
    def peak(at_peak: Decimal | None, else_: Decimal) -> Decimal:
        return else_ if at_peak is None else at_peak

    return Rate(
        model=price.model,
        currency=currency,
        since=price.since,
        hit=price.hit,
        miss=price.miss,
        output=price.output,
        peak_hit=peak(price.peak_hit, price.hit),
        peak_miss=peak(price.peak_miss, price.miss),
        peak_output=peak(price.peak_output, price.output),
    )


def _time(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


# --- budgets -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Spent:
    """A budget and how much of it is gone."""

    budget: Budget
    amount: Decimal

    @property
    def percent(self) -> Decimal:
        return 100 * self.amount / self.budget.amount


def step_for(workspace: int, *, inbox: str = "", contact: str = "", at: dt.datetime | None = None) -> Step:
    """How far down the ladder an answer in this inbox, to this contact, must go: the lowest rung of all budgets."""
    steps = [Step.FULL]
    for budget in _budgets(workspace, inbox):
        if budget.scope == Budget.Scope.VISITOR and not contact:
            continue
        steps.append(rung(budget, spent(budget, contact=contact, at=at).percent))
    return max(steps, key=list(Step).index)


def rung(budget: Budget, percent: Decimal) -> Step:
    """Where one budget's ladder stands once `percent` of it is gone."""
    if budget.person_at is not None and percent >= budget.person_at:
        return Step.PERSON
    if percent >= budget.extractive_at:
        return Step.EXTRACTIVE
    return Step.SHORTER if percent >= budget.shorten_at else Step.FULL


def spent(budget: Budget, *, contact: str = "", at: dt.datetime | None = None) -> Spent:
    """What was spent in the running period, over the calls it counts. Days and months are those of the server's time zone."""
    calls = ModelCall.objects.of(budget.workspace_id).filter(currency=budget.currency, ended_at__gte=since(budget, at))
    if budget.scope == Budget.Scope.INBOX:
        calls = calls.filter(inbox=budget.inbox)
    elif budget.scope == Budget.Scope.VISITOR:
        calls = calls.filter(contact__public_id=contact)
    total = calls.aggregate(total=Sum("cost"))["total"] or Decimal(0)
    return Spent(budget, Decimal(total))


def since(budget: Budget, at: dt.datetime | None = None) -> dt.datetime:
    """When the running period of a budget began."""
    today = timezone.localtime(at).replace(hour=0, minute=0, second=0, microsecond=0)
    return today.replace(day=1) if budget.period == Budget.Period.MONTH else today


def _budgets(workspace: int, inbox: str) -> Iterable[Budget]:
    everything = ~Q(scope=Budget.Scope.INBOX)
    return Budget.objects.of(workspace).filter(everything | Q(inbox__public_id=inbox))


def _watch_budgets(workspace: int) -> None:
    """Warn at 80 %, and say when it is spent: once a period."""
    for budget in Budget.objects.of(workspace).exclude(scope=Budget.Scope.VISITOR):
        held = spent(budget)
        if held.percent >= WARN_AT:
            gone = held.percent >= 100
            kind = Notice.Kind.BUDGET_SPENT if gone else Notice.Kind.BUDGET_WARNING
            detail: Mapping[str, Any] = {
                "amount": f"{budget.amount.normalize():f}",
                "currency": budget.currency,
                "period": budget.period,
                "inbox": str(budget.inbox or ""),
            }
            _notice(workspace, kind, f"{kind}:{budget.public_id}:{since(budget):%Y-%m-%d}", detail)


def _notice(workspace: int, kind: str, key: str, detail: Mapping[str, Any]) -> None:
    Notice.objects.of(workspace).get_or_create(key=key, defaults={"kind": kind, "detail": dict(detail)})


def unread_notices(workspace: int, kinds: Collection[str] = ()) -> list[Notice]:
    """What the owner has not waved away yet, the newest first."""
    rows = Notice.objects.of(workspace).filter(read_at=None)
    return list(rows.filter(kind__in=kinds) if kinds else rows)
