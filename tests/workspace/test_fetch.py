import ipaddress
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpcore
import pytest

from workspace import fetch
from workspace.fetch import FetchFailed, FetchRefused


class Pages(BaseHTTPRequestHandler):
    hits: list[str] = []

    def do_GET(self) -> None:
        self.hits.append(self.path)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:9/secret")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"x" * (2_000 if self.path == "/large" else 5))

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[str]:
    Pages.hits = []
    http = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()


def test_a_server_of_the_own_network_is_reached_only_when_the_owner_allows_it(server: str, settings) -> None:
    with pytest.raises(FetchRefused):
        fetch.fetch(f"http://{server}/")
    assert Pages.hits == []

    settings.BATON_FETCH_ALLOW = frozenset({server})
    assert fetch.fetch(f"http://{server}/").body == b"xxxxx"


def test_redirects_are_answers_and_are_not_followed(server: str, settings) -> None:
    settings.BATON_FETCH_ALLOW = frozenset({server})
    answer = fetch.fetch(f"http://{server}/moved")
    assert (answer.status, answer.headers["location"]) == (302, "http://127.0.0.1:9/secret")


def test_an_answer_larger_than_allowed_is_cut_off(server: str, settings) -> None:
    settings.BATON_FETCH_ALLOW = frozenset({server})
    with pytest.raises(FetchFailed, match="larger"):
        fetch.fetch(f"http://{server}/large", max_bytes=1_000)


def test_nobody_at_home_is_a_failure_not_a_crash(settings) -> None:
    settings.BATON_FETCH_ALLOW = frozenset({"127.0.0.1:9"})
    with pytest.raises(FetchFailed):
        fetch.fetch("http://127.0.0.1:9/")


class Recorder(httpcore.NetworkBackend):
    """Stands where sockets are opened and writes down where they would have gone."""

    def __init__(self) -> None:
        self.connected: list[str] = []

    def connect_tcp(self, host, port, *_, **__):
        self.connected.append(host)
        raise httpcore.ConnectError("recorded")


def attempt(url: str, names: dict[str, list[str]], monkeypatch) -> tuple[list[str], bool]:
    """Where fetching `url` would connect to, and whether it was refused; `names` answers the name server's part."""

    def resolve(host, port, *_, **__):
        try:
            addresses = [str(ipaddress.ip_address(host.strip("[]").partition("%")[0]))]
        except ValueError:
            if host in names:
                addresses = names[host]
            else:
                try:
                    addresses = [socket.inet_ntoa(socket.inet_aton(host))]  # the short and odd forms systems accept
                except (OSError, UnicodeError):
                    addresses = ["127.0.0.1"] if "localhost" in host.lower() else ["93.184.216.34"]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    recorder = Recorder()
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(httpcore, "SyncBackend", lambda: recorder)
    try:
        fetch.fetch(url)
    except FetchRefused:
        return recorder.connected, True
    except FetchFailed:
        pass
    return recorder.connected, False


def test_no_listed_attack_reaches_an_address_that_is_not_public(data_folder, monkeypatch) -> None:
    """The URLs of data/security/ssrf: every one expected to be blocked connects nowhere, the others are not refused."""
    reached, refused = [], []
    for line in (data_folder / "security/ssrf/urls.jsonl").read_text().splitlines():
        case = json.loads(line)
        names = {name: answers for name, answers in (case.get("dns") or {}).items() if isinstance(answers, list)}
        flat = {name: [a for a in answers if isinstance(a, str)] or answers[0] for name, answers in names.items()}
        connected, was_refused = attempt(case["url"], flat, monkeypatch)
        if case["expect"] == "block" and connected:
            reached.append((case["url"], case["why"], connected))
        if case["expect"] == "allow" and was_refused:
            refused.append((case["url"], case.get("why")))
    assert reached == []
    assert refused == []


def test_one_private_address_among_the_answers_is_enough_to_refuse(monkeypatch) -> None:
    connected, refused = attempt(
        "http://mixed.example/", {"mixed.example": ["93.184.216.34", "127.0.0.1"]}, monkeypatch
    )
    assert (connected, refused) == ([], True)


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch) -> None:
    connected, _ = attempt("http://shop.example/", {"shop.example": ["93.184.216.34"]}, monkeypatch)
    assert connected == ["93.184.216.34"]


@pytest.mark.parametrize(
    "url",
    ["ftp://shop.example/", "file:///etc/passwd", "http://user:pw@shop.example/", "http://shop.example:22/", "", "x"],
)
def test_what_is_no_plain_web_address_is_refused_without_asking_the_network(url: str) -> None:
    with pytest.raises(FetchRefused):
        fetch.check_url(url)
