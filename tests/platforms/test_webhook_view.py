"""The request vectors over HTTP, into a real database; and hostile requests, which never get a 500."""

import base64
import datetime as dt
import hashlib
import hmac
import http.client
import json
import time
from typing import Any

import pytest
from django.test import Client, RequestFactory
from standardwebhooks.webhooks import Webhook as Standard

from chatbot.web.webhooks import MAX_BODY, Webhook
from conversations import services
from conversations.models import Author, Contact, Conversation, InboundReceipt, Inbox, Message, Turn
from tests.platforms.vectors import FOLDER, Vector, body_of, cases, clock_of, config_of, name_of
from tests.serving import serving
from workspace.models import Job, Workspace

pytestmark = pytest.mark.django_db

SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
TELEGRAM_SECRET = {"HTTP_X_TELEGRAM_BOT_API_SECRET_TOKEN": "s3cret"}
with_vectors = pytest.mark.skipif(not FOLDER.is_dir(), reason="no test data (BATON_DATA)")


@pytest.fixture
def shop(workspace: Workspace) -> Inbox:
    """An inbox for signed webhooks."""
    return Inbox.objects.of(workspace).create(name="Shop", kind="generic", credentials={"secrets": [SECRET]})


@pytest.fixture
def bot(workspace: Workspace) -> Inbox:
    """An inbox for Telegram."""
    credentials = {"bot_token": "1:T", "secret_token": "s3cret", "bot_username": "acme_bot"}
    return Inbox.objects.of(workspace).create(name="Bot", kind="telegram", credentials=credentials)


def call(inbox: Inbox, request: Vector, now: float) -> Any:
    """Send a vector's request to the view, which believes that it is `now`."""

    class AtItsTime(Webhook):
        clock = staticmethod(lambda: now)

    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in request["headers"]}
    content_type = headers.pop("HTTP_CONTENT_TYPE", "application/json")
    made = RequestFactory().generic(
        request["method"], request["path"], body_of(request), content_type=content_type, **headers
    )
    return AtItsTime.as_view()(made, inbox=inbox.public_id)


def inbox_for(workspace: Workspace, platform: str, vector: Vector) -> Inbox:
    return Inbox.objects.of(workspace).create(name="Any", kind=platform, credentials=config_of(platform, vector))


def said(workspace: Workspace) -> int:
    return Message.objects.of(workspace).filter(author=Author.VISITOR).count()


def deliver(client: Client, inbox: Inbox, body: bytes, delivery: str = "msg_1", **more: Any) -> Any:
    """A request signed by the reference implementation of Standard Webhooks, now."""
    now = dt.datetime.now(dt.UTC)
    return client.post(
        f"/webhooks/{inbox.public_id}/",
        body,
        content_type="application/json",
        headers={
            "webhook-id": delivery,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Standard(SECRET).sign(delivery, now, body.decode("utf-8", "surrogateescape")),
        },
        **more,
    )


def event(
    text: Any = "Do you ship to Norway?", message: Any = "m-1", conversation: Any = "c-1", user: Any = "u-1"
) -> bytes:
    data = {
        "conversation_id": conversation,
        "user": {"id": user, "name": "Li Lei"},
        "message": {"id": message, "type": "text", "text": text},
    }
    return json.dumps({"type": "message.created", "timestamp": "2026-09-21T14:13:18Z", "data": data}).encode()


def update(client: Client, inbox: Inbox, body: Any) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(f"/webhooks/{inbox.public_id}/", data, content_type="application/json", **TELEGRAM_SECRET)


def group_message(text: str) -> dict[str, Any]:
    return {
        "update_id": 9,
        "message": {
            "message_id": 1, "date": 1, "text": text,
            "from": {"id": 7, "is_bot": False, "first_name": "Li"}, "chat": {"id": -100, "type": "supergroup"},
        },
    }  # fmt: skip


def problem(response: Any) -> tuple[int, str]:
    """Status and code of a refusal, which always has words for people too."""
    body = json.loads(response.content)
    assert body["text"]
    return response.status_code, body["code"]


