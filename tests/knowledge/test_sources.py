"""Pages and sites that are watched: what is taken, what is left and why, and that nothing leads anywhere else."""

import datetime as dt
import gzip
import ipaddress
import socket
from collections.abc import Iterator

import httpcore
import pytest
from django.utils import timezone

from knowledge import services, sources
from knowledge.ingest.verdicts import WORDS
from knowledge.models import Collection, Document, Source
from knowledge.robots import Robots
from knowledge.search import search
from knowledge.sitemap import MAX_PAGES, list_pages
from knowledge.tasks import HANDLERS
from knowledge.visit import MAX_STEPS, NotTaken, is_same_site, tidy, visit
from tests.knowledge.site import Page, Site, web_site
from workspace import leases
from workspace.models import Job, Workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def site(settings) -> Iterator[Site]:
    with web_site() as server:
        settings.BATON_FETCH_ALLOW = frozenset({server.host})
        yield server


@pytest.fixture
def shop(workspace: Workspace) -> Collection:
    return services.find_or_create_collection(workspace=workspace, name="shop")


def watch(shop: Collection, url: str, kind: str = "site", **fields) -> Source:
    source = sources.add_source(collection=shop, url=url, kind=kind, actor="usr_1", **fields)
    work()
    source.refresh_from_db()
    return source


def again(source: Source) -> None:
    sources.request_sync(source=source)
    work()
    source.refresh_from_db()


def work(**handlers: leases.Handler) -> None:
    """Do what is due, short of publishing."""
    while leases.run_next(handlers or {kind: HANDLERS[kind] for kind in (sources.SYNC_JOB, services.READ_JOB)}):
        pass


def publish() -> None:
    work(**HANDLERS)


def report(source: Source) -> dict[str, str]:
    rows = {page.url: page.verdict + (f" {page.reason}" if page.reason else "") for page in source.pages.all()}
    assert all(page.reason in WORDS for page in source.pages.all() if page.reason)
    return {url.removeprefix(source.url.rstrip("/")): said for url, said in rows.items()}


def found(shop: Collection, question: str) -> list[str]:
    return [passage.text for passage in search(workspace=shop.workspace, question=question).passages]


def live(shop: Collection) -> set[str]:
    """What the next version is made of."""
    rows = Document.objects.of(shop.workspace_id).readable().filter(collection=shop)
    return {row.source for row in rows}


def test_a_site_is_taken_in_and_looked_at_again_for_nothing(site: Site, shop: Collection) -> None:
    site.put("/returns", "Returns take thirty days from the day of delivery.", ETag='"1"')
    site.put("/repairs", "Repairs are free of charge for two years.")
    site.lists("/returns", "/repairs")
    source = watch(shop, site.address + "/")
    publish()
    assert report(source) == {"/returns": "taken", "/repairs": "taken"}
    assert "thirty days" in found(shop, "How long do returns take?")[0]
    passage = search(workspace=shop.workspace, question="Are repairs free?").passages[0]
    assert passage.url == f"{site.address}/repairs"
    assert all("Baton" in agent for agent in site.agents)

    version, documents = shop.versions.count(), Document.every.count()
    again(source)
    publish()
    assert report(source) == {"/returns": "same", "/repairs": "same"}
    assert (shop.versions.count(), Document.every.count(), site.unchanged) == (version, documents, 1)


def test_what_changed_is_replaced_and_what_is_gone_is_no_longer_found(site: Site, shop: Collection) -> None:
    site.put("/returns", "Returns take thirty days from the day of delivery.")
    site.put("/repairs", "Repairs are free of charge for two years.")
    site.put("/norway", "We ship to Norway within ten days of the order.")
    site.lists("/returns", "/repairs", "/norway")
    source = watch(shop, site.address + "/")
    publish()

    site.put("/returns", "Returns take sixty days from the day of delivery.")
    del site.pages["/norway"]
    site.lists("/returns", "/norway")
    again(source)
    publish()
    assert report(source) == {"/returns": "taken", "/repairs": "gone", "/norway": "gone"}
    assert live(shop) == {f"{site.address}/returns"}
    assert "sixty" in found(shop, "How long do returns take?")[0]
    assert not any("thirty" in text or "Repairs" in text for text in found(shop, "returns repairs Norway"))


def test_a_page_whose_words_stay_the_same_is_unchanged_whatever_else_changes_in_it(
    site: Site, shop: Collection
) -> None:
    site.put("/returns", "Returns take thirty days from the day of delivery.")
    site.lists("/returns")
    source = watch(shop, site.address + "/")
    page = site.pages["/returns"]
    page.body = page.body.replace(b"<main>", b"<script nonce='7f3a'></script><main>")
    documents = Document.every.count()
    again(source)
    assert report(source) == {"/returns": "same"}
    assert Document.every.count() == documents


