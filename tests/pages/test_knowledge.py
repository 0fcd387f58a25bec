"""The owner's pages of knowledge in a real Chromium: change a piece, settle a clash, go back, write an answer."""

import datetime as dt
import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Page, expect

from conversations import services as conversations
from conversations.models import Inbox, Turn
from conversations.services import TurnResult
from knowledge import findings, gold, layers, services, versions
from knowledge.models import Chunk, Collection, Document, Edit, Entry
from knowledge.reconcile import reconcile
from knowledge.search import search
from knowledge.tasks import HANDLERS
from tests.pages.conftest import FAQ, GUIDE, sign_in
from workspace import leases
from workspace.models import Job, Workspace


def work_off() -> None:
    """Until nothing is left, whoever does it: the server has a worker of its own."""
    while leases.run_next(HANDLERS) or Job.every.filter(kind__in=HANDLERS, status__in=["queued", "running"]).exists():
        time.sleep(0.05)


@pytest.fixture
def shop(business: Workspace) -> Collection:
    return Collection.objects.of(business).get()


@pytest.fixture
def unanswered(business: Workspace, inbox: Inbox) -> None:
    for text in ("Can I pay with a gift card?", "do you take gift cards as payment", "你们支持货到付款吗"):
        conversation = conversations.open_conversation(inbox=inbox, contact=conversations.new_contact(inbox=inbox))
        conversations.add_visitor_message(conversation_id=conversation.pk, text=text, client_id="1")
        turn = Turn.objects.of(business).filter(conversation=conversation).latest("pk")
        result = TurnResult(outcome=Turn.Outcome.NO_ANSWER, text="I do not know.", kind="", citations=[], record={})
        conversations.finish_turn(turn_id=turn.pk, result=result)


@pytest.fixture
def lived_in(business: Workspace, shop: Collection, unanswered: None) -> Collection:
    """A clash, a draft, a gold set with runs, findings, dates: every page has something to show."""
    piece = Chunk.objects.of(business).get(document__source="guide.md", kind="passage")
    content = {"heading": piece.heading, "text": piece.text.replace("two weeks", "week")}
    layers.change_piece(row=piece, content=content, actor="usr_1")
    entry = Entry.objects.of(business).get(question="Do you ship to Norway?")
    layers.set_dates(row=entry, valid_from=timezone.now() - dt.timedelta(days=3), valid_until=None, actor="usr_1")
    work_off()
    services.add_file(collection=shop, name="guide.md", data=GUIDE.replace("two weeks", "three weeks").encode())
    twice = "question,answer\nHow long does a refund take?,Refunds take ninety days.\n"
    services.add_file(collection=shop, name="twice.csv", data=twice.encode())
    work_off()
    gold_set = gold.find_or_create_set(collection=shop, name="Everyday")
    wanted = [
        gold.Wanted("when do I have my money back", "faq.csv", "How long do refunds take?"),
        gold.Wanted("brushing the burrs", "guide.md"),
        gold.Wanted("many happy returns", "guide.md"),
    ]
    gold.add_questions(gold_set=gold_set, wanted=wanted, actor="usr_1")
    findings.request_findings(shop)
    work_off()
    versions.set_automatic(collection=shop, automatic=False, actor="usr_1")
    services.add_file(collection=shop, name="faq.csv", data=FAQ.replace("seven days", "three days").encode())
    work_off()
    reconcile(collection=shop)
    shop.refresh_from_db()
    return shop


