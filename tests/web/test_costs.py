"""The cost page: its figures equal the rows behind them, stay in their workspace, and notices are for who may act."""

import csv
import datetime as dt
import io
import re
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chatbot import costs, ledger, notices
from chatbot.models import Budget, ModelCall, Notice, Price, Provider
from chatbot.templatetags.amounts import money, price
from conversations import services
from conversations.analytics import Period
from conversations.models import Conversation, Inbox, Status
from tests.conftest import person
from workspace.models import User, Workspace
from workspace.roles import Role

pytestmark = pytest.mark.django_db
PAGE, ROWS = "/analytics/costs/", "/analytics/costs/calls/"


def call(workspace: Workspace, cost: str | None = "0.01", *, hours_ago: float = 1, **chosen: Any) -> ModelCall:
    ended_at = chosen.pop("ended_at", timezone.now() - dt.timedelta(hours=hours_ago))
    fields: dict[str, Any] = {
        "provider_name": "DeepSeek", "dialect": "deepseek", "model": "deepseek-flash", "purpose": "answer",
        "cached_tokens": 640, "missed_tokens": 360, "output_tokens": 100, "currency": "USD",
        "cost": None if cost is None else Decimal(cost), "saved": None if cost is None else Decimal("0.002"),
        "started_at": ended_at, "ended_at": ended_at, "first_ms": 300, "total_ms": 900, "tries": 1, "finish": "stop",
        **chosen,
    }  # fmt: skip
    return ModelCall.objects.of(workspace).create(**fields)


@pytest.fixture
def mei_in(mei: User) -> Client:
    client = Client()
    client.force_login(mei)
    return client


@pytest.fixture
def owner(workspace: Workspace) -> Client:
    user = person(workspace, "ada", "Ada", Role.ADMIN)
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client = Client()
    client.force_login(User.objects.get(pk=user.pk))
    return client


def page(client: Client, address: str = PAGE) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", answer.content.decode())


