"""The owner's knowledge page: files, pasted text and web addresses, what became of each, and how long the rest takes."""

import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from knowledge import services
from knowledge.models import Collection, Document
from knowledge.tasks import HANDLERS
from tests.knowledge.site import Page as WebPage
from tests.knowledge.site import web_site
from tests.pages.conftest import sign_in
from workspace import leases
from workspace.models import Workspace


def work() -> None:
    while leases.run_next(HANDLERS):
        pass


@pytest.fixture
def shop(bare_inbox) -> Collection:
    return services.find_or_create_collection(workspace=bare_inbox.workspace, name="shop")


def test_every_file_of_an_upload_says_where_it_is_and_what_became_of_it(
    page: Page, bare_site: str, shop: Collection, console, tmp_path: Path
) -> None:
    """Nobody works at first: the page shows the queue, also after a reload; then the work is done and shows by itself."""
    (tmp_path / "voltage.md").write_text("# Voltage\n\nOur machines need 220 to 240 volts.")
    (tmp_path / "prices.csv").write_text("sku,price\nA1,299\n")
    (tmp_path / "half.csv").write_text("question,price\nHow much?,299\n")
    (tmp_path / "cut.pdf").write_bytes(b"%PDF-1.4 and no more")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("returns.md", "# Returns\n\nWithin thirty days.")
        archive.writestr("more.zip", b"PK")
    sign_in(page, bare_site)
    page.goto(f"{bare_site}/knowledge/{shop.public_id}/")
    page.get_by_label("Add files").set_input_files([path for path in sorted(tmp_path.iterdir()) if path.is_file()])
    page.get_by_role("button", name="Upload").click()
    for _ in range(2):
        expect(page.locator("#documents")).to_contain_text("5 files left to read")
        expect(page.locator("tr", has_text="all.zip")).to_contain_text("waiting, next")
        expect(page.locator("tr", has_text="voltage.md")).to_contain_text("waiting, 4 files before it")
        page.reload()

    work()
    expect(page.locator("tr", has_text="Voltage").locator(".status")).to_have_text("live", timeout=20_000)
    expect(page.locator("tr", has_text="prices").locator(".status")).to_have_text("live")
    expect(page.locator("tr", has_text="half.csv")).to_contain_text("The first row must name a column of questions")
    expect(page.locator("tr", has_text="cut.pdf")).to_contain_text("This file is damaged")
    expect(page.locator("tr", has_text="all.zip/returns.md").locator(".status")).to_have_text("live")
    expect(page.locator("tr", has_text="more.zip")).to_contain_text("A ZIP inside a ZIP is not opened")
    expect(page.get_by_role("button", name="Try more.zip again")).to_have_count(0)
    page.get_by_role("button", name="Try cut.pdf again").click()
    expect(page.locator("tr", has_text="cut.pdf")).to_contain_text("waiting, next")


def test_text_can_be_pasted_as_a_document_or_as_rows_of_a_spreadsheet(
    page: Page, bare_site: str, shop: Collection, console
) -> None:
    sign_in(page, bare_site)
    for title, text in (("Opening hours", "We open at nine."), ("FAQ", "问题\t答案\n几点开门？\t九点\n")):
        page.goto(f"{bare_site}/knowledge/{shop.public_id}/")
        page.get_by_text("Paste text").click()
        page.get_by_label("Title").fill(title)
        page.get_by_label("Text", exact=True).fill(text)
        page.get_by_role("button", name="Add text").click()
        expect(page.locator(".message-line.success")).to_contain_text(f"“{title}” is being read")
    work()
    faq, hours = Document.every.filter(collection=shop).order_by("source")
    assert (faq.entries.get().question, faq.entries.get().answer) == ("几点开门？", "九点")
    assert [(chunk.heading, chunk.text) for chunk in hours.chunks.all()] == [("Opening hours", "We open at nine.")]


def test_a_site_is_added_by_its_address_and_tells_of_every_page(
    page: Page, bare_site: str, shop: Collection, console, settings
) -> None:
    with web_site() as web:
        settings.BATON_FETCH_ALLOW = frozenset({web.host})
        web.put("/returns", "Returns take thirty days from the day of delivery.")
        web.pages["/robots.txt"] = WebPage(b"User-agent: *\nDisallow: /secret\n", kind="text/plain")
        web.lists("/returns", "/secret", "/none")
        sign_in(page, bare_site)
        page.goto(f"{bare_site}/knowledge/{shop.public_id}/")
        page.get_by_text("Add a web page or a site").click()
        page.get_by_label("Address").fill(web.address)
        page.get_by_label("Read").select_option("all pages of its sitemap")
        page.get_by_role("button", name="Add address").click()
        expect(page.locator("#report")).to_contain_text("Waiting for its turn")
        work()
        expect(page.locator("tr", has_text="/returns").locator(".status")).to_have_text("taken", timeout=10_000)
        expect(page.locator("tr", has_text="/secret")).to_contain_text("robots.txt asks programs to stay away")
        expect(page.locator("tr", has_text="/none")).to_contain_text("The server answered with an error. (HTTP 404)")
        page.get_by_role("link", name="skipped 1").click()
        expect(page.locator("#report tbody tr")).to_have_count(1)

        page.get_by_role("button", name="Look now").click()
        work()
        expect(page.locator("tr", has_text="/returns").locator(".status")).to_have_text("unchanged", timeout=10_000)
        page.get_by_text("Stop watching this address").click()
        page.get_by_label("Delete the documents that came from it, too").check()
        page.get_by_role("button", name="Stop watching").click()
        expect(page.locator(".message-line.success")).to_contain_text("and its documents are deleted")
        assert not Document.objects.of(shop.workspace_id).kept().exists()


def test_an_address_of_the_own_network_is_refused_in_words(
    page: Page, bare_site: str, shop: Collection, console
) -> None:
    sign_in(page, bare_site)
    page.goto(f"{bare_site}/knowledge/{shop.public_id}/")
    page.get_by_text("Add a web page or a site").click()
    page.get_by_label("Address").fill("http://169.254.169.254/latest/meta-data/")
    page.get_by_role("button", name="Add address").click()
    expect(page.locator(".message-line.error")).to_contain_text("This address may not be fetched.")


def test_another_workspace_sees_none_of_it(page: Page, bare_site: str, shop: Collection) -> None:
    from knowledge import sources

    theirs = services.find_or_create_collection(workspace=Workspace.objects.create(name="Other"), name="theirs")
    source = sources.add_source(collection=theirs, url="https://shop.example/", kind="page", actor="usr_1")
    sign_in(page, bare_site)
    for path in (f"sources/{source.public_id}/", f"sources/{source.public_id}/report/", f"{theirs.public_id}/"):
        answer = page.goto(f"{bare_site}/knowledge/{path}")
        assert answer is not None
        assert answer.status == 404
