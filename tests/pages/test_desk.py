"""The agents' desk in a real Chromium, beside a visitor's widget."""

import time

from playwright.sync_api import Browser, Page, expect

from conversations.models import Conversation, Inbox, Message, Status
from tests.conftest import person
from tests.pages.conftest import sign_in
from workspace.models import Workspace
from workspace.roles import Role


def visitor(browser: Browser, site: str, inbox: Inbox, text: str) -> Page:
    page = browser.new_context().new_page()
    page.goto(f"{site}/widget/{inbox.public_id}/?language=en")
    page.get_by_role("textbox").fill(text)
    page.keyboard.press("Enter")
    return page


def open_first(page: Page, site: str) -> None:
    page.goto(f"{site}/desk/?view=running")
    page.locator("a.row").first.click()
    page.wait_for_url("**/desk/cnv_**")


def test_an_agent_cuts_in_in_mid_sentence(page: Page, browser: Browser, site: str, inbox: Inbox, console) -> None:
    sign_in(page, site)
    guest = visitor(browser, site, inbox, "How long do refunds take?")
    expect(guest.locator(".message.bot").nth(1)).to_contain_text("Refunds take", timeout=15_000)
    open_first(page, site)
    writing = page.locator(".message.bot.writing")
    expect(writing).to_contain_text("Refunds take", timeout=10_000)

    page.get_by_role("button", name="Take over").click()
    expect(page.locator(".line-who")).to_have_text("You have the line")
    at_takeover = guest.locator(".message.bot").nth(1).locator(".bubble").inner_text()
    expect(guest.locator("#log")).to_contain_text("Mei has joined the conversation")
    expect(guest.locator("body")).to_have_attribute("data-holder", "agent")
    expect(guest.locator(".message.bot").nth(1)).to_contain_text("interrupted")
    time.sleep(1.0)

    stored = Message.every.get(author="bot")
    shown = guest.locator(".message.bot").nth(1).locator(".bubble").inner_text()
    assert stored.state == Message.State.INTERRUPTED
    assert shown.strip() == stored.text.replace("**", "").strip()
    assert len(shown) <= len(at_takeover) + 40
    assert "cannot speed up. The bank may need a few more days, which we cannot speed up. The bank" not in shown
    expect(page.locator(".message.bot")).to_have_count(1)
    expect(page.locator(".message.bot")).to_contain_text("interrupted")

    page.get_by_role("textbox", name="Reply").fill("Hello, this is Mei. Yours was sent today.")
    page.keyboard.press("Control+Enter")
    expect(guest.locator(".message.agent")).to_contain_text("Yours was sent today.")
    expect(page.locator(".message.agent")).to_contain_text("Yours was sent today.")

    page.get_by_role("button", name="Hand back").click()
    expect(guest.locator("#log")).to_contain_text("The assistant is back")
    guest.get_by_role("textbox").fill("thanks")
    guest.keyboard.press("Enter")
    expect(guest.locator(".message.bot").nth(2)).to_contain_text("You are welcome", timeout=10_000)

    page.get_by_role("button", name="Resolve").click()
    expect(page.locator(".line-who")).to_have_text("Resolved")
    assert Conversation.every.get().status == Status.RESOLVED


def test_who_waits_is_first_and_the_list_is_live(
    page: Page, browser: Browser, site: str, inbox: Inbox, console
) -> None:
    sign_in(page, site)
    expect(page.locator("#list")).to_contain_text("No conversation is running")
    guest = visitor(browser, site, inbox, "I want to talk to a person")
    expect(page.locator("#list .count.hot")).to_have_text("1", timeout=15_000)
    page.goto(f"{site}/desk/")
    expect(page.locator("a.row .tag").first).to_have_text("Waiting for a person")
    expect(guest.locator("#queue")).to_be_visible()


def test_a_second_agent_is_told_who_was_faster(
    page: Page, browser: Browser, site: str, inbox: Inbox, business: Workspace
) -> None:
    person(business, "tom", "Tom", Role.AGENT)
    sign_in(page, site)
    visitor(browser, site, inbox, "I want to talk to a person")
    page.wait_for_selector("#list .count.hot")
    other = browser.new_context().new_page()
    sign_in(other, site, "tom")
    for each in (page, other):
        each.goto(f"{site}/desk/")
        each.locator("a.row").first.click()
        expect(each.get_by_role("button", name="Take over")).to_be_visible()
    other.route("**/line/", lambda route: route.abort())  # so that Tom's page does not learn of it by itself
    page.get_by_role("button", name="Take over").click()
    expect(page.locator(".line-who")).to_have_text("You have the line")
    if other.get_by_role("button", name="Take over").is_visible():
        other.get_by_role("button", name="Take over").click()
    expect(other.locator("#line")).to_contain_text("Mei has the line")
    expect(other.locator("#line .problem")).to_contain_text("Another agent has this conversation: Mei")


