"""A circuit breaker: a provider that keeps failing is left alone for a while, then tried with one call."""

import time
from collections.abc import Callable

FAILURES = 5  # in a row
REST_S = 20.0


class Breaker:
    """Closed, open for `rest_s`, then half open: one call may try. One a provider and process, shared by its event loops."""

    def __init__(
        self, failures: int = FAILURES, rest_s: float = REST_S, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit, self._rest_s, self._now = failures, rest_s, now
        self._failures, self._opened_at, self._trying = 0, 0.0, False

    @property
    def state(self) -> str:
        """``closed``, ``open`` or ``half_open``."""
        if self._failures < self._limit:
            return "closed"
        return "half_open" if self._now() - self._opened_at >= self._rest_s else "open"

    def allows(self) -> bool:
        """Whether a call may be made; when half open, the first that asks is the trial."""
        if self.state == "closed":
            return True
        if self.state == "open" or self._trying:
            return False
        self._trying = True
        return True

    def succeeded(self) -> None:
        self._failures, self._trying = 0, False

    def failed(self) -> None:
        self._failures += 1
        self._trying = False
        if self._failures >= self._limit:
            self._opened_at = self._now()

    def undecided(self) -> None:
        """A call that ended without telling anything about the provider: stopped by us, or refused for its content."""
        self._trying = False
