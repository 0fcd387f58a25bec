"""Telegram Bot API: https://core.telegram.org/bots/api. Nothing is signed; a secret header proves the sender."""

import hmac
from collections.abc import Mapping
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

SECRET_HEADER = "x-telegram-bot-api-secret-token"
API = "https://api.telegram.org"
_FILES = {
    "voice": "voice",
    "audio": "voice",
    "document": "file",
    "video": "file",
    "sticker": "image",
    "video_note": "file",
}


class Telegram:
    """Settings: ``bot_token``, ``secret_token``, ``bot_username``, ``api`` (another server, for tests)."""

    limits = Limits(text=4096, unit="utf16")
    sends_outside = False

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._token = str(config.get("bot_token") or "")
        self._secret = str(config.get("secret_token") or "")
        self._username = str(config.get("bot_username") or "").lower()
        self._api = str(config.get("api") or API).rstrip("/")

    def verify(self, request: Received, now: float) -> dict[str, Any]:
        given = request.headers.get(SECRET_HEADER, "")
        if not self._secret or not hmac.compare_digest(given.encode(), self._secret.encode()):
            raise Reject("bad secret token")
        return read_json(request.body)

    def handshake(self, request: Received, payload: Any) -> Answer | None:
        return None

    def parse(self, payload: Any) -> list[Inbound]:
        update = str(want(payload.get("update_id"), int))
        if query := payload.get("callback_query"):
            return [self._button(update, want(query, dict))]
        message = payload.get("message")
        if message is None:
            return []  # edits, membership, and what may come: acknowledged, not answered
        return self._message(update, want(message, dict))

    def acknowledge(self) -> Answer:
        return Answer(200, "ok")

    def send(self, http: httpx.Client, part: Outgoing) -> Sent:
        """Plain text, without a parse mode, so that no character of an answer can be refused as broken markup."""
        response = http.post(
            f"{self._api}/bot{self._token}/sendMessage",
            json={"chat_id": part.thread_id, "text": part.text, "link_preview_options": {"is_disabled": True}},
        )
        try:
            body = response.json()
            if body.get("ok"):
                return Sent("sent", str(body["result"]["message_id"]))
            wait = (body.get("parameters") or {}).get("retry_after")
            detail = str(body.get("description") or "")[:200]
        except (ValueError, KeyError, TypeError, AttributeError):
            wait, detail = None, ""
        if response.status_code == 429 or response.status_code >= 500:
            retry_after = float(wait) if isinstance(wait, int | float) and wait > 0 else None
            return Sent("retry_later", retry_after=retry_after, detail=detail)
        return Sent("permanent_failure", detail=detail or f"HTTP {response.status_code}")

    def _message(self, update: str, message: dict[str, Any]) -> list[Inbound]:
        sender, chat = want(message.get("from"), dict), want(message.get("chat"), dict)
        if sender.get("is_bot"):
            return []
        text = message.get("text", message.get("caption"))
        text = want(text, str) if text is not None else None
        attachments = self._attachments(message)
        if text is None and not attachments:
            kind = "location" if "location" in message else "unknown"
        else:
            kind = attachments[0].type if attachments else "text"
        is_group = want(chat.get("type"), str) != "private"
        chat_id = str(want(chat.get("id"), int))
        return [
            Inbound(
                dedupe_keys=(update,),
                user_id=str(want(sender.get("id"), int)),
                user_name=_name(sender),
                conversation_id=chat_id,
                message_id=str(want(message.get("message_id"), int)),
                is_group=is_group,
                mentions_bot=is_group and self._is_addressed(message, text or ""),
                timestamp=want(message.get("date"), int),
                type=kind,
                text=text,
                attachments=attachments,
                event="start" if text and text.split()[:1] == ["/start"] else None,
            )
        ]

    def _button(self, update: str, query: dict[str, Any]) -> Inbound:
        sender = want(query.get("from"), dict)
        chat = want(want(query.get("message"), dict).get("chat"), dict)
        return Inbound(
            dedupe_keys=(update,),
            user_id=str(want(sender.get("id"), int)),
            user_name=_name(sender),
            conversation_id=str(want(chat.get("id"), int)),
            type="interactive",
            text=want(query.get("data"), str),
        )

    def _attachments(self, message: dict[str, Any]) -> tuple[Attachment, ...]:
        if photo := message.get("photo"):
            sizes = [want(size, dict) for size in want(photo, list)]
            largest = max(sizes, key=lambda size: want(size.get("width", 0), int))
            return (Attachment("image", id=want(largest.get("file_id"), str)),)
        for field, kind in _FILES.items():
            if field in message:
                file = want(message[field], dict)
                return (
                    Attachment(
                        kind, id=want(file.get("file_id"), str), mime=file.get("mime_type"), name=file.get("file_name")
                    ),
                )
        return ()

    def _is_addressed(self, message: dict[str, Any], text: str) -> bool:
        """In a group the bot answers when it is named, or when somebody replies to it."""
        if self._username and f"@{self._username}" in text.lower():
            return True
        replied = message.get("reply_to_message")
        author = replied.get("from") if isinstance(replied, dict) else None
        return isinstance(author, dict) and str(author.get("username") or "").lower() == self._username != ""


def _name(sender: dict[str, Any]) -> str | None:
    parts = [sender.get(name) for name in ("first_name", "last_name")]
    if any(part is not None and not isinstance(part, str) for part in parts):
        raise Malformed("name")
    return " ".join(part for part in parts if part) or None
