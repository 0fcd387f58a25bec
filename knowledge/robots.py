"""What a site's robots.txt allows us, and how fast (RFC 9309, read by Protego)."""

from functools import cached_property

from protego import Protego

from knowledge.visit import AGENT, NotTaken, origin, visit

MAX_BYTES = 500 * 1024  # RFC 9309: at least this much is read
LEAST_DELAY_S = 0.2
MOST_DELAY_S = 30.0


class Robots:
    """The rules for us, from a file's text; an empty text allows everything."""

    def __init__(self, text: str) -> None:
        self.text = text

    def allow(self, url: str) -> bool:
        return bool(self._rules.can_fetch(url, AGENT))

    @property
    def delay_s(self) -> float:
        """At least so long between two requests: what the site asks for, within our own bounds."""
        rate = self._rules.request_rate(AGENT)
        pace = rate.seconds / rate.requests if rate and rate.requests else 0.0
        asked = float(self._rules.crawl_delay(AGENT) or 0.0)
        return min(MOST_DELAY_S, max(LEAST_DELAY_S, asked, pace))

    @property
    def sitemaps(self) -> list[str]:
        return list(self._rules.sitemaps)

    @cached_property
    def _rules(self) -> Protego:
        return Protego.parse(self.text)


def read_robots(url: str) -> Robots:
    """The rules of the site that `url` is on. A site without any (4xx) allows everything; one whose server fails, nothing.

    Raises `NotTaken`: the address may not be fetched, or robots_unreachable.
    """
    try:
        found = visit(f"{origin(url)}/robots.txt", max_bytes=MAX_BYTES)
    except NotTaken as problem:
        if problem.code == "address_refused":
            raise
        is_client_error = problem.code == "http_status" and problem.detail.startswith("HTTP 4")
        if problem.code in {"off_site", "too_many_redirects"} or (is_client_error and problem.detail != "HTTP 429"):
            return Robots("")
        raise NotTaken("robots_unreachable", problem.detail) from None
    return Robots(found.body.decode("utf-8", "replace").replace("\x00", ""))
