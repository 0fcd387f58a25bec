"""The widget over plain HTTP: its policy, its cookie, files, and the form for browsers without JavaScript."""

import pytest
from django.core.files.storage import default_storage
from django.test import Client

from conversations.models import Attachment, Conversation, Inbox
from tests.conftest import person
from workspace.models import User, Workspace
from workspace.roles import Role

pytestmark = pytest.mark.django_db(transaction=True)  # uploads are kept by another thread


def test_the_frame_page_allows_nothing_but_our_own_files(inbox_page) -> None:
    policy = inbox_page.headers["Content-Security-Policy"]
    for rule in ("default-src 'none'", "script-src 'self'", "form-action 'none'", "require-trusted-types-for 'script'"):
        assert rule in policy.split("; ")
    assert "frame-ancestors 'self' https://shop.example" in policy
    assert "unsafe" not in policy
    assert "X-Frame-Options" not in inbox_page.headers
    assert not inbox_page.cookies


@pytest.fixture
def inbox_page(inbox: Inbox):
    inbox.allowed_domains = ["shop.example", "javascript:alert(1)", "a b"]
    inbox.save()
    return Client().get(f"/widget/{inbox.public_id}/")


def test_the_session_is_a_cookie_that_only_this_host_and_site_get(inbox: Inbox) -> None:
    client = Client()
    path = f"/widget/{inbox.public_id}/session/"
    assert client.post(path, "{}", content_type="application/json").status_code == 400  # another site's form
    response = client.post(path, "{}", content_type="application/json", headers={"X-Baton": "widget"})
    cookie = response.cookies[f"__Host-baton-{inbox.public_id}"].OutputString()
    for part in ("HttpOnly", "Secure", "SameSite=None", "Partitioned", "Path=/"):
        assert part in cookie
    assert "Domain" not in cookie
    assert "token" not in response.json()


def test_a_file_is_given_inert_and_only_to_those_whose_it_is(inbox: Inbox, mei: User) -> None:
    visitor, stranger = Client(), Client()
    home = f"/widget/{inbox.public_id}/"
    ours = {"X-Baton": "widget"}
    for client in (visitor, stranger):
        client.post(f"{home}session/", "{}", content_type="application/json", headers=ours)
    sent = visitor.post(
        f"{home}files/?id=one",
        b"order 4711",
        content_type="application/octet-stream",
        headers=ours | {"X-File-Name": "a%22b.txt"},
    )
    address = f"{home}files/{sent.json()['id']}/"
    answer = visitor.get(address)
    assert answer.content == b"order 4711"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert "private" in answer.headers["Cache-Control"]
    assert stranger.get(address).status_code == 404
    assert Client().get(address).status_code == 403

    row = Attachment.every.get()
    agent = Client()
    agent.force_login(mei)
    assert agent.get(f"/files/{row.public_id}/").content == b"order 4711"
    other = Client()
    other.force_login(person(Workspace.objects.create(name="Other"), "eve", "Eve", Role.ADMIN))
    assert other.get(f"/files/{row.public_id}/").status_code == 404
    assert Client().get(f"/files/{row.public_id}/").status_code == 302
    default_storage.delete(row.path)
    assert agent.get(f"/files/{row.public_id}/").status_code == 404


@pytest.mark.parametrize(
    ("body", "headers", "query", "code"),
    [
        (b"x", {}, "?id=one", "malformed"),
        (b"x", {"X-Baton": "widget", "Origin": "https://evil.example"}, "?id=one", "malformed"),
        (b"x", {"X-Baton": "widget"}, "", "malformed"),
        (b"a" * 101, {"X-Baton": "widget"}, "?id=one", "file_too_large"),
        (b"MZ\x00", {"X-Baton": "widget"}, "?id=one", "file_type"),
    ],
)
def test_bad_uploads_have_a_code_and_leave_nothing(inbox: Inbox, settings, body, headers, query, code) -> None:
    settings.VISITOR_FILE_MAX_BYTES = 100
    client = Client()
    home = f"/widget/{inbox.public_id}/"
    client.post(f"{home}session/", "{}", content_type="application/json", headers={"X-Baton": "widget"})
    answer = client.post(f"{home}files/{query}", body, content_type="application/octet-stream", headers=headers)
    assert answer.json()["code"] == code
    assert answer.json()["text"]
    assert Attachment.every.count() == 0


def test_a_message_left_by_a_robot_or_from_another_site_is_refused(inbox: Inbox) -> None:
    path = f"/chat/{inbox.public_id}/message/"
    good = {"email": "a@example.com", "message": "hi"}
    for data, origin in (
        (good, ""),
        (good, "https://evil.example"),
        (good | {"website": "x"}, "http://testserver"),
        (good | {"email": "no"}, "http://testserver"),
        (good | {"message": " "}, "http://testserver"),
    ):
        answer = Client().post(path, data, headers={"Origin": origin})
        assert answer.status_code == 400
    assert Conversation.every.count() == 0
    assert Client().post(path, good, headers={"Origin": "http://testserver"}).status_code == 200


def test_a_flood_of_left_messages_is_stopped(inbox: Inbox, monkeypatch) -> None:
    monkeypatch.setattr("chatbot.web.pages.widget.MOST_LEFT_AN_HOUR", 2)
    path = f"/chat/{inbox.public_id}/message/"
    answers = [
        Client().post(path, {"email": "a@example.com", "message": "hi"}, headers={"Origin": "http://testserver"})
        for _ in range(3)
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 400]
    assert b"a lot at once" in answers[2].content
