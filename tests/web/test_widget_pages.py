"""The widget over plain HTTP: its policy, its cookie, files, and the form for browsers without JavaScript."""

import hmac
import json
from base64 import urlsafe_b64encode

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.core.files.storage import default_storage
from django.test import Client

from chatbot.web.newcomers import MOST_ADDRESSES, Newcomers
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


# --- whom the site vouches for ---
SECRET = "a secret of the shop that is long enough"
PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def vouch(inbox: Inbox, token: str):
    address = f"/widget/{inbox.public_id}/identify/"
    return Client().post(address, {"identity": token}, "application/json", headers={"X-Baton": "widget"})


def claims(inbox: Inbox, **changes: object) -> dict[str, object]:
    return {"sub": "ann-1", "aud": inbox.public_id, "exp": 9_999_999_999} | changes


def forged(inbox: Inbox, key: str) -> str:
    """An HS256 token made with a public key as its secret, which libraries refuse to make."""
    parts = ({"alg": "HS256", "typ": "JWT"}, claims(inbox))
    head, body = (urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    signed = hmac.digest(key.encode(), head + b"." + body, "sha256")
    return (head + b"." + body + b"." + urlsafe_b64encode(signed).rstrip(b"=")).decode()


def test_a_site_vouches_with_its_secret_or_its_private_key(inbox: Inbox) -> None:
    by_secret = jwt.encode(claims(inbox), SECRET, "HS256")
    by_key = jwt.encode(claims(inbox), PRIVATE, "RS256")
    assert [vouch(inbox, token).status_code for token in (by_secret, by_key)] == [403, 403]
    inbox.identity_public_key = PUBLIC
    inbox.save()
    assert [vouch(inbox, token).status_code for token in (by_secret, by_key)] == [403, 200]
    inbox.identity_secret = SECRET
    inbox.save()
    assert [vouch(inbox, token).status_code for token in (by_secret, by_key)] == [200, 200]
    inbox.identity_public_key = ""
    inbox.save()
    assert [vouch(inbox, token).status_code for token in (by_secret, by_key)] == [200, 403]


@pytest.mark.parametrize(
    "token", ["public key as a secret", "another key", "expired", "another inbox", "RS512", "none"]
)
def test_what_a_private_key_did_not_sign_for_this_inbox_and_now_proves_nothing(inbox: Inbox, token: str) -> None:
    inbox.identity_public_key, inbox.identity_secret = PUBLIC, SECRET
    inbox.save()
    another = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    tokens = {
        "public key as a secret": forged(inbox, PUBLIC),
        "another key": jwt.encode(claims(inbox), another, "RS256"),
        "expired": jwt.encode(claims(inbox, exp=1_700_000_000), PRIVATE, "RS256"),
        "another inbox": jwt.encode(claims(inbox, aud="ibx_other"), PRIVATE, "RS256"),
        "RS512": jwt.encode(claims(inbox), PRIVATE, "RS512"),
        "none": jwt.encode(claims(inbox), None, "none"),
    }
    answer = vouch(inbox, tokens[token])
    assert (answer.status_code, answer.json()["code"]) == (403, "identity")
    assert vouch(inbox, forged(inbox, SECRET)).status_code == 200, "the forger's own tokens are well made"


def test_a_reader_of_traditional_chinese_gets_page_and_errors_in_it(inbox: Inbox) -> None:
    inbox.texts = {"greeting": {"en": "Hello!", "zh": "欢迎光临，有什么可以帮您？"}}
    inbox.form = [{"key": "topic", "required": True, "label": {"en": "Topic", "zh": "订单问题"}}]
    inbox.save()
    page = Client().get(f"/widget/{inbox.public_id}/", headers={"accept-language": "zh-TW,zh;q=0.9"})
    assert '<html lang="zh-Hant"' in page.content.decode()
    config = page.context["config"]
    assert config["greeting"] == "歡迎光臨，有什麼可以幫您？"
    assert config["texts"]["person"] == "轉人工客服"
    assert config["form"][0]["label"] == "訂單問題"
    asked = {"language": config["language"]}
    address = f"/widget/{inbox.public_id}/session/"
    refused = Client().post(address, asked, "application/json", headers={"X-Baton": "widget"})
    assert refused.json()["wrong"] == {"topic": "請填寫此項。"}


# --- many at once ---
def come(inbox: Inbox, address: str, **asked: object):
    path = f"/widget/{inbox.public_id}/session/"
    return Client().post(path, asked, "application/json", headers={"X-Baton": "widget"}, REMOTE_ADDR=address)


def test_an_address_that_opens_conversations_without_end_is_told_to_wait_and_others_are_not(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Newcomers(3)
    monkeypatch.setattr("chatbot.web.pages.widget.newcomers", lambda: few)
    assert [come(inbox, "8.8.4.5").status_code for _ in range(5)] == [200, 200, 200, 429, 429]
    assert Conversation.every.count() == 3
    refused = come(inbox, "8.8.4.5", language="zh-hans")
    assert (refused.json()["code"], refused.headers["Retry-After"]) == ("rate", "60")
    assert refused.json()["text"] == "发送得太快了，请稍等片刻再发。"
    assert come(inbox, "8.8.4.6").status_code == 200
    assert {come(inbox, "127.0.0.1").status_code for _ in range(5)} == {200}, "a proxy's own address says nothing"


class TestNewcomers:
    def test_time_makes_room_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = Clock(monkeypatch)
        few = Newcomers(6)
        assert [few.may_come("8.8.8.8") for _ in range(7)] == [True] * 6 + [False]
        clock.now += 10
        assert [few.may_come("8.8.8.8") for _ in range(2)] == [True, False]
        clock.now += 600
        assert [few.may_come("8.8.8.8") for _ in range(7)] == [True] * 6 + [False]

    def test_a_household_is_one_address_and_a_mapped_one_is_itself(self) -> None:
        few = Newcomers(1)
        assert few.may_come("2a00:1450:4001:800::1")
        assert not few.may_come("2a00:1450:4001:800:ffff::2")
        assert few.may_come("2a00:1450:4001:801::1")
        assert few.may_come("8.8.8.8")
        assert not few.may_come("::ffff:8.8.8.8")

    @pytest.mark.parametrize("address", ["", "10.0.0.7", "192.168.1.1", "::1", "fd00::1", "unix:", "::ffff:127.0.0.1"])
    def test_what_is_no_public_address_is_not_counted(self, address: str) -> None:
        few = Newcomers(1)
        assert all(few.may_come(address) for _ in range(5))

    def test_none_is_no_limit(self) -> None:
        assert all(Newcomers(0).may_come("8.8.8.8") for _ in range(100))

    def test_addresses_do_not_pile_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = Clock(monkeypatch)
        few = Newcomers(2)
        for number in range(MOST_ADDRESSES + 50):
            few.may_come(f"9.{number // 65536}.{number // 256 % 256}.{number % 256}")
        assert len(few._left) == MOST_ADDRESSES
        clock.now += 61
        few.may_come("8.8.8.8")
        assert list(few._left) == ["8.8.8.8"]


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr("chatbot.web.newcomers.time.monotonic", lambda: self.now)
