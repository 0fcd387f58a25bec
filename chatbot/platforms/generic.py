"""Any system that can sign a request: Standard Webhooks 1.0, in and out.

``webhook-id``, ``webhook-timestamp`` and ``webhook-signature: v1,<base64 HMAC-SHA256 of id.timestamp.body>``; several
signatures while a secret is rotated. https://github.com/standard-webhooks/standard-webhooks
"""

import base64
import binascii
import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from chatbot.platforms.adapter import (
    Answer,
    Attachment,
    Inbound,
    Limits,
    Malformed,
    Outgoing,
    Received,
    Reject,
    Sent,
    read_json,
    want,
)

TOLERANCE_S = 300
PREFIX = "whsec_"
TYPES = {"text", "image", "voice", "file"}


class GenericWebhook:
    """Settings: ``secrets`` (the newest first), ``url`` for answers, ``tolerance_seconds``."""

    limits = Limits(text=100_000)
    sends_outside = True

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._secrets: Sequence[str] = [
            secret for secret in map(str, config.get("secrets") or ()) if secret.removeprefix(PREFIX)
        ]  # an empty key would sign for everybody
        self._tolerance_s = int(config.get("tolerance_seconds", TOLERANCE_S))
        self._url = str(config.get("url") or "")

    def verify(self, request: Received, now: float) -> dict[str, Any]:
        delivery = request.headers.get("webhook-id", "")
        stamp = request.headers.get("webhook-timestamp", "")
        given = request.headers.get("webhook-signature", "")
        if not (delivery and stamp and given):
            raise Reject("missing signature")
        if not stamp.isascii() or not stamp.isdigit() or abs(now - int(stamp[:15])) > self._tolerance_s:
            raise Reject("stale")
        expected = [sign(secret, delivery, stamp, request.body).encode() for secret in self._secrets]
        offered = [part.encode() for part in given.split(" ") if part.startswith("v1,")]
        if not any(hmac.compare_digest(mine, theirs) for mine in expected for theirs in offered):
            raise Reject("bad signature")
        return {"delivery": delivery, "payload": read_json(request.body)}

    def handshake(self, request: Received, payload: Any) -> Answer | None:
        return None

    def parse(self, payload: Any) -> list[Inbound]:
        body = payload["payload"]
        if want(body.get("type"), str) != "message.created":
            return []
        data = want(body.get("data"), dict)
        user, message = want(data.get("user"), dict), want(data.get("message"), dict)
        kind = want(message.get("type"), str)
        text = message.get("text")
        return [
            Inbound(
                dedupe_keys=(payload["delivery"], f"message:{want(message.get('id'), str)}"),
                user_id=want(user.get("id"), str),
                user_name=want(user["name"], str) if user.get("name") is not None else None,
                conversation_id=want(data.get("conversation_id"), str),
                message_id=message["id"],
                timestamp=_seconds(body.get("timestamp")),
                type=kind if kind in TYPES else "unknown",
                text=want(text, str) if text is not None else None,
                attachments=tuple(
                    _attachment(want(item, dict)) for item in want(message.get("attachments") or [], list)
                ),
            )
        ]

    def acknowledge(self) -> Answer:
        return Answer(202, "accepted")

    def send(self, http: httpx.Client, part: Outgoing) -> Sent:
        if not self._url:
            return Sent("permanent_failure", detail="no address for answers")
        body = json.dumps(
            {
                "type": "message.created",
                "timestamp": part.created_at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z"),
                "data": {
                    "conversation_id": part.thread_id,
                    "message": {"id": part.id, "type": "text", "text": part.text},
                    "author": part.author,
                    "citations": list(part.citations),
                },
            },
            ensure_ascii=False,
        ).encode()
        stamp = str(int(dt.datetime.now(dt.UTC).timestamp()))
        response = http.post(
            self._url,
            content=body,
            headers={
                "Content-Type": "application/json",
                "webhook-id": part.id,
                "webhook-timestamp": stamp,
                "webhook-signature": " ".join(sign(secret, part.id, stamp, body) for secret in self._secrets),
            },
        )
        if response.is_success:
            return Sent("sent", part.id)
        if response.status_code == 410:
            return Sent("disable_endpoint", detail="410 Gone")
        return Sent("retry_later", retry_after=_retry_after(response.headers), detail=f"HTTP {response.status_code}")


def sign(secret: str, delivery: str, stamp: str, body: bytes) -> str:
    """The ``webhook-signature`` of a body. Raises `Reject` for a secret that is none."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise Reject("the inbox's secret is not base64") from None
    content = delivery.encode() + b"." + stamp.encode() + b"." + body
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


def _attachment(item: dict[str, Any]) -> Attachment:
    url = want(item.get("url"), str)
    if not url.startswith("https://"):
        raise Malformed("attachments need an https address")
    texts = {name: want(item[name], str) for name in ("mime", "name") if item.get(name) is not None}
    return Attachment(type=want(item.get("type"), str), url=url, **texts)


def _seconds(value: Any) -> int | None:
    if value is None:
        return None
    try:
        return int(dt.datetime.fromisoformat(want(value, str)).timestamp())
    except (ValueError, OverflowError):
        raise Malformed("timestamp") from None


def _retry_after(headers: httpx.Headers) -> float | None:
    value = headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else None
