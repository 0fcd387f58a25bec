"""The ledger: calls with their cost, budgets with their ladder, notices that are given once."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from chatbot import ledger
from chatbot.ledger import Step
from chatbot.llm.provider import Call
from chatbot.llm.request import USER, ChatMessage, Request
from chatbot.models import Budget, ModelCall, Notice, Price, Provider
from chatbot.turn.values import Usage
from conversations import services
from conversations.models import Conversation, Inbox
from workspace.models import Workspace

pytestmark = pytest.mark.django_db
SUNDAY = dt.datetime(2026, 11, 22, 2, tzinfo=dt.UTC)


@pytest.fixture
def provider(workspace: Workspace) -> Provider:
    return Provider.objects.of(workspace).create(name="DeepSeek", secret={"key": "sk-1"}, currency="CNY")


def call(provider: Provider | None = None, at: dt.datetime = SUNDAY, **more: Any) -> Call:
    about = more.pop("about", {})
    fields: dict[str, Any] = {
        "provider": provider.public_id if provider else "env",
        "name": "DeepSeek",
        "dialect": "deepseek",
        "model": "deepseek-flash",
        "request": Request((ChatMessage(USER, "x"),), about=about),
        "started_at": at.timestamp() - 1,
        "ended_at": at.timestamp(),
        "tries": 1,
        "usage": Usage(10_000, 250, cached=8_192),
        "finish": "stop",
        "total_ms": 1_000.4,
        "first_ms": 300.0,
        **more,
    }
    return Call(**fields)


def record(workspace: Workspace, *calls: Call) -> list[ModelCall]:
    ledger.record_calls([(workspace.pk, each) for each in calls])
    return list(ModelCall.objects.of(workspace).order_by("pk"))


def spend(workspace: Workspace, amount: str, **about: str) -> None:
    """Record a call that cost this much, by a price made for it."""
    provider, _ = Provider.objects.of(workspace).get_or_create(
        name="priced", defaults={"dialect": "gateway", "currency": "USD"}
    )
    Price.objects.of(workspace).get_or_create(
        provider=provider,
        model="m",
        since=SUNDAY,
        defaults={"miss": Decimal(1), "hit": Decimal(1), "output": Decimal(1)},
    )
    tokens = int(Decimal(amount) * 1_000_000)
    record(workspace, call(provider, at=dt.datetime.now(dt.UTC), model="m", usage=Usage(tokens, 0), about=about))


# --- calls -------------------------------------------------------------------------------------------------------------
def test_a_call_is_kept_with_everything_it_was_for_and_cost(
    workspace: Workspace, provider: Provider, conversation: Conversation
) -> None:
    about = {
        "inbox": conversation.inbox.public_id,
        "conversation": conversation.public_id,
        "contact": conversation.contact.public_id,
        "turn": "trn_1",
    }
    (row,) = record(workspace, call(provider, about=about, trace="t-1", tries=2))
    # 8192 × 0.02 + 1808 × 1 + 250 × 4 CNY, a million tokens
    assert row.cost == Decimal("0.00297184")
    assert row.saved == Decimal("0.00802816")
    assert (row.currency, row.peak) == ("CNY", False)
    assert (row.cached_tokens, row.missed_tokens, row.output_tokens) == (8_192, 1_808, 250)
    assert (row.conversation, row.inbox, row.contact) == (conversation, conversation.inbox, conversation.contact)
    assert (row.turn, row.trace, row.tries, row.first_ms, row.total_ms) == ("trn_1", "t-1", 2, 300, 1_000)
    assert (row.ended_at, row.provider, row.purpose) == (SUNDAY, provider, "answer")


def test_the_record_stays_when_what_it_was_for_is_deleted(
    workspace: Workspace, provider: Provider, conversation: Conversation
) -> None:
    record(workspace, call(provider, about={"conversation": conversation.public_id}))
    conversation.delete()
    provider.delete()
    (row,) = ModelCall.objects.of(workspace)
    assert row.cost == Decimal("0.00297184")
    assert row.provider_name == "DeepSeek"


def test_a_call_without_a_known_price_costs_nobody_knows_what_and_one_that_reached_nobody_costs_nothing(
    workspace: Workspace,
) -> None:
    unknown, unreached = record(workspace, call(model="a-model-of-2031"), call(usage=None, failure="transport"))
    assert unknown.cost is None
    assert unreached.cost == 0


def test_an_owners_price_goes_before_the_list_and_a_gateway_has_no_list(
    workspace: Workspace, provider: Provider
) -> None:
    Price.objects.of(workspace).create(
        provider=provider, model="deepseek-flash", since=SUNDAY - dt.timedelta(days=1), miss=3, hit=3, output=3
    )
    gateway = Provider.objects.of(workspace).create(name="Own", dialect="gateway", currency="CNY")
    own, none = record(workspace, call(provider, usage=Usage(120, 32)), call(gateway))
    assert own.cost == Decimal("0.000456")
    assert none.cost is None


def test_ids_of_another_workspace_are_not_followed(workspace: Workspace, conversation: Conversation) -> None:
    other = Workspace.objects.create(name="Other")
    (row,) = record(other, call(about={"conversation": conversation.public_id}))
    assert row.conversation is None


def test_what_only_the_owner_can_mend_is_said_once_a_day(workspace: Workspace) -> None:
    record(workspace, *[call(failure="quota", usage=None)] * 3, call(failure="server", usage=None))
    (notice,) = Notice.objects.of(workspace)
    assert notice.kind == Notice.Kind.PROVIDER_FAILS
    assert notice.detail == {"provider": "DeepSeek", "failure": "quota"}


# --- budgets -----------------------------------------------------------------------------------------------------------
def budget(workspace: Workspace, **fields: Any) -> Budget:
    return Budget.objects.of(workspace).create(**{"amount": Decimal(10), "period": "day", **fields})


@pytest.mark.parametrize(
    ("gone", "person_at", "step"),
    [
        ("0", None, Step.FULL),
        ("7.999999", None, Step.FULL),
        ("8", None, Step.SHORTER),
        ("9.999999", None, Step.SHORTER),
        ("10", None, Step.EXTRACTIVE),
        ("50", None, Step.EXTRACTIVE),
        ("10", 100, Step.PERSON),
        ("9", 100, Step.SHORTER),
    ],
)
def test_the_ladder_goes_down_as_the_budget_is_spent(
    workspace: Workspace, gone: str, person_at: int | None, step: Step
) -> None:
    budget(workspace, person_at=person_at)
    if gone != "0":
        spend(workspace, gone)
    assert ledger.step_for(workspace.pk) is step


def test_a_budget_of_an_inbox_counts_that_inbox_alone(workspace: Workspace, inbox: Inbox) -> None:
    other = Inbox.objects.of(workspace).create(name="Other")
    budget(workspace, scope="inbox", inbox=inbox)
    spend(workspace, "10", inbox=other.public_id)
    assert ledger.step_for(workspace.pk, inbox=inbox.public_id) is Step.FULL
    spend(workspace, "10", inbox=inbox.public_id)
    assert ledger.step_for(workspace.pk, inbox=inbox.public_id) is Step.EXTRACTIVE
    assert ledger.step_for(workspace.pk, inbox=other.public_id) is Step.FULL


def test_a_budget_for_each_visitor_counts_each_for_themselves(workspace: Workspace, inbox: Inbox) -> None:
    budget(workspace, scope="visitor", amount=Decimal(1))
    greedy, modest = (services.new_contact(inbox=inbox) for _ in range(2))
    spend(workspace, "1", contact=greedy.public_id)
    assert ledger.step_for(workspace.pk, contact=greedy.public_id) is Step.EXTRACTIVE
    assert ledger.step_for(workspace.pk, contact=modest.public_id) is Step.FULL


def test_the_lowest_rung_of_all_budgets_counts(workspace: Workspace) -> None:
    budget(workspace, amount=Decimal(100))
    budget(workspace, amount=Decimal(10), period="month")
    spend(workspace, "9")
    assert ledger.step_for(workspace.pk) is Step.SHORTER


def test_a_new_day_and_a_new_month_begin_anew(workspace: Workspace) -> None:
    budget(workspace)
    spend(workspace, "10")
    now = dt.datetime.now(dt.UTC)
    assert ledger.step_for(workspace.pk, at=now) is Step.EXTRACTIVE
    assert ledger.step_for(workspace.pk, at=now + dt.timedelta(days=1)) is Step.FULL
    monthly = Budget(workspace=workspace, amount=Decimal(1), period="month")
    assert ledger.since(monthly, now).day == 1


def test_money_of_another_currency_is_not_counted(workspace: Workspace) -> None:
    budget(workspace, currency="CNY")
    spend(workspace, "100")
    assert ledger.step_for(workspace.pk) is Step.FULL


def test_at_eighty_percent_the_owner_is_warned_once_and_told_when_it_is_spent(workspace: Workspace) -> None:
    budget(workspace)
    spend(workspace, "7")
    assert not Notice.objects.of(workspace).exists()
    for _ in range(3):
        spend(workspace, "1")
    spend(workspace, "5")
    kinds = [notice.kind for notice in Notice.objects.of(workspace).order_by("pk")]
    assert kinds == [Notice.Kind.BUDGET_WARNING, Notice.Kind.BUDGET_SPENT]


# --- the plan ----------------------------------------------------------------------------------------------------------
def test_active_providers_are_asked_in_their_order_and_the_environment_only_without_any(
    workspace: Workspace, settings: Any
) -> None:
    settings.DEEPSEEK_API_KEY = "sk-env"
    assert [account.profile.id for account in ledger.plan_of(workspace.pk).accounts] == ["env"]
    for name, position, active in (("second", 2, True), ("first", 1, True), ("off", 0, False)):
        Provider.objects.of(workspace).create(name=name, position=position, active=active, secret={"key": "sk"})
    assert [account.profile.name for account in ledger.plan_of(workspace.pk).accounts] == ["first", "second"]
    assert ledger.plan_of(Workspace.objects.create(name="x").pk).accounts[0].profile.key == "sk-env"


def test_a_secret_is_sealed_and_in_no_text_of_the_profile(workspace: Workspace, provider: Provider) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM chatbot_provider")
        assert "sk-1" not in str(cursor.fetchall())
    profile = ledger.profile_of(Provider.objects.of(workspace).get())
    assert profile.key == "sk-1"
    assert "sk-1" not in repr(profile)
