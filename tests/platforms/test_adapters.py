"""The adapters alone against the request vectors: bytes and clock in, messages out, no database and no network."""

import base64
import hashlib
import hmac
import json

import pytest

from chatbot.platforms.adapter import Inbound, Malformed, Received, Reject
from chatbot.platforms.generic import sign
from chatbot.platforms.registry import adapter_for
from tests.platforms.vectors import (
    FOLDER,
    Vector,
    body_of,
    cases,
    clock_of,
    config_of,
    differences,
    load,
    name_of,
    received,
)

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no test data (BATON_DATA)")

WEIRD = [None, True, 0, -1, 1.5, 10**30, "", "x", "\u0000", [], [None], [[]], {}, {"a": 1}, "9" * 400]


def read(platform: str, vector: Vector, request: Received | None = None) -> list[Inbound]:
    adapter = adapter_for(platform, config_of(platform, vector))
    payload = adapter.verify(request or received(vector["request"]), clock_of(platform, vector))
    return adapter.parse(payload)


def with_verdict(*verdicts: str) -> list[tuple[str, Vector]]:
    return [(platform, vector) for platform, vector in cases("vectors") if vector["expect"]["verdict"] in verdicts]


@pytest.mark.parametrize(("platform", "vector"), with_verdict("accept"), ids=name_of)
def test_an_authentic_request_gives_its_messages(platform: str, vector: Vector) -> None:
    messages, expect = read(platform, vector), vector["expect"]
    alternatives = expect.get("messages_any_of", [expect.get("messages")])
    found = [
        [differences(message, wanted) for message, wanted in zip(messages, wanted_all, strict=True)]
        for wanted_all in alternatives
        if len(wanted_all) == len(messages)
    ]
    assert any(not any(differing) for differing in found), found or messages


@pytest.mark.parametrize(("platform", "vector"), with_verdict("reject"), ids=name_of)
def test_a_request_that_is_not_authentic_is_rejected(platform: str, vector: Vector) -> None:
    with pytest.raises(Reject):
        read(platform, vector)


@pytest.mark.parametrize(("platform", "vector"), with_verdict("discard"), ids=name_of)
def test_an_unusable_request_is_malformed_and_nothing_worse(platform: str, vector: Vector) -> None:
    with pytest.raises(Malformed):
        read(platform, vector)


@pytest.mark.parametrize(("platform", "vector"), with_verdict("accept_or_discard"), ids=name_of)
def test_a_doubtful_request_is_read_or_malformed(platform: str, vector: Vector) -> None:
    try:
        messages = read(platform, vector)
    except Malformed:
        return
    forbidden = set(vector["expect"].get("never_request", []))
    assert not forbidden & {file.url for message in messages for file in message.attachments}


def test_every_verdict_of_the_files_is_tested_here() -> None:
    known = {"accept", "reject", "discard", "accept_or_discard"}
    assert {vector["expect"]["verdict"] for _, vector in cases("vectors")} <= known
    assert len(cases("vectors")) > 40


@pytest.mark.parametrize("platform", ["generic", "telegram"])
def test_the_same_delivery_has_the_same_key_and_another_has_another(platform: str) -> None:
    vectors = [vector for each, vector in with_verdict("accept") if each == platform]
    keys = [message.dedupe_key for vector in vectors for message in read(platform, vector)]
    again = [message.dedupe_key for vector in vectors for message in read(platform, vector)]
    assert keys == again
    assert len(set(keys)) == len(keys) > 5


