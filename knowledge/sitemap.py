"""The addresses a site lists of itself: its sitemaps, and the sitemaps those name, within bounds."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from knowledge.robots import Robots
from knowledge.visit import NotTaken, is_same_site, origin, tidy, visit

MAX_SITEMAPS = 50
MAX_PAGES = 1_000
MAX_UNPACKED_BYTES = 50 * 1024 * 1024  # the protocol's own bound
_GZIP = b"\x1f\x8b"


@dataclass
class Listing:
    """What the sitemaps say. `pages` in their order, each once; `problems`: sitemaps that gave nothing, and why."""

    pages: list[str] = field(default_factory=list)
    problems: list[tuple[str, NotTaken]] = field(default_factory=list)
    left_out: int = 0


def list_pages(url: str, robots: Robots, pause: Callable[[], None] = lambda: None) -> Listing:
    """The pages of the site at `url`, or of the sitemap at `url`. Raises `NotTaken` when there is no sitemap to read.

    `pause` is called between two requests.
    """
    is_sitemap = url.rpartition("/")[2].lower().endswith((".xml", ".xml.gz", ".txt"))
    guessed = [f"{origin(url)}/sitemap.xml"]
    waiting = [url] if is_sitemap else (robots.sitemaps or guessed)
    found, seen, read = Listing(), set[str](), 0
    while waiting and read < MAX_SITEMAPS:
        address = waiting.pop(0)
        if address in seen:
            continue
        seen.add(address)
        try:
            if not is_same_site(url, address):
                raise NotTaken("off_site", address)
            if read:
                pause()
            read += 1
            for kind, entry in _entries(visit(address, max_bytes=MAX_UNPACKED_BYTES // 2).body):
                if kind == "sitemap":
                    waiting.append(entry)
                else:
                    _add(found, entry)
        except NotTaken as problem:
            found.problems.append((address, problem))
    if not found.pages:
        raise found.problems[0][1] if found.problems and is_sitemap else NotTaken("no_sitemap")
    return found


def _add(found: Listing, address: str) -> None:
    try:
        tidied = tidy(address)
    except NotTaken as problem:
        found.problems.append((address[:500].replace("\x00", ""), problem))
        return
    if len(found.pages) < MAX_PAGES:
        found.pages.append(tidied)
    else:
        found.left_out += 1


def _entries(body: bytes) -> Iterator[tuple[str, str]]:
    """Pairs of "page" or "sitemap" and an address. Raises `NotTaken`."""
    if body.startswith(_GZIP):
        body = _unpacked(body)
    if not body.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
        yield from (("page", line.strip()) for line in body.decode("utf-8", "replace").splitlines() if line.strip())
        return
    try:
        for _, element in iterparse(io.BytesIO(body), forbid_dtd=True):
            name = element.tag.rpartition("}")[2]
            if name in {"url", "sitemap"}:
                address = next((child.text for child in element if child.tag.rpartition("}")[2] == "loc"), None)
                if address and address.strip():
                    yield ("page" if name == "url" else "sitemap"), address.strip()
                element.clear()
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        raise NotTaken("sitemap_broken") from None


def _unpacked(body: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(body)) as file:
            unpacked = file.read(MAX_UNPACKED_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise NotTaken("sitemap_broken", "gzip") from None
    if len(unpacked) > MAX_UNPACKED_BYTES:
        raise NotTaken("too_large", "sitemap")
    return unpacked