@with_vectors
class TestVectors:
    @pytest.mark.parametrize(("platform", "vector"), cases("vectors"), ids=name_of)
    def test_the_status_and_what_is_stored(self, workspace: Workspace, platform: str, vector: Vector) -> None:
        inbox, expect = inbox_for(workspace, platform, vector), vector["expect"]
        began = time.monotonic()
        response = call(inbox, vector["request"], clock_of(platform, vector))

        assert time.monotonic() - began < expect.get("max_seconds", 5)
        assert response.status_code in expect["http"]["status"]
        for secret in expect["http"].get("body_must_not_contain", []):
            assert secret not in response.content.decode()
        counts = [len(messages) for messages in expect.get("messages_any_of", [expect.get("messages", [])])]
        if expect["verdict"] != "accept_or_discard":
            assert said(workspace) in counts
        if expect["verdict"] == "reject":
            assert problem(response)[1] == "refused"
            assert not InboundReceipt.objects.of(workspace).exists()
            assert not Contact.objects.of(workspace).exists()

    @pytest.mark.parametrize(("platform", "sequence"), cases("sequences"), ids=name_of)
    def test_what_is_sent_again_is_stored_once(self, workspace: Workspace, platform: str, sequence: Vector) -> None:
        inbox = inbox_for(workspace, platform, sequence)
        for step in sequence["steps"]:
            before = said(workspace)
            response = call(inbox, step["request"], clock_of(platform, step, sequence))
            assert response.status_code in step["expect"]["http"]["status"]
            assert said(workspace) - before == step["expect"]["new_messages"]
        assert Job.objects.of(workspace).filter(kind=services.ANSWER_JOB).count() == said(workspace)

    @pytest.mark.parametrize("platform", ["generic", "telegram"])
    def test_the_same_key_at_another_inbox_is_another_message(self, workspace: Workspace, platform: str) -> None:
        vector = next(vector for each, vector in cases("vectors") if each == platform)
        for _ in range(2):
            call(inbox_for(workspace, platform, vector), vector["request"], clock_of(platform, vector))
        assert said(workspace) == 2


class TestSignedWebhook:
    def test_what_the_reference_implementation_signs_is_taken_in(self, client: Client, shop: Inbox) -> None:
        assert deliver(client, shop, event()).status_code == 202
        message = Message.objects.of(shop.workspace).get()
        assert (message.text, message.conversation.contact.name) == ("Do you ship to Norway?", "Li Lei")

    def test_it_needs_the_inbox_s_own_secret(self, client: Client, shop: Inbox) -> None:
        shop.credentials = {"secrets": ["whsec_b3RoZXItb3RoZXItb3RoZXItb3RoZXI="]}
        shop.save()
        assert problem(deliver(client, shop, event())) == (403, "refused")

    def test_a_secret_that_is_being_replaced_still_serves(self, client: Client, shop: Inbox) -> None:
        shop.credentials = {"secrets": ["whsec_bmV3LW5ldy1uZXctbmV3LW5ldy1uZXc=", SECRET]}
        shop.save()
        assert deliver(client, shop, event()).status_code == 202

    def test_one_message_under_two_delivery_ids_is_one_message(self, client: Client, shop: Inbox) -> None:
        for delivery in ("msg_1", "msg_2"):
            assert deliver(client, shop, event(), delivery).status_code == 202
        assert said(shop.workspace) == 1

    def test_long_ids_that_begin_alike_are_different_messages(self, client: Client, shop: Inbox) -> None:
        for number in (1, 2):
            long = f"urn:example:{'x' * 250}:{number}"
            assert deliver(client, shop, event(f"Question {number}", message=long), long).status_code == 202
        assert said(shop.workspace) == 2

    @pytest.mark.parametrize("text", ["\u0000", " \u0000 ", "", None, "   \n"])
    def test_a_message_of_nothing_gets_a_friendly_word_and_no_thought(
        self, client: Client, shop: Inbox, text: str | None
    ) -> None:
        assert deliver(client, shop, event(text)).status_code == 202
        answer = Message.objects.of(shop.workspace).get(author=Author.BOT)
        assert "I can only read text here" in answer.text
        assert not Job.objects.of(shop.workspace).filter(kind=services.ANSWER_JOB).exists()

    @pytest.mark.parametrize("where", ["message", "conversation", "user", "text"])
    @pytest.mark.parametrize("strange", ["a\u0000b", "👩🏽‍🚀" * 40, "' OR 1=1 --", "\u202e\u0007", "x" * 100_000])
    def test_strange_characters_anywhere_are_stored_or_refused(
        self, client: Client, shop: Inbox, where: str, strange: str
    ) -> None:
        response = deliver(client, shop, event(**{where: strange}))
        assert response.status_code in {202, 400}
        assert said(shop.workspace) == (response.status_code == 202)

    def test_a_hundred_thousand_characters_are_cut_to_what_a_message_holds(self, client: Client, shop: Inbox) -> None:
        assert deliver(client, shop, event("很" * 100_000)).status_code == 202
        assert Message.objects.of(shop.workspace).get(author=Author.VISITOR).text == "很" * services.MAX_TEXT

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"[]", b"null", b'"x"', b"{}", b'{"type": 1}', b'{"type": "message.created"}', b"\xff\xfe\x00\x01",
         b"[" * 100_000, b'{"a":' * 5_000, b'{"type":' + b"9" * 5_000 + b"}", rb'{"type": "\ud800"}',
         rb'{"type": "message.created", "data": {"text": "\udc00\ud83d"}}', bytes(range(256)) * 40],
        ids=lambda body: repr(body[:24]),
    )  # fmt: skip
    def test_a_signed_body_that_makes_no_sense_is_malformed(self, client: Client, shop: Inbox, body: bytes) -> None:
        now = dt.datetime.now(dt.UTC)
        signed = _sign(body, now)
        response = client.post(
            f"/webhooks/{shop.public_id}/",
            body,
            content_type="application/octet-stream",
            headers={
                "webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signed,
            },
        )  # fmt: skip
        assert problem(response) == (400, "malformed")
        assert not Conversation.objects.of(shop.workspace).exists()


