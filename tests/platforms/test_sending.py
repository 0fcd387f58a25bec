"""What the adapters send, to a real server, and what they make of its answers."""

import datetime as dt
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook as Standard

from chatbot.platforms.adapter import Limits, Outgoing, Sent, split
from chatbot.platforms.registry import UnknownPlatform, adapter_for
from tests.outside import Outside, Say, outside, telegram_says
from tests.platforms.vectors import PLATFORMS, load, name_of
from workspace import fetch

TEXT = "您好，订单已发出，预计明天送达。"
SECRETS = ["whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0", "whsec_b2xkLXNlY3JldC1vbGQtc2VjcmV0LW9sZA=="]
UNITS = {"utf8_bytes": "bytes", "request_body_bytes": "bytes", "utf16_units": "utf16", "chars": "characters"}
SIZE = {
    "bytes": lambda text: len(text.encode()),
    "utf16": lambda text: len(text.encode("utf-16-le")) // 2,
    "characters": len,
}
EXCHANGES = [each for each in load("send_api").get("exchanges", []) if each["platform"] in PLATFORMS]
SAMPLES = load("send_api").get("split_samples", {}).get("texts", [])
LIMITS = load("send_api").get("limits", [])


@pytest.fixture
def server() -> Iterator[Outside]:
    with outside() as server:
        yield server


def part(text: str = TEXT, **more: Any) -> Outgoing:
    when = dt.datetime(2026, 9, 21, 14, 13, 18, tzinfo=dt.UTC)
    return Outgoing(
        **{"id": "msg_1", "text": text, "author": "bot", "thread_id": "590926449", "created_at": when} | more
    )


def by_telegram(server: Outside, outgoing: Outgoing) -> Sent:
    adapter = adapter_for("telegram", {"bot_token": "906433442:TEST", "secret_token": "s", "api": server.address})
    with httpx.Client(trust_env=False) as http:
        return adapter.send(http, outgoing)


def by_webhook(server: Outside, outgoing: Outgoing) -> Sent:
    adapter = adapter_for("generic", {"secrets": SECRETS, "url": f"{server.address}/hooks/chat"})
    with fetch.guarded_client() as http:
        return adapter.send(http, outgoing)


@pytest.mark.parametrize("exchange", EXCHANGES, ids=name_of)
def test_a_platform_s_answer_becomes_an_outcome(exchange: dict[str, Any], server: Outside, settings) -> None:
    settings.BATON_FETCH_ALLOW = frozenset({server.host})
    answers = [Say(answer["status"], answer["body"], answer["headers"]) for answer in exchange["responses"]]
    expect, request = exchange["expect"], exchange["request"]
    if "never_request" in expect:  # a redirect into the own network must not be followed
        answers[0] = Say(302, b"", {"Location": f"{server.address}/inside"})
    if exchange["id"] == "telegram/send-bad-markup":
        answers = answers[1:]  # we send no parse mode, so that this cannot be answered
    server.answers = answers

    telegram = exchange["platform"] == "telegram"
    sent = by_telegram(server, part()) if telegram else by_webhook(server, part())

    assert (sent.outcome, sent.retry_after) == (expect["outcome"], expect.get("retry_after"))
    if "platform_message_id" in expect:
        assert sent.message_id == expect["platform_message_id"]
    (asked,) = server.asked
    assert asked.method == request["method"]
    assert set(request.get("headers_required", [])) <= set(asked.headers)
    if wanted := request.get("json_subset"):
        assert {name: str(asked.json[name]) for name in wanted} == wanted
    wanted_path = httpx.URL(request["url"]).path
    assert asked.path == (re.sub(r"bot[^/]+", "bot906433442:TEST", wanted_path) if telegram else wanted_path)


class TestTelegram:
    def test_text_goes_as_it_is_without_a_parse_mode(self, server: Outside) -> None:
        server.answers = [telegram_says()]
        wild = 'a < b & "c" *not bold* _x_ [y](z) `code` 👋🏽'
        by_telegram(server, part(wild))
        assert server.asked[0].json["text"] == wild
        assert "parse_mode" not in server.asked[0].json

    @pytest.mark.parametrize(
        ("answer", "outcome"),
        [
            (Say(500, b"<html>"), "retry_later"), (Say(502), "retry_later"), (Say(429, b"slow"), "retry_later"),
            (Say(200, b"not json"), "permanent_failure"), (Say(200, []), "permanent_failure"),
            (Say(200, {"ok": True}), "permanent_failure"), (Say(404, {"ok": False}), "permanent_failure"),
            (Say(401, {"ok": False, "description": "Unauthorized"}), "permanent_failure"),
            (Say(429, {"ok": False, "parameters": []}), "retry_later"),
            (Say(429, {"ok": False, "parameters": {"retry_after": "soon"}}), "retry_later"),
        ],
        ids=repr,
    )  # fmt: skip
    def test_a_strange_answer_is_an_outcome_too(self, server: Outside, answer: Say, outcome: str) -> None:
        server.answers = [answer]
        assert by_telegram(server, part()).outcome == outcome

    def test_the_token_is_in_no_outcome(self, server: Outside) -> None:
        server.answers = [Say(401, {"ok": False, "description": "Unauthorized"})]
        assert "TEST" not in repr(by_telegram(server, part()))


class TestSignedWebhook:
    def test_the_reference_implementation_accepts_what_we_send_with_either_secret(
        self, server: Outside, settings
    ) -> None:
        settings.BATON_FETCH_ALLOW = frozenset({server.host})
        assert by_webhook(server, part(citations=[{"n": 1, "title": "FAQ"}])) == Sent("sent", "msg_1")
        asked = server.asked[0]
        for secret in SECRETS:
            Standard(secret).verify(asked.body, dict(asked.headers))
        with pytest.raises(Exception, match="No matching signature"):
            Standard(SECRETS[0]).verify(asked.body + b" ", dict(asked.headers))
        assert asked.json == {
            "type": "message.created",
            "timestamp": "2026-09-21T14:13:18Z",
            "data": {
                "conversation_id": "590926449",
                "message": {"id": "msg_1", "type": "text", "text": TEXT},
                "author": "bot",
                "citations": [{"n": 1, "title": "FAQ"}],
            },
        }

    def test_every_try_has_the_same_id_so_that_the_receiver_can_drop_repeats(self, server: Outside, settings) -> None:
        settings.BATON_FETCH_ALLOW = frozenset({server.host})
        server.answers = [Say(500), Say(200)]
        assert [by_webhook(server, part()).outcome for _ in range(2)] == ["retry_later", "sent"]
        assert {asked.headers["webhook-id"] for asked in server.asked} == {"msg_1"}

    @pytest.mark.parametrize("status", [200, 201, 202, 204])
    def test_every_2xx_is_sent(self, server: Outside, settings, status: int) -> None:
        settings.BATON_FETCH_ALLOW = frozenset({server.host})
        server.answers = [Say(status)]
        assert by_webhook(server, part()).outcome == "sent"

    def test_without_an_address_it_fails_for_good(self) -> None:
        with httpx.Client() as http:
            sent = adapter_for("generic", {"secrets": SECRETS}).send(http, part())
        assert sent.outcome == "permanent_failure"

    def test_an_address_in_the_own_network_is_not_called(self, server: Outside) -> None:
        with pytest.raises(fetch.FetchRefused):
            by_webhook(server, part())
        assert server.asked == []


class TestSplitting:
    @pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit["platform"])
    @pytest.mark.parametrize("text", SAMPLES, ids=lambda text: ascii(text[:12]))
    def test_the_samples_fit_every_platform_and_lose_nothing(self, limit: dict[str, Any], text: str) -> None:
        limits = Limits(limit["text_limit"], UNITS[limit["unit"]])
        parts = check(text, limits)
        whole_emoji = "👨\u200d👩\u200d👧\u200d👦"
        if whole_emoji in text:
            assert all(set(part.split(whole_emoji)) <= {""} for part in parts)

    def test_our_limits_are_the_platform_s(self) -> None:
        wanted = next(limit for limit in LIMITS if limit["platform"] == "telegram")
        ours = adapter_for("telegram", {}).limits
        assert (ours.text, ours.unit) == (wanted["text_limit"], UNITS[wanted["unit"]])

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("one two three", ["one two", "three"]),
            ("First.\n\nSecond.", ["First.", "Second."]),
            ("价格是。多少钱呢？好的。", ["价格是。多少钱呢？", "好的。"]),
            ("abcdefghijklmnop", ["abcdefghij", "klmnop"]),
            ("  padded  ", ["padded"]),
            ("", []),
            (" \n ", []),
        ],
    )
    def test_it_cuts_where_a_reader_would(self, text: str, parts: list[str]) -> None:
        assert list(split(text, Limits(10))) == parts

    @pytest.mark.parametrize("emoji", ["👋🏽", "👨\u200d👩\u200d👧", "❤\ufe0f", "e\u0301", "1\ufe0f\u20e3", "🇳🇴"])
    @pytest.mark.parametrize("offset", range(8))
    def test_a_composed_character_stays_whole(self, emoji: str, offset: int) -> None:
        text = "a" * offset + emoji * 30
        for unit, room in (("utf16", 24), ("bytes", 60), ("characters", 16)):
            parts = check(text, Limits(room, unit))
            assert all(piece.replace(emoji, "").strip("a") == "" for piece in parts), parts

    @settings(max_examples=300, deadline=None)
    @given(
        text=st.text(st.sampled_from("ab \n.。！👋🏽🇳🇴\u200d\ufe0f很é\u0301"), max_size=120),
        room=st.integers(8, 40),
        unit=st.sampled_from(sorted(SIZE)),
    )
    def test_any_text_fits_and_comes_back(self, text: str, room: int, unit: str) -> None:
        check(text, Limits(room, unit))


class TestRegistry:
    def test_a_platform_nobody_serves_is_named(self) -> None:
        for kind in ("widget", "carrier_pigeon", ""):
            with pytest.raises(UnknownPlatform):
                adapter_for(kind, {})


def check(text: str, limits: Limits) -> list[str]:
    """The parts, proven: each fits, none is empty, and together they are the text."""
    parts = list(split(text, limits))
    assert all(0 < SIZE[limits.unit](piece) <= limits.text for piece in parts), (json.dumps(text), parts)
    assert _bare("".join(parts)) == _bare(text)
    return parts


def _bare(text: str) -> str:
    return re.sub(r"\s+", "", text)
