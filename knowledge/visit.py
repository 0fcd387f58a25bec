"""Ask for one address of a site: redirects are followed step by step, each checked like the first.

Every step goes through `workspace.fetch`, which connects to public addresses it has checked itself; what this adds is that
a step stays on the site, that there are few of them, and that every way it can end has a code with words.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urldefrag, urljoin, urlsplit, urlunsplit

from workspace.fetch import FetchFailed, FetchRefused, fetch

AGENT = "Baton"
USER_AGENT = "Mozilla/5.0 (compatible; Baton/0.1; reads the pages its owner chose)"
MAX_BYTES = 10 * 1024 * 1024
MAX_STEPS = 5
LONGEST = 500
_MOVED = {301, 302, 303, 307, 308}


class NotTaken(Exception):
    """This address gave nothing to take in. `code` is one of `knowledge.ingest.verdicts`, `is_gone`: it is no longer there."""

    def __init__(self, code: str, detail: str = "", *, is_gone: bool = False) -> None:
        self.code, self.detail, self.is_gone = code, detail[:200], is_gone
        super().__init__(f"{code} {detail}".strip())


@dataclass(frozen=True)
class Visited:
    """An answer of status 200, or 304 where it was asked for. `url` is the one that answered; header names are lower case."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


def visit(
    url: str,
    *,
    check: Callable[[str], None] = lambda _: None,
    headers: Mapping[str, str] | None = None,
    max_bytes: int = MAX_BYTES,
) -> Visited:
    """Fetch `url`. `check` is called with each further address and may raise. Raises `NotTaken`."""
    asked = url
    for _ in range(MAX_STEPS + 1):
        try:
            answer = fetch(url, headers={"User-Agent": USER_AGENT, **(headers or {})}, max_bytes=max_bytes)
        except FetchRefused as problem:
            raise NotTaken("address_refused", str(problem)) from None
        except FetchFailed as problem:
            raise NotTaken("too_large" if "larger" in str(problem) else "no_answer", str(problem)) from None
        if answer.status in {200, 304}:
            return Visited(url, answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.body)
        if answer.status not in _MOVED or not answer.headers.get("location"):
            raise NotTaken("http_status", f"HTTP {answer.status}", is_gone=answer.status in {404, 410})
        url = urldefrag(urljoin(url, answer.headers["location"])).url
        if not is_same_site(asked, url):
            raise NotTaken("off_site", url)
        check(url)
    raise NotTaken("too_many_redirects", url)


def origin(url: str) -> str:
    """ "https://shop.example" of "https://shop.example/help?x"."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def tidy(url: str) -> str:
    """One spelling for an address: without fragment and spaces, its scheme and host in lower case, "/" for no path.

    Raises `NotTaken`: no web address, or too long to keep.
    """
    try:
        parts = urlsplit(url.strip())
        if parts.scheme.lower() not in {"http", "https"} or not parts.hostname or "\x00" in url:
            raise ValueError
        tidied = urlunsplit((parts.scheme.lower(), parts.netloc.lower(), parts.path or "/", parts.query, ""))
    except ValueError:
        raise NotTaken("address_refused", url[:100].replace("\x00", "")) from None
    if len(tidied) > LONGEST:
        raise NotTaken("address_refused", f"{len(tidied)} > {LONGEST}")
    return tidied


def is_same_site(one: str, other: str) -> bool:
    """The same host, with or without "www.", on the same port; http and https are one."""
    try:
        return _site(one) == _site(other)
    except ValueError:
        return False


def _site(url: str) -> tuple[str, int | None]:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(url)
    port = parts.port if parts.port not in {80, 443} else None
    return parts.hostname.removeprefix("www."), port