class TestTelegram:
    def test_an_update_is_a_message_with_its_answer_owed(self, client: Client, bot: Inbox) -> None:
        private = group_message("Do you ship to Norway?")
        private["message"]["chat"] = {"id": 7, "type": "private"}
        assert update(client, bot, private).status_code == 200
        turn = Turn.objects.of(bot.workspace).get()
        assert Job.objects.of(bot.workspace).get().payload == {"turn": turn.public_id}

    def test_in_a_group_the_bot_listens_only_when_it_is_named(self, client: Client, bot: Inbox) -> None:
        assert update(client, bot, group_message("Lunch, anybody?")).status_code == 200
        assert said(bot.workspace) == 0
        assert update(client, bot, group_message("@Acme_Bot do you ship?")).status_code == 200
        assert said(bot.workspace) == 1

    def test_start_gets_the_greeting_at_once(self, client: Client, bot: Inbox) -> None:
        started = group_message("/start ref_42")
        started["message"]["chat"] = {"id": 7, "type": "private"}
        update(client, bot, started)
        answer = Message.objects.of(bot.workspace).get(author=Author.BOT)
        assert answer.text == "Hello! How can I help you?"
        assert answer.delivery == Message.Delivery.PENDING

    def test_the_proof_comes_before_the_reading(self, client: Client, bot: Inbox) -> None:
        """Who cannot prove to be Telegram does not even learn that the body is broken."""
        response = client.post(f"/webhooks/{bot.public_id}/", b"{", content_type="application/json")
        assert problem(response) == (403, "refused")


class TestTheDoor:
    @pytest.mark.parametrize("inbox", ["ibx_unknown", "x" * 3_000, "%00", "ibx_%00", "../../etc", "💥", "' OR 1=1"])
    def test_an_inbox_that_is_not_there_is_a_404(self, client: Client, db: None, inbox: str) -> None:
        assert client.post(f"/webhooks/{inbox}/", b"{}", content_type="application/json").status_code == 404

    def test_a_widget_and_a_closed_inbox_have_no_webhook(self, client: Client, inbox: Inbox, bot: Inbox) -> None:
        assert problem(update(client, inbox, {})) == (404, "not_found")
        Inbox.every.filter(pk=bot.pk).update(active=False)
        assert problem(update(client, bot, {})) == (404, "not_found")

    def test_a_method_that_no_platform_uses_is_a_405(self, client: Client, bot: Inbox) -> None:
        for method in (client.put, client.patch, client.delete, client.head, client.options):
            assert method(f"/webhooks/{bot.public_id}/").status_code == 405

    def test_a_get_without_a_handshake_is_refused(self, client: Client, bot: Inbox, shop: Inbox) -> None:
        assert problem(client.get(f"/webhooks/{bot.public_id}/")) == (403, "refused")
        assert problem(client.get(f"/webhooks/{shop.public_id}/?hub.challenge=1")) == (403, "refused")

    def test_a_body_that_is_too_large_is_a_413(self, client: Client, bot: Inbox) -> None:
        assert problem(update(client, bot, b" " * (MAX_BODY + 1))) == (413, "too_large")
        assert update(client, bot, b'{"update_id": 1}' + b" " * (MAX_BODY - 16)).status_code == 200

    @pytest.mark.django_db(transaction=True)
    def test_a_large_body_without_a_length_is_a_413_too(self, bot: Inbox) -> None:
        """Over a real server: a chunked body names no length beforehand."""
        from chatbot.asgi import application

        chunks = [b" " * 65_536] * (MAX_BODY // 65_536 + 1)
        with serving(application) as port:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("POST", f"/webhooks/{bot.public_id}/", iter(chunks), encode_chunked=True)
            response = connection.getresponse()
            assert (response.status, json.loads(response.read())["code"]) == (413, "too_large")
            connection.close()

    def test_a_refusal_is_logged_without_what_was_sent(self, client: Client, bot: Inbox, caplog) -> None:
        client.post(
            f"/webhooks/{bot.public_id}/", b'{"text": "my words"}', content_type="application/json",
            headers={"x-telegram-bot-api-secret-token": "wrong-secret"},
        )  # fmt: skip
        logged = " ".join(str(record.__dict__) for record in caplog.records)
        assert "webhook refused" in logged
        assert "my words" not in logged
        assert "wrong-secret" not in logged


def _sign(body: bytes, now: dt.datetime) -> str:
    """As `standardwebhooks`, which signs only text."""
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    content = f"msg_1.{int(now.timestamp())}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
