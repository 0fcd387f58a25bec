"""One run over a source: list its pages, look at each, take in what changed. Done in parts, and safe to be cut off anywhere."""

import hashlib
import re
import time
from collections.abc import Callable, Mapping

from django.db import transaction
from django.utils import timezone

from knowledge import services
from knowledge.ingest.extract import extract
from knowledge.ingest.found import Extracted, Unreadable
from knowledge.models import Document, Source, SourcePage
from knowledge.robots import Robots, read_robots
from knowledge.sitemap import Listing, list_pages
from knowledge.visit import NotTaken, Visited, is_same_site, tidy, visit
from workspace import audit

PART_S = 15.0  # after so long other jobs get their turn
SHORT_DELAY_S = 1.0  # a longer wait between two pages is not slept through but left to the job's own schedule
SUFFIXES = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "text/plain": ".txt",
    "text/markdown": ".md",
    "text/csv": ".csv",
    "application/pdf": ".pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
}
SKIPS = {"robots", "off_site", "wrong_type", "address_refused", "same_as", "deleted_here", "empty"}
Verdict = SourcePage.Verdict


def run_part(*, source: Source, run: int, report: Callable[[int, int], None]) -> float | None:
    """Do the next part of a run, telling `report` how many pages are done and how many there are.

    Returns after how many seconds the next part is due, or None: the run is over.
    """
    if not source.pages.filter(run=run).exists():
        try:
            _list(source, run)
        except NotTaken as problem:
            _end(source, problem.code, problem.detail)
            return None
    robots = Robots(source.robots)
    until = time.monotonic() + PART_S
    pages = source.pages.filter(run=run)
    total, waiting = pages.count(), list(pages.filter(verdict=Verdict.WAITING).order_by("pk"))
    for at, page in enumerate(waiting):
        report(total - len(waiting) + at, total)
        _look(source, page, robots)
        if at + 1 == len(waiting):
            break
        if robots.delay_s > SHORT_DELAY_S:
            return robots.delay_s
        if time.monotonic() > until:
            return 0.0
        time.sleep(robots.delay_s)
    report(total, total)
    source.refresh_from_db()
    _end(source, "" if source.error != "too_many_pages" else source.error, source.error_detail)
    return None


def _list(source: Source, run: int) -> None:
    robots = read_robots(source.url)
    listing = Listing([source.url])
    if source.kind == Source.Kind.SITE:
        listing = list_pages(source.url, robots, pause=lambda: time.sleep(min(robots.delay_s, SHORT_DELAY_S)))
    urls = dict.fromkeys(listing.pages)
    with transaction.atomic():
        Source.objects.of(source.workspace_id).filter(pk=source.pk).update(
            robots=robots.text,
            error="too_many_pages" if listing.left_out else "",
            error_detail=f"{listing.left_out:,}" if listing.left_out else "",
        )
        source.refresh_from_db()
        known = {page.url: page for page in source.pages.all()}
        SourcePage.objects.of(source.workspace_id).filter(
            pk__in=[page.pk for url, page in known.items() if url in urls]
        ).update(run=run, verdict=Verdict.WAITING, reason="", detail="")
        SourcePage.objects.of(source.workspace_id).bulk_create(
            [
                SourcePage(workspace_id=source.workspace_id, source=source, url=url, run=run)
                for url in urls
                if url not in known
            ],
            batch_size=500,
        )
        for url, problem in listing.problems:
            _note_problem(source, url, run, problem, is_new=url not in known and url not in urls)
        is_whole = not listing.left_out and all(problem.code in SKIPS for _, problem in listing.problems)
        for url, page in known.items():
            if is_whole and url not in urls:
                _forget(page)


def _note_problem(source: Source, url: str, run: int, problem: NotTaken, *, is_new: bool) -> None:
    verdict = Verdict.SKIPPED if problem.code in SKIPS else Verdict.FAILED
    fields = {"run": run, "verdict": verdict, "reason": problem.code, "detail": problem.detail}
    if is_new:
        SourcePage.objects.of(source.workspace_id).update_or_create(
            source=source, url=url, defaults=fields | {"checked_at": timezone.now()}
        )
    else:
        SourcePage.objects.of(source.workspace_id).filter(source=source, url=url).update(**fields)


def _look(source: Source, page: SourcePage, robots: Robots) -> None:
    try:
        taken = _take(source, page, robots)
        page.verdict, page.reason, page.detail = (Verdict.TAKEN if taken else Verdict.UNCHANGED), "", ""
    except Unreadable as problem:
        page.verdict = Verdict.SKIPPED if problem.code in SKIPS else Verdict.FAILED
        page.reason, page.detail = problem.code, problem.detail
    except NotTaken as problem:
        if problem.is_gone and page.document_id:
            _forget(page, problem)
            return
        page.verdict = Verdict.SKIPPED if problem.code in SKIPS else Verdict.FAILED
        page.reason, page.detail = problem.code, problem.detail
    page.checked_at = timezone.now()
    page.save()


def _take(source: Source, page: SourcePage, robots: Robots) -> bool:
    """Whether there was something new. Raises `NotTaken` or `Unreadable`."""
    document = page.document
    if document is not None and document.deleted_at is not None:
        raise NotTaken("deleted_here")
    _check(source, robots, page.url)
    asked = _conditions(page) if document is not None else {}
    found = visit(page.url, check=lambda url: _check(source, robots, url), headers=asked)
    if found.status == 304:
        return False
    if tidy(found.url) != page.url and source.pages.filter(url=tidy(found.url), run=page.run).exists():
        raise NotTaken("same_as", found.url)
    page.etag, page.modified = found.headers.get("etag", "")[:200], found.headers.get("last-modified", "")[:100]
    body_hash = hashlib.sha256(found.body).hexdigest()
    if document is not None and body_hash == page.body_hash:
        return False
    suffix, body = _content(found)
    read = extract(page.url.rstrip("/") + suffix, body)
    text_hash = _text_hash(read)
    twin = source.pages.filter(run=page.run, text_hash=text_hash, document__deleted_at__isnull=True)
    if other := twin.filter(document__isnull=False).exclude(pk=page.pk).first():
        raise NotTaken("same_as", other.url)
    is_new = document is None or text_hash != page.text_hash
    page.body_hash, page.text_hash = body_hash, text_hash
    if is_new:
        _store(source, page, body, suffix)
    return is_new


def _store(source: Source, page: SourcePage, body: bytes, suffix: str) -> None:
    with transaction.atomic():
        added = services.add_file(collection=source.collection, name=page.url, data=body, url=page.url, suffix=suffix)
        known = Document.objects.of(source.workspace_id).kept().filter(collection=source.collection, source=page.url)
        page.document = added or known.order_by("-pk").first()
        page.verdict, page.reason, page.detail, page.checked_at = Verdict.TAKEN, "", "", timezone.now()
        page.save()


def _forget(page: SourcePage, problem: NotTaken | None = None) -> None:
    """A page that is no longer there is no longer found here either."""
    if page.verdict == Verdict.GONE and problem is None:
        return
    with transaction.atomic():
        if page.document is not None and page.document.deleted_at is None:
            services.delete_document(document=page.document, actor=audit.SYSTEM)
        page.verdict, page.reason, page.detail = Verdict.GONE, "", problem.detail if problem else ""
        page.document, page.etag, page.modified, page.body_hash, page.text_hash = None, "", "", "", ""
        page.checked_at = timezone.now()
        page.save()


def _check(source: Source, robots: Robots, url: str) -> None:
    if not is_same_site(source.url, url):
        raise NotTaken("off_site", url)
    if not robots.allow(url):
        raise NotTaken("robots")


def _conditions(page: SourcePage) -> Mapping[str, str]:
    asked = {"If-None-Match": page.etag, "If-Modified-Since": page.modified}
    return {name: value for name, value in asked.items() if value.isascii() and value.isprintable() and value}


def _content(found: Visited) -> tuple[str, bytes]:
    """The type, as the end of a file's name, and the bytes; text in the encoding the server names is made UTF-8."""
    kind, _, rest = found.headers.get("content-type", "").partition(";")
    suffix = SUFFIXES.get(kind.strip().lower())
    if suffix is None:
        raise NotTaken("wrong_type", kind.strip())
    charset = re.search(r"charset\s*=\s*[\"']?([\w.:-]+)", rest, re.IGNORECASE)
    if kind.strip().lower().startswith("text/") and charset:
        try:
            return suffix, found.body.decode(charset.group(1)).encode()
        except (LookupError, UnicodeError, ValueError):
            pass
    return suffix, found.body


def _text_hash(read: Extracted) -> str:
    entries = [(entry.question, entry.phrasings, entry.answers) for entry in read.entries]
    return hashlib.sha256(repr((read.title, read.markdown, entries)).encode()).hexdigest()


def _end(source: Source, error: str, detail: str) -> None:
    Source.objects.of(source.workspace_id).filter(pk=source.pk).update(
        error=error, error_detail=detail, ran_at=timezone.now()
    )