def test_a_reply_that_is_being_typed_survives_what_happens_meanwhile(
    page: Page, browser: Browser, site: str, inbox: Inbox, console
) -> None:
    sign_in(page, site)
    guest = visitor(browser, site, inbox, "I want to talk to a person")
    page.wait_for_selector("#list .count.hot")
    page.goto(f"{site}/desk/")
    page.locator("a.row").first.click()
    page.get_by_role("button", name="Take over").click()
    page.get_by_role("textbox", name="Reply").fill("I am just wri")
    guest.get_by_role("textbox").fill("hello?")
    guest.keyboard.press("Enter")
    expect(page.locator(".message.visitor").last).to_contain_text("hello?")
    assert page.get_by_role("textbox", name="Reply").input_value() == "I am just wri"


def test_a_viewer_reads_and_cannot_take_over(
    page: Page, browser: Browser, site: str, inbox: Inbox, business: Workspace
) -> None:
    person(business, "vera", "Vera", Role.VIEWER)
    visitor(browser, site, inbox, "How long do refunds take?")
    sign_in(page, site, "vera")
    page.wait_for_selector("a.row")
    page.locator("a.row").first.click()
    expect(page.locator(".log")).to_contain_text("How long do refunds take?")
    expect(page.get_by_role("button", name="Take over")).to_have_count(0)
    address = page.url.split("?")[0] + "take-over/"
    assert (
        page.evaluate(
            """address => fetch(address, {method: 'POST', headers: {'X-CSRFToken':
        JSON.parse(document.body.getAttribute('hx-headers'))['X-CSRFToken']}}).then(answer => answer.status)""",
            address,
        )
        == 403
    )


def test_knowledge_can_be_added_tested_and_deleted_on_a_page(
    page: Page, site: str, inbox: Inbox, console, tmp_path
) -> None:
    sign_in(page, site)
    page.get_by_role("link", name="Knowledge").click()
    page.get_by_role("link", name="shop").click()
    expect(page.locator("#documents")).to_contain_text("Grinder care")
    good, bad = tmp_path / "voltage.md", tmp_path / "prices.csv"
    good.write_text("# Voltage\n\nOur machines need 220 to 240 volts. They do not work with 110 volts.")
    bad.write_text("question,price\na,1\n")
    page.get_by_label("Add files").set_input_files([good, bad])
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("tr", has_text="Voltage").locator(".status")).to_have_text("live", timeout=20_000)
    expect(page.locator("tr", has_text="prices.csv")).to_contain_text("The first row must name a column of questions")

    page.get_by_role("link", name="Test a question").click()
    page.get_by_placeholder("Ask as a visitor would").fill("Does it work with 110 volts?")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator(".prose").first).to_contain_text("They do not work with 110 volts")

    page.go_back()
    page.go_back()
    page.locator("tr", has_text="Voltage").get_by_role("button", name="Delete").click()
    expect(page.locator(".message-line.success")).to_contain_text("can no longer be found")
    page.goto(f"{site}/knowledge/try/?question=Does+it+work+with+110+volts%3F")
    expect(page.locator(".prose").first).to_contain_text("I have no source for this")


def test_analytics_count_what_happened_and_lead_to_the_rows(
    page: Page, browser: Browser, site: str, inbox: Inbox, console
) -> None:
    sign_in(page, site)
    guest = visitor(browser, site, inbox, "How long do refunds take?")
    expect(guest.get_by_role("button", name="Source 1")).to_be_visible(timeout=15_000)
    guest.get_by_role("textbox").fill("Which football team won the cup in 1974?")
    guest.keyboard.press("Enter")
    expect(guest.locator(".message.bot").nth(2)).to_contain_text("no source", timeout=15_000)

    page.get_by_role("link", name="Analytics").click()
    expect(page.locator("a.figure b").first).to_have_text("2")
    expect(page.locator("main")).to_contain_text("1 question without a good answer")
    page.get_by_role("link", name="All of them").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert "Which football team" in download.value.path().read_text(encoding="utf-8-sig")


def test_a_sign_in_link_works_once(page: Page, browser: Browser, site: str) -> None:
    from workspace.login_links import make_login_link
    from workspace.models import User

    address = f"{site}/login/link/{make_login_link(User.objects.get(username='mei'))}/"
    page.goto(address)
    page.get_by_role("button", name="Open the desk").click()
    page.wait_for_url("**/desk/**")
    other = browser.new_context().new_page()
    other.goto(address)
    other.get_by_role("button", name="Open the desk").click()
    expect(other.get_by_role("heading")).to_have_text("This link has been used")