def test_every_address_is_told_with_the_reason_why_it_was_left(site: Site, shop: Collection) -> None:
    site.put("/ok", "Returns take thirty days from the day of delivery.")
    site.put("/secret/prices", "Wholesale prices of the year.")
    site.put("/twin", "Returns take thirty days from the day of delivery.")
    site.pages["/robots.txt"] = Page(b"User-agent: *\nDisallow: /secret/\n", kind="text/plain")
    site.pages["/picture"] = Page(b"\x89PNG", kind="image/png")
    site.pages["/away"] = Page(b"", 302, headers={"Location": "http://other.example/"})
    site.pages["/inside"] = Page(b"", 302, headers={"Location": "http://127.0.0.1:9/secret"})
    site.pages["/loop"] = Page(b"", 302, headers={"Location": "/loop"})
    site.pages["/moved"] = Page(b"", 301, headers={"Location": "/ok"})
    site.pages["/blank"] = Page(b"<html><body></body></html>")
    site.pages["/error"] = Page(b"oh", 500)
    site.pages["/file"] = Page(b"%PDF-1.4 cut", kind="application/pdf")
    site.pages["/sneaky"] = Page(b"", 302, headers={"Location": "/secret/prices"})
    paths = [
        "/ok",
        "/secret/prices",
        "/twin",
        "/picture",
        "/away",
        "/inside",
        "/loop",
        "/moved",
        "/blank",
        "/error",
        "/file",
    ]
    site.lists(*paths, "/sneaky", "/none", "http://127.0.0.1:9/metadata", "file:///etc/passwd")
    source = watch(shop, site.address + "/")
    assert report(source) == {
        "/ok": "taken",
        "/secret/prices": "skipped robots",
        "/twin": "skipped same_as",
        "/picture": "skipped wrong_type",
        "/away": "skipped off_site",
        "/inside": "skipped off_site",
        "/loop": "failed too_many_redirects",
        "/moved": "skipped same_as",
        "/blank": "skipped empty",
        "/error": "failed http_status",
        "/file": "failed broken",
        "/sneaky": "skipped robots",
        "/none": "failed http_status",
        "http://127.0.0.1:9/metadata": "skipped off_site",
        "file:///etc/passwd": "skipped address_refused",
    }
    assert "/secret/prices" not in site.asked
    assert site.asked.count("/loop") == MAX_STEPS + 1
    assert live(shop) == {f"{site.address}/ok"}


def test_sitemaps_are_found_through_robots_and_through_each_other_packed_or_not(site: Site, shop: Collection) -> None:
    site.pages["/robots.txt"] = Page(f"Sitemap: {site.address}/index.xml".encode(), kind="text/plain")
    site.put("/a", "Returns take thirty days from the day of delivery.")
    site.put("/b", "Repairs are free of charge for two years.")
    site.lists("/b", at="/b.xml")
    site.pages["/b.xml.gz"] = Page(gzip.compress(site.pages["/b.xml"].body), kind="application/gzip")
    site.pages["/a.txt"] = Page(f"{site.address}/a\n".encode(), kind="text/plain")
    entries = "".join(
        f"<sitemap><loc>{address}</loc></sitemap>"
        for address in (f"{site.address}/a.txt", f"{site.address}/b.xml.gz", "http://127.0.0.1:9/s.xml")
    )
    site.pages["/index.xml"] = Page(
        f"<sitemapindex xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'>{entries}</sitemapindex>".encode()
    )
    source = watch(shop, site.address + "/")
    assert report(source) == {"/a": "taken", "/b": "taken", "http://127.0.0.1:9/s.xml": "skipped off_site"}
    assert "/sitemap.xml" not in site.asked


def test_a_site_without_a_sitemap_and_one_whose_robots_fail_are_read_no_further(site: Site, shop: Collection) -> None:
    source = watch(shop, site.address + "/")
    assert (source.error, report(source)) == ("no_sitemap", {})

    site.put("/a", "Returns take thirty days from the day of delivery.")
    site.lists("/a")
    site.pages["/robots.txt"] = Page(b"", 503)
    again(source)
    assert source.error == "robots_unreachable"
    assert "/a" not in site.asked

    del site.pages["/robots.txt"]
    again(source)
    assert (source.error, report(source)) == ("", {"/a": "taken"})


def test_a_failure_on_the_way_deletes_nothing(site: Site, shop: Collection) -> None:
    site.put("/a", "Returns take thirty days from the day of delivery.")
    site.lists("/a")
    source = watch(shop, site.address + "/")
    page, sitemap = site.pages["/a"], site.pages["/sitemap.xml"]
    for broken in (Page(b"", 500), Page(b"<urlset>", kind="application/xml"), Page(b"<urlset></urlset>")):
        site.pages["/sitemap.xml"] = broken
        again(source)
        assert source.error in {"no_sitemap", "sitemap_broken"}
        assert live(shop) == {f"{site.address}/a"}
    site.pages["/sitemap.xml"] = sitemap
    site.pages["/a"] = Page(b"", 500)
    again(source)
    assert report(source) == {"/a": "failed http_status"}
    assert live(shop) == {f"{site.address}/a"}
    site.pages["/a"] = page
    again(source)
    assert report(source) == {"/a": "same"}


def test_what_the_owner_deleted_is_not_taken_again(site: Site, shop: Collection) -> None:
    site.put("/a", "Returns take thirty days from the day of delivery.")
    site.lists("/a")
    source = watch(shop, site.address + "/")
    services.delete_document(document=Document.every.get(source=f"{site.address}/a"), actor="usr_1")
    again(source)
    assert report(source) == {"/a": "skipped deleted_here"}
    assert live(shop) == set()


def test_removing_a_source_keeps_or_deletes_what_came_from_it(site: Site, shop: Collection) -> None:
    site.put("/a", "Returns take thirty days from the day of delivery.")
    first = watch(shop, f"{site.address}/a", kind="page")
    sources.remove_source(source=first, with_documents=False, actor="usr_1")
    assert live(shop) == {f"{site.address}/a"}
    second = watch(shop, f"{site.address}/a", kind="page")
    sources.remove_source(source=second, with_documents=True, actor="usr_1")
    assert live(shop) == set()
    assert not Job.every.filter(kind=sources.SYNC_JOB, status=Job.Status.QUEUED).exists()


def test_a_source_is_looked_at_again_when_its_time_has_come(site: Site, shop: Collection) -> None:
    site.put("/a", "Returns take thirty days from the day of delivery.")
    source = watch(shop, f"{site.address}/a", kind="page", every_hours=6)
    (job,) = Job.every.filter(kind=sources.SYNC_JOB, status=Job.Status.QUEUED)
    assert abs(job.run_at - timezone.now() - dt.timedelta(hours=6)) < dt.timedelta(minutes=1)
    site.asked_for()
    work()
    assert site.asked_for() == []
    Job.every.filter(pk=job.pk).update(run_at=timezone.now())
    work()
    assert site.asked_for() == ["/a"]
    source.refresh_from_db()
    assert source.run == 2
    assert Job.every.filter(kind=sources.SYNC_JOB, status=Job.Status.QUEUED).count() == 1


def test_a_run_that_is_cut_off_goes_on_where_it_was(site: Site, shop: Collection) -> None:
    for at in range(4):
        site.put(f"/{at}", f"Part number {at} costs {at + 7} euro and lasts for years.")
    site.lists(*(f"/{at}" for at in range(4)))
    source = sources.add_source(collection=shop, url=site.address + "/", kind="site", actor="usr_1")
    handlers = {sources.SYNC_JOB: HANDLERS[sources.SYNC_JOB]}

    class Killed(BaseException):
        pass

    def kill_at_the_third(job: Job) -> None:
        original = leases.report_progress

        def counted(job: Job, progress) -> None:
            if progress["done"] == 2:
                raise Killed
            original(job, progress)

        leases.report_progress = counted
        try:
            handlers[sources.SYNC_JOB](job)
        finally:
            leases.report_progress = original

    with pytest.raises(Killed):
        leases.run_next({sources.SYNC_JOB: kill_at_the_third})
    assert list(report(source).values()) == ["taken", "taken", "waiting", "waiting"]
    Job.every.filter(status=Job.Status.RUNNING).update(lease_until=timezone.now() - dt.timedelta(seconds=1))
    site.asked_for()
    work()
    assert site.asked_for() == ["/2", "/3"]
    assert len(live(shop)) == 4