@pytest.mark.parametrize(("platform", "vector"), with_verdict("accept"), ids=name_of)
def test_one_changed_byte_of_a_proof_is_refused(platform: str, vector: Vector) -> None:
    """The signature covers the whole body of the signed webhook; Telegram proves itself by its header alone."""
    request = received(vector["request"])
    name = "webhook-signature" if platform == "generic" else "x-telegram-bot-api-secret-token"
    proof = request.headers[name]
    for at in (3, len(proof) // 2, len(proof) - 2):
        changed = proof[:at] + ("A" if proof[at] != "A" else "B") + proof[at + 1 :]
        if platform == "generic" and len(proof.split(" ")) > 1:
            changed = " ".join("v1," + "A" * 43 + "=" for _ in proof.split(" "))
        with pytest.raises(Reject):
            read(platform, vector, Received(request.method, {**request.headers, name: changed}, request.body))
    if platform == "generic" and request.body:
        with pytest.raises(Reject):
            read(platform, vector, Received(request.method, request.headers, request.body + b" "))


@pytest.mark.parametrize("proof", ["é", "\u00ff" * 40, "v1,é", ",", "v1", "v1,", " " * 300, "v1," + "=" * 9_000])
@pytest.mark.parametrize("platform", ["generic", "telegram"])
def test_a_strange_proof_is_refused_not_an_error(platform: str, proof: str) -> None:
    _, vector = next(case for case in with_verdict("accept") if case[0] == platform)
    request = received(vector["request"])
    name = "webhook-signature" if platform == "generic" else "x-telegram-bot-api-secret-token"
    with pytest.raises(Reject):
        read(platform, vector, Received("POST", {**request.headers, name: proof}, request.body))


@pytest.mark.parametrize("stamp", ["", " ", "-5", "1e9", "१७९", "²", "9" * 5_000, "0x10", "1790000000.0", "NaN"])
def test_a_strange_timestamp_is_refused_even_when_it_is_signed(stamp: str) -> None:
    config = load("generic")["config"]
    headers = {
        "webhook-id": "msg_1", "webhook-timestamp": stamp,
        "webhook-signature": sign(config["secrets"][0], "msg_1", stamp, b"{}"),
    }  # fmt: skip
    with pytest.raises(Reject):
        adapter_for("generic", config).verify(Received("POST", headers, b"{}"), load("generic")["clock"])


@pytest.mark.parametrize("offset", [-300, -1, 0, 1, 300])
def test_five_minutes_either_way_are_fresh(offset: int) -> None:
    config, now = load("generic")["config"], load("generic")["clock"]
    stamp = str(now + offset)
    headers = {
        "webhook-id": "msg_1", "webhook-timestamp": stamp,
        "webhook-signature": sign(config["secrets"][0], "msg_1", stamp, b"{}"),
    }  # fmt: skip
    assert adapter_for("generic", config).verify(Received("POST", headers, b"{}"), now)["payload"] == {}


@pytest.mark.parametrize("secrets", [[], [""], ["whsec_"], None])
def test_an_inbox_without_a_secret_accepts_nobody(secrets: list[str] | None) -> None:
    """An empty key would sign for everybody."""
    empty = sign_with_empty_key("msg_1", "1790000000", b"{}")
    headers = {"webhook-id": "msg_1", "webhook-timestamp": "1790000000", "webhook-signature": empty}
    with pytest.raises(Reject):
        adapter_for("generic", {"secrets": secrets}).verify(Received("POST", headers, b"{}"), 1790000000)
    with pytest.raises(Reject):
        adapter_for("telegram", {"secret_token": ""}).verify(
            Received("POST", {"x-telegram-bot-api-secret-token": ""}, b"{}"), 0
        )


@pytest.mark.parametrize(("platform", "vector"), with_verdict("accept"), ids=name_of)
def test_any_field_of_any_kind_is_read_or_malformed(platform: str, vector: Vector) -> None:
    """Each value of an authentic body is replaced by each strange one: never another exception than `Malformed`."""
    adapter = adapter_for(platform, config_of(platform, vector))
    whole = json.loads(body_of(vector["request"]))
    for path in paths(whole):
        for strange in WEIRD:
            changed = replaced(whole, path, strange)
            payload = {"delivery": "msg_1", "payload": changed} if platform == "generic" else changed
            try:
                messages = adapter.parse(payload)
            except Malformed:
                continue
            for message in messages:
                kinds = (message.user_id, message.conversation_id, message.text or "", message.user_name or "")
                assert all(isinstance(value, str) for value in kinds), (path, strange)


def test_half_a_character_is_malformed() -> None:
    r"""JSON may hold ``\ud83d`` without its other half; no database stores that."""
    body = rb'{"update_id": 1, "message": {"text": "\ud83d"}}'
    adapter = adapter_for("telegram", {"secret_token": "s"})
    with pytest.raises(Malformed):
        adapter.verify(Received("POST", {"x-telegram-bot-api-secret-token": "s"}, body), 0)


@pytest.mark.parametrize(("platform", "entry"), cases("outbound"), ids=name_of)
def test_what_we_send_is_signed_as_the_standard_says(platform: str, entry: Vector) -> None:
    given = entry["input"]
    signature = sign(given["secret"], given["webhook-id"], given["webhook-timestamp"], body_of(given))
    assert signature == entry["expect"]["webhook-signature"]


def sign_with_empty_key(delivery: str, stamp: str, body: bytes) -> str:
    content = delivery.encode() + b"." + stamp.encode() + b"." + body
    return "v1," + base64.b64encode(hmac.new(b"", content, hashlib.sha256).digest()).decode()


def paths(value: object, here: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """The way to every value inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way for key, part in inside for way in ((*here, key), *paths(part, (*here, key)))]


def replaced(value: object, path: tuple[object, ...], new: object) -> object:
    """A copy with one value changed."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)  # type: ignore[call-overload]
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy
