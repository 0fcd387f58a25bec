"""The one way to fetch a URL that came from outside: a reply address, a media link, a page to read.

Names are resolved once, every answer must be a public address, the connection goes to the address that was checked
(so a name that changes its mind between check and use gains nothing), redirects are not followed, and size and total
time are bounded. ``BATON_FETCH_ALLOW`` lists ``host:port`` pairs of the owner's own network that are let through.
"""

import ipaddress
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx
from django.conf import settings

MAX_BYTES = 10 * 1024 * 1024
TOTAL_S = 15.0
CONNECT_S = 5.0
PORTS = frozenset({80, 443})
LONGEST_NAME = 253  # RFC 1035

_NEVER = (
    ipaddress.ip_network("168.63.129.16/32"),  # a cloud's host agent, on a public address
    ipaddress.ip_network("192.0.0.0/24"),
    ipaddress.ip_network("192.88.99.0/24"),
    ipaddress.ip_network("64:ff9b:1::/48"),
)
_PRIVATE_NAMES = ("localhost", "local", "internal", "intranet", "lan", "home.arpa", "corp", "home")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class FetchRefused(Exception):
    """The URL may not be fetched. The text says why, in words for the owner."""


class FetchFailed(Exception):
    """The URL may be fetched, but no complete answer came back."""


@dataclass(frozen=True)
class Fetched:
    """An answer. `body` has at most `max_bytes` bytes, after decoding."""

    status: int
    headers: httpx.Headers
    body: bytes


def fetch(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
    max_bytes: int = MAX_BYTES,
    total_s: float = TOTAL_S,
) -> Fetched:
    """Fetch `url`. Raises `FetchRefused` or `FetchFailed`; any HTTP status is an answer, redirects included."""
    check_url(url)
    deadline = time.monotonic() + total_s
    try:
        with (
            guarded_client() as client,
            client.stream(method, url, headers=dict(headers or {}), content=content) as response,
        ):
            body = bytearray()
            for piece in response.iter_bytes(64 * 1024):
                body += piece
                if len(body) > max_bytes:
                    raise FetchFailed(f"the answer is larger than {max_bytes:,} bytes")
                if time.monotonic() > deadline:
                    raise FetchFailed(f"the answer took longer than {total_s:g} s")
            return Fetched(response.status_code, response.headers, bytes(body))
    except httpx.TimeoutException:
        raise FetchFailed("the server did not answer in time") from None
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        raise FetchFailed(f"the server could not be read ({type(problem).__name__})") from None


def guarded_client() -> httpx.Client:
    """A client that connects to public addresses only. Call `check_url` first, for what can be told from the URL."""
    return httpx.Client(transport=_GuardedTransport(), timeout=CONNECT_S, follow_redirects=False, trust_env=False)


def check_url(url: str) -> None:
    """Raise `FetchRefused` for a scheme, port, user name or literal address that is never fetched. Asks no name server."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError, TypeError):
        raise FetchRefused("this is not a web address") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise FetchRefused("only http and https addresses can be fetched")
    if parsed.userinfo:
        raise FetchRefused("an address must not contain a user name or password")
    port = parsed.port or (443 if parsed.scheme == "https" else 80)
    if _is_allowed(parsed.host, port):
        return
    if port not in PORTS:
        raise FetchRefused(f"port {port} is not allowed")
    name = parsed.host.rstrip(".").lower()
    if len(name) > LONGEST_NAME:
        raise FetchRefused("this is not a web address")
    if any(name == private or name.endswith(f".{private}") for private in _PRIVATE_NAMES):
        raise FetchRefused("the name belongs to a private network")
    try:
        literal = ipaddress.ip_address(parsed.host.strip("[]"))
    except ValueError:
        return
    if not is_public(literal):
        raise FetchRefused("the address is not on the public internet")


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is a public unicast one, looking through the ways IPv6 wraps IPv4."""
    if isinstance(address, ipaddress.IPv6Address):
        wrapped = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if wrapped is None and address in _NAT64:
            wrapped = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if wrapped is None and int(address) >> 32 == 0:  # the deprecated ::a.b.c.d
            return False
        if wrapped is not None:
            return is_public(wrapped)
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(address in network for network in _NEVER if network.version == address.version)
    )


def _is_allowed(host: str, port: int) -> bool:
    return f"{host.strip('[]').lower()}:{port}" in settings.BATON_FETCH_ALLOW


class _GuardedBackend(httpcore.NetworkBackend):
    """Connects to an address it has checked itself, never to a name."""

    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        address = _resolve(host, port)
        return self._inner.connect_tcp(address, port, timeout, local_address, socket_options)


def _resolve(host: str, port: int) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise httpcore.ConnectError(f"no address for {host}") from None
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if not _is_allowed(host, port) and not all(is_public(address) for address in addresses):
        raise FetchRefused("the address is not on the public internet")
    return str(addresses[0])


class _GuardedTransport(httpx.HTTPTransport):
    """httpx's own transport over a pool that connects through `_GuardedBackend`."""

    def __init__(self) -> None:
        super().__init__()
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=1,
            network_backend=_GuardedBackend(),
        )