def test_a_site_that_asks_for_long_pauses_gets_them_and_holds_no_worker(site: Site, shop: Collection) -> None:
    site.pages["/robots.txt"] = Page(b"User-agent: Baton\nCrawl-delay: 7\n", kind="text/plain")
    for at in range(2):
        site.put(f"/{at}", f"Part number {at} costs {at + 7} euro and lasts for years.")
    site.lists("/0", "/1")
    source = watch(shop, site.address + "/")
    assert list(report(source).values()) == ["taken", "waiting"]
    job = Job.every.get(kind=sources.SYNC_JOB, payload__run=1)
    checked_at = source.pages.order_by("pk")[0].checked_at
    assert checked_at is not None
    assert job.run_at - checked_at >= dt.timedelta(seconds=7)
    assert (job.progress["done"], job.progress["total"]) == (0, 2)
    Job.every.filter(pk=job.pk).update(run_at=timezone.now())
    work()
    assert list(report(source).values()) == ["taken", "taken"]


@pytest.mark.parametrize(("line", "delay_s"), [("", 0.2), ("Crawl-delay: 3", 3.0), ("Crawl-delay: 86400", 30.0)])
def test_how_long_a_site_may_make_us_wait_has_bounds(line: str, delay_s: float) -> None:
    assert Robots(f"User-agent: *\n{line}\n").delay_s == delay_s


def test_a_site_of_more_pages_than_are_read_says_how_many_were_left_out(site: Site) -> None:
    site.lists(*(f"/{at}" for at in range(MAX_PAGES + 3)))
    listing = list_pages(site.address + "/", Robots(""))
    assert (len(listing.pages), listing.left_out) == (MAX_PAGES, 3)


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE x [<!ENTITY a 'b'>]><urlset><url><loc>&a;</loc></url></urlset>",
        b"<urlset><url><loc>http://a/",
        b"\x1f\x8b broken",
        gzip.compress(b"<urlset>" + b" " * 60_000_000),
    ],
)
def test_a_hostile_sitemap_is_a_verdict(site: Site, body: bytes) -> None:
    site.pages["/sitemap.xml"] = Page(body, kind="application/xml")
    with pytest.raises(NotTaken) as refused:
        list_pages(f"{site.address}/sitemap.xml", Robots(""))
    assert refused.value.code in {"sitemap_broken", "too_large"}


class Recorder(httpcore.NetworkBackend):
    """Stands where sockets are opened and writes down where they would have gone."""

    def __init__(self) -> None:
        self.connected: list[str] = []

    def connect_tcp(self, host, port, *_, **__):
        self.connected.append(host)
        raise httpcore.ConnectError("recorded")


def test_a_name_that_changes_its_mind_between_two_pages_leads_nowhere(monkeypatch) -> None:
    """DNS rebinding: public while robots.txt is asked for, an inner address afterwards."""
    answers = [["93.184.216.34"], ["127.0.0.1"], ["93.184.216.34", "169.254.169.254"]]

    def resolve(host, port, *_, **__):
        addresses = answers.pop(0)
        assert all(ipaddress.ip_address(address) for address in addresses)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    recorder = Recorder()
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(httpcore, "SyncBackend", lambda: recorder)
    codes = []
    for path in ("robots.txt", "a", "b"):
        with pytest.raises(NotTaken) as refused:
            visit(f"http://rebind.example/{path}")
        codes.append(refused.value.code)
    assert codes == ["no_answer", "address_refused", "address_refused"]
    assert recorder.connected == ["93.184.216.34"]


@pytest.mark.parametrize(
    "url", ["", "ftp://shop.example/", "http://user:pw@shop.example/", "http://10.0.0.1/", "http://x:22/"]
)
def test_an_address_that_is_never_fetched_is_refused_when_it_is_given(shop: Collection, url: str) -> None:
    with pytest.raises(NotTaken, match="address_refused"):
        sources.add_source(collection=shop, url=url, kind="page", actor="usr_1")
    assert not Source.objects.of(shop.workspace_id).exists()


def test_a_site_is_its_host_with_or_without_www() -> None:
    assert is_same_site("https://www.shop.example/a", "http://shop.example/b")
    assert not is_same_site("https://shop.example/", "https://evil-shop.example/")
    assert not is_same_site("https://shop.example/", "https://shop.example:8443/")
    assert not is_same_site("https://shop.example/", "file:///etc/passwd")
    assert tidy(" HTTP://Shop.Example#top ") == "http://shop.example/"


def test_text_in_the_encoding_that_the_server_names_is_read(site: Site, shop: Collection) -> None:
    words = "返品は三十日以内にお願いします。送料は無料です。"
    site.pages["/a"] = Page(
        f"<html><head><title>返品</title></head><body><main><p>{words}</p></main></body></html>".encode("shift_jis"),
        kind="text/html; charset=Shift_JIS",
    )
    watch(shop, f"{site.address}/a", kind="page")
    assert any(words in chunk.text for chunk in Document.every.get(source=f"{site.address}/a").chunks.all())
