"""Costs and the test of a provider in a real Chromium: from a figure to its rows, notices, and for everybody's eyes."""

import datetime as dt
from decimal import Decimal

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Page, expect

from chatbot.llm.simulator.app import Simulator
from chatbot.models import Budget, ModelCall, Notice, Provider
from conversations.models import Inbox
from tests.pages.conftest import sign_in
from tests.serving import serving
from workspace.models import Workspace


@pytest.fixture
def spending(business: Workspace, inbox: Inbox) -> Workspace:
    now = timezone.now()
    for n in range(40):
        ended_at = now - dt.timedelta(hours=4 * n, minutes=1)
        ModelCall.objects.of(business).create(
            provider_name="DeepSeek", dialect="deepseek", model=("deepseek-flash", "deepseek-v4-pro")[n % 2],
            purpose=("answer", "evaluation")[n % 5 == 0], inbox=inbox, cached_tokens=640, missed_tokens=360,
            output_tokens=100, currency="USD", cost=None if n == 7 else Decimal("0.0011"), saved=Decimal("0.0002"),
            started_at=ended_at, ended_at=ended_at, first_ms=None if n == 3 else 400, total_ms=1200, tries=1,
            finish="stop", failure="timeout" if n == 3 else "",
        )  # fmt: skip
    Budget.objects.of(business).create(amount=Decimal("0.04"))
    Provider.objects.of(business).create(name="DeepSeek", secret={"key": "sk-test"})
    Notice.objects.of(business).create(kind="budget_warning", key="b", detail={"amount": "0.04", "currency": "USD"})
    return business


def complaints(page: Page, *, within: str = "html") -> list[str]:
    """What axe finds: rule and place."""
    found = Axe().run(page, context=within).response["violations"]
    return [f"{rule['id']}: {node['html'][:120]}" for rule in found for node in rule["nodes"]]


def test_a_figure_leads_to_its_rows_and_a_notice_goes_away(
    page: Page, site: str, spending: Workspace, console: list[str]
) -> None:
    sign_in(page, site)
    expect(page.locator(".owner-line")).to_contain_text("nearly spent")
    page.get_by_role("link", name="Have a look").click()
    expect(page.get_by_role("heading", name="Costs")).to_be_visible()
    assert complaints(page) == []

    page.get_by_role("button", name="Understood").click()
    expect(page.locator("#notices")).to_have_count(0)
    page.get_by_role("link", name="deepseek-v4-pro").click()
    expect(page.locator(".sum")).to_contain_text("calls")
    expect(page.locator("tbody")).not_to_contain_text("deepseek-flash")
    assert complaints(page) == []

    page.get_by_label("Result").select_option("any")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody")).to_contain_text("no answer in time")
    page.get_by_role("link", name="Back to the costs").click()
    expect(page.locator(".owner-line")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_costs_can_be_read_by_everybody_on_a_telephone_and_in_chinese(
    page: Page, site: str, spending: Workspace, scheme: str
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 800})
    sign_in(page, site)
    page.context.add_cookies([{"name": "django_language", "value": "zh-hans", "url": site}])
    for address in ("/analytics/costs/", "/analytics/costs/calls/?days=7", "/analytics/"):
        page.goto(site + address)
        assert complaints(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_provider_is_tested_with_a_button(page: Page, site: str, business: Workspace) -> None:
    with serving(Simulator()) as port:
        provider = Provider.objects.of(business).create(
            name="Main", secret={"key": "sk-test"}, base_url=f"http://127.0.0.1:{port}"
        )
        sign_in(page, site)
        page.goto(f"{site}/admin/chatbot/provider/{provider.pk}/change/")
        expect(page.locator(".field-new_key")).to_be_visible()
        expect(page.locator(".field-new_client_secret")).to_be_hidden()
        page.get_by_label("Dialect").select_option("gateway")
        expect(page.locator(".field-new_client_secret")).to_be_visible()
        expect(page.locator(".field-new_key")).to_be_hidden()
        page.get_by_role("button", name="Test now").click()
        expect(page.locator(".verdict")).to_contain_text("It works")
        assert complaints(page, within="#content") == []
        page.get_by_role("button", name="Test again").click()
        expect(page.locator(".verdict")).to_contain_text("It works")
    page.get_by_role("button", name="Test again").click()
    expect(page.locator(".verdict")).to_contain_text("does not work yet")
    assert ModelCall.objects.of(business).count() == 3
