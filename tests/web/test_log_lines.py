"""What a server writes about requests: their addresses, without the secrets in them."""

import logging
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from chatbot.log_lines import Line
from tests.serving import ServerProcess
from workspace.login_links import make_login_link
from workspace.models import User

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def status(address: str, data: bytes | None = None) -> int:
    try:
        with DIRECT.open(urllib.request.Request(address, data)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


@pytest.mark.django_db(transaction=True)
def test_the_secret_of_a_sign_in_link_is_in_no_line_that_a_server_writes(tmp_path: Path, mei: User) -> None:
    secret = make_login_link(mei)
    server = ServerProcess("chatbot.asgi:application", tmp_path)
    try:
        server.wait()
        link = f"http://{server.address}/login/link/{secret}"
        assert status(f"{link}/") == 200
        assert status(link) == 200  # by way of a redirect
        assert status(f"{link}/", b"") == 403  # without a form's token, which Django writes down
        assert status(f"http://{server.address}/nowhere/?token={secret}&page=2") == 404
    finally:
        server.end()
    written = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert secret not in written
    assert "GET /login/link/…/ HTTP/1.1" in written
    assert "/nowhere/?token=…&page=2" in written
    assert "Forbidden (CSRF cookie not set.): /login/link/…/" in written


def test_an_error_that_holds_an_address_is_blanked_too() -> None:
    try:
        raise OSError("https://api.telegram.org/bot123:AAE-secret/sendMessage failed")
    except OSError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "failed", (), sys.exc_info())
    line = Line().format(record)
    assert "secret" not in line
    assert "https://api.telegram.org/bot…/sendMessage" in line