def complaints(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {node['html'][:160]}" for rule in found for node in rule["nodes"]]


def addresses(shop: Collection) -> dict[str, str]:
    edit = Edit.objects.of(shop.workspace).filter(state="clash").first()
    entry = Entry.objects.of(shop.workspace).filter(question="Do you ship to Norway?", current=True).latest("pk")
    guide = Document.objects.of(shop.workspace).kept().get(source="guide.md")
    faq = Document.objects.of(shop.workspace).filter(source="faq.csv").earliest("pk")
    assert edit
    return {
        "collections": "/knowledge/",
        "collection": f"/knowledge/{shop.public_id}/",
        "versions": f"/knowledge/{shop.public_id}/versions/",
        "clashes": f"/knowledge/{shop.public_id}/clashes/",
        "gold": f"/knowledge/{shop.public_id}/gold/",
        "findings": f"/knowledge/{shop.public_id}/findings/",
        "unanswered": "/knowledge/unanswered/",
        "guide": f"/knowledge/documents/{guide.public_id}/",
        "faq": f"/knowledge/documents/{faq.public_id}/",
        "piece": f"/knowledge/pieces/{entry.public_id}/",
        "try": f"/knowledge/try/?collection={shop.public_id}&question=How+long+do+refunds+take%3F",
    }


@pytest.mark.parametrize(("scheme", "width", "language"), [("light", 1280, "en"), ("dark", 390, "zh-hans")])
def test_every_page_can_be_used_by_everybody(
    page: Page, lived_in: Collection, site: str, console: list[str], scheme: str, width: int, language: str
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    sign_in(page, site)
    page.context.add_cookies([{"name": "django_language", "value": language, "url": site}])
    found = []
    for name, address in addresses(lived_in).items():
        page.goto(site + address)
        found += [f"{name}: {complaint}" for complaint in complaints(page)]
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append(f"{name} is wider than the screen")
    assert found == []


def test_a_piece_is_changed_found_and_survives_its_source_until_the_owner_decides(
    page: Page, business: Workspace, site: str, shop: Collection, console: list[str]
) -> None:
    sign_in(page, site)
    guide = Document.objects.of(business).get(source="guide.md")
    page.goto(f"{site}/knowledge/documents/{guide.public_id}/")
    page.get_by_role("link", name="Edit piece 1").click()
    page.get_by_label("Text").fill("Brush the burrs every single day.")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".messages")).to_contain_text("Saved.")
    expect(page.locator(".chunk")).to_contain_text("changed here")
    work_off()
    assert "single day" in search(workspace=business, question="brush the burrs").passages[0].text

    services.add_file(collection=shop, name="guide.md", data=GUIDE.replace("two weeks", "three weeks").encode())
    work_off()
    assert Edit.objects.of(business).get().state == "clash"
    page.goto(f"{site}/knowledge/{shop.public_id}/")
    page.get_by_role("link", name="Clashes").click()
    expect(page.locator(".clash-card ins").first).to_be_visible()
    page.get_by_role("button", name="Take the source").click()
    expect(page.locator(".messages")).to_contain_text("Settled.")
    work_off()
    assert "three weeks" in search(workspace=business, question="brush the burrs").passages[0].text


def test_an_earlier_version_is_one_click_away_and_the_draft_is_asked_beside_it(
    page: Page, business: Workspace, site: str, shop: Collection, console: list[str]
) -> None:
    good = shop.version
    services.add_file(collection=shop, name="faq.csv", data=FAQ.replace("seven days", "ninety days").encode())
    work_off()
    sign_in(page, site)
    page.goto(f"{site}/knowledge/{shop.public_id}/versions/")
    page.get_by_role("button", name=f"Roll back to version {good}").click()
    expect(page.locator(".messages")).to_contain_text(f"Version {good} is live again")
    assert "seven days" in search(workspace=business, question="How long do refunds take?").passages[0].text
    expect(page.get_by_role("button", name="Publish", exact=True)).to_be_visible()

    page.get_by_role("link", name="Ask it beside live").click()
    page.get_by_label("Question").fill("How long do refunds take?")
    page.get_by_role("button", name="Ask").click()
    answers = page.locator(".prose")
    expect(answers.nth(0)).to_contain_text("seven days")
    expect(answers.nth(1)).to_contain_text("ninety days")
    page.locator("details", has_text="How long do refunds take?").first.click()
    page.get_by_role("button", name="This is right").first.click()
    expect(page.locator(".messages")).to_contain_text("1 question was added")


def test_an_answer_written_for_unanswered_questions_is_found_by_the_next_one(
    page: Page, business: Workspace, unanswered: None, site: str, console: list[str]
) -> None:
    sign_in(page, site)
    page.goto(f"{site}/knowledge/")
    page.get_by_role("link", name="Unanswered questions").click()
    group = page.locator("article", has_text="gift card")
    expect(group).to_contain_text("2 people")
    group.get_by_text("Write the answer").click()
    group.get_by_label("Answer").fill("Yes, gift cards are taken at the checkout.")
    group.get_by_role("button", name="Save the answer").click()
    expect(page.locator(".messages")).to_contain_text("Written.")
    expect(page.locator("article")).to_have_count(1)
    work_off()
    found = search(workspace=business, question="paying with a gift card possible?").passages
    assert found[0].text == "Yes, gift cards are taken at the checkout."
