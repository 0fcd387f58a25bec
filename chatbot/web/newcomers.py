"""How many new visitors one address may bring: who opens conversations by the thousand is told to wait.

Counted in each process, in memory, by the address that the server sees (behind a proxy, the one it forwards). An address that is
not public is a proxy's, or of one's own network, and not counted. The addresses themselves are kept for a minute, nowhere else.
"""

import threading
import time
from collections import OrderedDict
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from django.conf import settings

MINUTE_S = 60.0
MOST_ADDRESSES = 10_000
IPV6_PREFIX = 64  # a household's


class Newcomers:
    """`a_minute` from each address on average and at once; 0: any number."""

    def __init__(self, a_minute: int) -> None:
        self._most = a_minute
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # how many more may come, and as of when

    def may_come(self, address: str) -> bool:
        place = _place(address)
        if not self._most or not place:
            return True
        with self._lock:  # pages run in threads
            now = time.monotonic()
            left, at = self._left.pop(place, (float(self._most), now))
            left = min(float(self._most), left + (now - at) * self._most / MINUTE_S)
            self._left[place] = (left - 1 if left >= 1 else left, now)
            self._forget(now)
            return left >= 1

    def _forget(self, now: float) -> None:
        """Whoever was not there for a minute may bring as many as somebody new."""
        while self._left:
            place, (_, at) = next(iter(self._left.items()))
            if now - at < MINUTE_S and len(self._left) <= MOST_ADDRESSES:
                return
            del self._left[place]


@lru_cache(maxsize=1)
def newcomers() -> Newcomers:
    """Those of this process."""
    return Newcomers(settings.NEW_VISITORS_A_MINUTE)


def _place(address: str) -> str:
    """What is counted as one address; empty for what is not counted."""
    try:
        read = ip_address(address)
    except ValueError:
        return ""  # a socket without one
    if isinstance(read, IPv6Address):
        if read.ipv4_mapped:
            return _place(str(read.ipv4_mapped))
        return str(ip_network((read, IPV6_PREFIX), strict=False)) if read.is_global else ""
    return str(read) if read.is_global else ""