def table(client: Client, query: str) -> list[dict[str, str]]:
    """The rows behind a link, as the file has them."""
    answer = client.get(f"{ROWS}{query}&format=csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


def added(rows: list[dict[str, str]], column: str = "cost") -> Decimal:
    return sum((Decimal(row[column]) for row in rows if row[column]), Decimal(0))


class TestFigures:
    @pytest.fixture
    def week(self, workspace: Workspace, inbox: Inbox, conversation: Conversation) -> Workspace:
        """Calls of every kind, in this week and the one before, and in another currency."""
        resolved = services.open_conversation(inbox=inbox, contact=services.new_contact(inbox=inbox))
        Conversation.objects.of(workspace).filter(pk=resolved.pk).update(status=Status.RESOLVED)
        call(workspace, "0.03", inbox=inbox, conversation=conversation)
        call(workspace, "0.02", inbox=inbox, conversation=resolved, hours_ago=30)
        call(workspace, "0.0123", inbox=inbox, conversation=resolved, model="deepseek-v4-pro", hours_ago=50)
        call(workspace, "0.005", purpose="evaluation", hours_ago=80, cached_tokens=0)
        call(workspace, None, model="mystery", hours_ago=3)
        call(workspace, "0", failure="timeout", hours_ago=5, first_ms=None, finish="")
        call(workspace, "0.001", failure="stopped", hours_ago=6)
        call(workspace, "0.5", hours_ago=24 * 9)
        call(workspace, "2", currency="CNY", hours_ago=2)
        return workspace

    def test_equal_the_rows_behind_them(self, mei_in: Client, week: Workspace) -> None:
        context = mei_in.get(PAGE).context
        total, query = context["total"], "?days=7&currency=USD"
        rows = table(mei_in, query)
        assert (total.calls, len(rows)) == (7, 7)
        assert total.amount == pytest.approx(added(rows)) == Decimal("0.0683")
        assert total.saved == pytest.approx(added(rows, "saved"))
        assert total.failed == len(table(mei_in, f"{query}&failure=any")) == 1
        assert total.unpriced == len(table(mei_in, f"{query}&priced=no")) == 1
        assert total.cached_percent == round(100 * 640 * 6 / (640 * 6 + 360 * 7))
        for word in ("by_day", "by_model", "by_purpose", "by_inbox"):
            parts = [part for part, _ in context[word]]
            assert sum(part.calls for part in parts) == 7
            for part in parts:
                behind = table(mei_in, f"{query}&{word.removeprefix('by_')}={part.key}")
                assert len(behind) == part.calls
                assert part.amount == pytest.approx(added(behind))

    def test_a_resolved_conversation_has_a_price(self, mei_in: Client, week: Workspace) -> None:
        each = mei_in.get(PAGE).context["each"]
        assert (each.resolved, each.talked) == (1, 2)
        assert each.each == pytest.approx(Decimal("0.0323"))
        assert added(table(mei_in, "?days=7&currency=USD&conversation=resolved")) == each.amount
        assert "1 of 2 conversations in which a model was asked" in page(mei_in)

    def test_are_compared_with_the_period_before(self, mei_in: Client, week: Workspace) -> None:
        assert "0.5000 USD in the period before" in page(mei_in)
        assert "down 86 %" in page(mei_in)

    def test_currencies_are_not_added_up(self, mei_in: Client, week: Workspace) -> None:
        assert "Billed in other currencies as well: <a" in page(mei_in)
        assert "2.00 CNY" in page(mei_in)
        assert mei_in.get(f"{PAGE}?currency=CNY").context["total"].amount == Decimal(2)
        assert [each.currency for each in mei_in.get(f"{ROWS}?days=7").context["totals"]] == ["USD", "CNY"]

    def test_unknown_costs_are_said_and_not_guessed(self, mei_in: Client, week: Workspace) -> None:
        assert "The cost of 1 of 7 calls is unknown" in page(mei_in)
        assert '<span class="muted">unknown</span>' in page(mei_in, f"{ROWS}?days=7&priced=no")

    def test_a_failure_is_explained(self, mei_in: Client, week: Workspace) -> None:
        assert "no answer in time" in page(mei_in)
        assert "choose a faster model" in page(mei_in)

    def test_of_another_workspace_are_never_shown(self, mei_in: Client, week: Workspace) -> None:
        theirs = Workspace.objects.create(name="Theirs")
        call(theirs, "99", model="their-model")
        Budget.objects.of(theirs).create(amount=Decimal("777.31"))
        Notice.objects.of(theirs).create(kind="provider_fails", key="x", detail={"provider": "Their account"})
        Provider.objects.of(theirs).create(name="Their account")
        for address in (PAGE, f"{ROWS}?days=90"):
            for word in ("their-model", "777.31", "Their account", "99.00"):
                assert word not in page(mei_in, address)
        assert len(table(mei_in, "?days=90&model=their-model")) == 0

    def test_nothing_yet_is_explained(self, mei_in: Client, owner: Client) -> None:
        assert "Quotations from your documents cost nothing" in page(mei_in)
        assert "Set up a model" not in page(mei_in)
        assert "Set up a model" in page(owner)

    def test_need_a_membership(self, workspace: Workspace) -> None:
        client = Client()
        assert client.get(PAGE).status_code == 302
        client.force_login(User.objects.create_user("stranger"))
        assert client.get(PAGE).status_code == 403
        assert client.get(ROWS).status_code == 403

    def test_speak_chinese(self, mei_in: Client, week: Workspace) -> None:
        answer = mei_in.get(PAGE, headers={"accept-language": "zh-hans"}).content.decode()
        assert "每个已解决会话的费用" in answer
        assert "个调用过模型的会话中的" in answer


class TestRows:
    def test_come_in_pages_and_keep_what_was_asked(self, mei_in: Client, workspace: Workspace) -> None:
        for _ in range(51):
            call(workspace)
        call(workspace, model="other")
        shown = page(mei_in, f"{ROWS}?days=7&model=deepseek-flash")
        assert "1 / 2" in shown
        assert "?days=7&amp;model=deepseek-flash&amp;page=2" in shown
        assert "51 calls" in shown

    @pytest.mark.parametrize("query", ["?days=x", "?day=2026-99-99", "?since=never", "?inbox=ibx_none", "?page=99"])
    def test_survive_what_people_write_into_addresses(self, mei_in: Client, workspace: Workspace, query: str) -> None:
        call(workspace)
        assert mei_in.get(ROWS + query).status_code == 200

    def test_a_spreadsheet_runs_no_formula(self, mei_in: Client, workspace: Workspace) -> None:
        call(workspace, model="=HYPERLINK(1)", provider_name="+1", trace="@x")
        [row] = table(mei_in, "?days=7")
        assert (row["model"], row["provider"], row["trace"]) == ("'=HYPERLINK(1)", "'+1", "'@x")

    def test_words_of_a_provider_are_text(self, mei_in: Client, workspace: Workspace) -> None:
        call(workspace, model="<script>alert(1)</script>")
        assert "<script>alert" not in page(mei_in, ROWS)
        assert "<script>alert" not in page(mei_in)

    def test_a_day_is_one_of_the_servers_calendar(self, workspace: Workspace, settings: Any) -> None:
        settings.TIME_ZONE = "Asia/Shanghai"
        late = dt.datetime(2026, 11, 20, 17, 0, tzinfo=dt.UTC)  # the 21st in Shanghai
        call(workspace, ended_at=late)
        period = Period(late - dt.timedelta(days=2), late + dt.timedelta(hours=2))
        with timezone.override("Asia/Shanghai"):
            days = costs.by_day(costs.calls(workspace, period), period)
            rows = costs.narrowed(costs.calls(workspace, period), {"day": "2026-11-21"})
        assert [(part.key, part.calls) for part in days][-1] == ("2026-11-21", 1)
        assert rows.count() == 1


class TestBudgets:
    def test_show_how_full_they_are_and_lead_to_their_rows(
        self, mei_in: Client, workspace: Workspace, inbox: Inbox
    ) -> None:
        Budget.objects.of(workspace).create(amount=Decimal("0.10"), period="day")
        Budget.objects.of(workspace).create(amount=Decimal("0.05"), period="day", scope="inbox", inbox=inbox)
        now = timezone.now()
        call(workspace, "0.05", inbox=inbox, ended_at=now)
        call(workspace, "0.02", ended_at=now)
        [fullest, whole] = mei_in.get(PAGE).context["budgets"]
        assert (fullest[0].percent, str(fullest[1])) == (100, "quotations only, no model")
        assert (whole[0].percent, str(whole[1])) == (70, "answers as usual")
        for now_, _step, link in (fullest, whole):
            assert added(table(mei_in, link.removeprefix(ROWS))) == pytest.approx(now_.amount)

    def test_of_visitors_show_who_used_most(self, mei_in: Client, workspace: Workspace, inbox: Inbox) -> None:
        Budget.objects.of(workspace).create(amount=Decimal("0.10"), period="day", scope="visitor")
        assert mei_in.get(PAGE).context["budgets"][0][0].percent == 0
        little, much = (services.new_contact(inbox=inbox) for _ in range(2))
        now = timezone.now()
        call(workspace, "0.01", contact=little, ended_at=now)
        call(workspace, "0.09", contact=much, ended_at=now)
        [(shown, step, link)] = mei_in.get(PAGE).context["budgets"]
        assert (shown.percent, shown.contact, str(step)) == (90, much.public_id, "shorter prompts")
        assert len(table(mei_in, link.removeprefix(ROWS))) == 1


class TestPrices:
    def test_own_prices_go_before_the_list(self, mei_in: Client, workspace: Workspace) -> None:
        provider = Provider.objects.of(workspace).create(name="Main", model_by_language={"zh": "deepseek-v4-pro"})
        Price.objects.of(workspace).create(provider=provider, model="deepseek-v4-pro", miss=7, hit=1, output=9)
        Provider.objects.of(workspace).create(name="Gateway", dialect="gateway", model="in-house")
        listed, own, unknown = costs.prices(workspace)
        assert (listed.model, listed.own, listed.rate and listed.rate.miss) == (
            "deepseek-flash",
            False,
            Decimal("0.15"),
        )
        assert (own.model, own.own, own.rate and own.rate.miss) == ("deepseek-v4-pro", True, Decimal(7))
        assert (unknown.provider, unknown.rate) == ("Gateway", None)
        shown = page(mei_in)
        assert "your own price" in shown
        assert "unknown: calls are counted, their cost is not" in shown
        assert "2026-11-15" in shown

    @pytest.mark.parametrize(
        ("amount", "shown"),
        [
            ("1204.5", "1,204.50 USD"), ("0", "0.00 USD"), ("0.0123", "0.0123 USD"), ("0.00004567", "0.000046 USD"),
            ("0.0000000001", "< 0.000001 USD"), ("-0.5", "-0.5000 USD"),
        ],
    )  # fmt: skip
    def test_small_sums_have_enough_decimals(self, amount: str, shown: str) -> None:
        assert money(Decimal(amount), "USD") == shown

    def test_a_price_is_written_as_in_a_list(self) -> None:
        assert [price(Decimal(text)) for text in ("0.150000", "13.5", "10")] == ["0.15", "13.5", "10"]
        assert money(None, "USD") == "–"


class TestNotices:
    @pytest.fixture
    def told(self, workspace: Workspace) -> Notice:
        return Notice.objects.of(workspace).create(
            kind="provider_fails", key="auth:x", detail={"provider": "Main", "failure": "auth"}
        )

    def test_are_one_calm_line_for_who_may_act(self, owner: Client, mei_in: Client, told: Notice) -> None:
        line = "<span>Main refuses to answer.</span>"
        for address in ("/desk/", "/analytics/"):
            assert line in page(owner, address)
            assert line not in page(mei_in, address)

    def test_cost_nobody_else_a_query(self, mei_in: Client, told: Notice) -> None:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            page(mei_in, "/analytics/")
        assert not any("chatbot_notice" in query["sql"] for query in captured)

    def test_go_away_once_understood(self, owner: Client, workspace: Workspace, told: Notice) -> None:
        assert owner.post(f"{PAGE}notices/{told.pk}/understood/").status_code == 302
        told.refresh_from_db()
        assert told.read_at is not None
        assert "refuses to answer" not in page(owner, "/desk/")

    def test_can_be_read_but_not_waved_away_by_others(self, mei_in: Client, owner: Client, told: Notice) -> None:
        assert "Main refuses to answer" in page(mei_in)
        assert "Understood" not in page(mei_in)
        assert mei_in.post(f"{PAGE}notices/{told.pk}/understood/").status_code == 403
        assert owner.get(f"{PAGE}notices/{told.pk}/understood/").status_code == 405

    def test_of_another_workspace_stay_as_they_are(self, owner: Client) -> None:
        theirs = Workspace.objects.create(name="Theirs")
        notice = Notice.objects.of(theirs).create(kind="budget_spent", key="x", detail={})
        owner.post(f"{PAGE}notices/{notice.pk}/understood/")
        notice.refresh_from_db()
        assert notice.read_at is None

    def test_say_what_happened(self, workspace: Workspace, inbox: Inbox) -> None:
        budget = Budget.objects.of(workspace).create(
            amount=Decimal("50"), period="day", scope="inbox", inbox=inbox, currency="CNY"
        )
        call(workspace, "45", inbox=inbox, currency="CNY", ended_at=timezone.now())
        ledger._watch_budgets(workspace.pk)
        [notice] = notices.unread(workspace.pk)
        assert (notice.kind, budget.currency) == ("budget_warning", "CNY")
        assert notices.say(notice) == (
            "The budget of 50 CNY a day for Shop is nearly spent. From now on answers may become shorter."
        )
