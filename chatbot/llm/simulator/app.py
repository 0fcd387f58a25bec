"""The simulator as a plain ASGI application: no framework, no Django.

It plays the official API (``/chat/completions``, ``/models``, ``/user/balance``) and the gateway (``/v1/text/completion``,
``/v1/moderation``, ``/v1/batch``, with signed tokens). Each completion takes the next of `scripts`; when none is left it
answers from the first source in its prompt. ``!fault:cut`` in the question, or `rates`, makes it fail in that way.
"""

import asyncio
import json
import random
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from chatbot.llm.simulator.faults import FAULTS
from chatbot.llm.simulator.script import Cut, Script, Seen
from chatbot.llm.simulator.wording import ChatWording, GatewayWording, Wording, answer, error, reply
from chatbot.tokens import BadToken, client_of_token

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_SOURCE = re.compile(r"^\[1\] [^\n]*\n(.*?)(?=\n\n\[2\]|\n</sources)", re.DOTALL | re.MULTILINE)
_TO_REWRITE = re.compile(r"^<message-(\w+)>\n(.*)\n</message-\1>", re.DOTALL | re.MULTILINE)
_FAULT = re.compile(r"!fault:(\w+)")
_PIECE = re.compile(r"\s*[A-Za-z0-9'’_*.,:;/#-]+|\s*.", re.DOTALL)


class CutShort(Exception):
    """Raised on purpose, so that the server drops the connection."""


class Simulator:
    """`scripts` are used up in order; `seen` holds every request; `open` counts answers under way.

    `key` is the API key, `secrets` the gateway's clients with theirs. `rates` are shares of requests (0 to 1) that meet a
    fault, `first_s` the time to the first token and `pause_s` between tokens. `offers`: the gateway's optional paths.
    """

    def __init__(
        self,
        key: str = "sk-test",
        secrets: Mapping[str, str] | None = None,
        *,
        rates: Mapping[str, float] | None = None,
        first_s: float = 0.0,
        pause_s: float = 0.0,
        offers: frozenset[str] = frozenset({"moderation", "batch"}),
        keep_seen: int = 1_000_000,
        seed: int = 1,
    ) -> None:
        self.key, self.offers = key, offers
        self.secrets = secrets or {"app-1": "a-secret-of-at-least-thirty-two-bytes"}
        self.scripts: deque[Script] = deque()
        self.seen: deque[Seen] = deque(maxlen=keep_seen)
        self.open = 0
        self._rates, self._first_s, self._pause_s = dict(rates or {}), first_s, pause_s
        self._dice = random.Random(seed)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        body = _parsed(await _body(receive))
        self.seen.append(Seen(scope["path"], headers, body))
        script = self._choose(scope["path"], headers, body)
        self.open += 1
        try:
            await _play(script, receive, send)
        finally:
            self.open -= 1

    def _choose(self, path: str, headers: Mapping[str, str], body: Any) -> Script:
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if path.endswith(("/text/completion", "/moderation", "/batch")) or bearer.count(".") == 2:
            try:
                client_of_token(bearer, self.secrets)
            except BadToken:
                return error(401, "invalid token", kind="authentication_error")
        elif bearer != self.key:
            return error(401, "Authentication Fails, Your api key: ****0000 is invalid", kind="authentication_error")
        match path.rsplit("/", 1)[-1]:
            case "completions" | "completion" | "moderation" | "batch" if not _is_request(body):
                return error(422, "Failed to deserialize the JSON body into the target type")
            case "models":
                ids = ["deepseek-flash", "deepseek-v4-pro"] if bearer == self.key else ["deepseek-zh-7b"]
                rows = [{"id": name, "object": "model", "owned_by": "deepseek"} for name in ids]
                return reply({"object": "list", "data": rows})
            case "balance":
                amounts = {"currency": "CNY", "total_balance": "110.00", "granted_balance": "10.00"}
                return reply({"is_available": True, "balance_infos": [{**amounts, "topped_up_balance": "100.00"}]})
            case "completions":
                return self._complete(body, ChatWording(str(body.get("model") or "deepseek-flash")))
            case "completion":
                return self._complete(body, GatewayWording())
            case "moderation" if "moderation" in self.offers:
                flagged = "forbidden" in str(body.get("input"))
                return reply({"results": [{"flagged": flagged, "categories": {"abuse": flagged}}]})
            case "batch" if "batch" in self.offers:
                return reply({"id": "b-1", "results": [self._batched(row) for row in body["requests"]]})
        return error(404, "Not Found")

    def _complete(self, body: Any, wording: Wording) -> Script:
        if self.scripts:
            return self.scripts.popleft()
        asked = _last_words(body)
        if (named := _FAULT.search(asked.rpartition("<question-")[2])) and named.group(1) in FAULTS:
            return FAULTS[named.group(1)](wording)
        for name, rate in self._rates.items():
            if self._dice.random() < rate:
                return FAULTS[name](wording)
        text = _answer_to(asked)
        usage = _usage(json.dumps(body, ensure_ascii=False), text)
        if not body.get("stream"):
            return Script((wording.whole(text, "stop", usage),), 200, {"content-type": "application/json"})
        script = answer(_PIECE.findall(text), pause_s=self._pause_s, wording=wording, usage=usage)
        return Script((self._first_s, *script.body), script.status, script.headers) if self._first_s else script

    def _batched(self, row: Any) -> dict[str, Any]:
        script = self._complete(row["body"] | {"stream": False}, GatewayWording())
        body = json.loads(b"".join(step for step in script.body if isinstance(step, bytes)) or b"{}")
        return {"custom_id": row["custom_id"], "status": script.status, "body": body}


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except (ValueError, RecursionError):
        return None


def _is_request(body: Any) -> bool:
    """As far as this server reads it."""
    if not isinstance(body, dict):
        return False
    for rows in (body.get("messages", []), body.get("requests", [])):
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            return False
    return all(_is_request(row.get("body")) and "custom_id" in row for row in body.get("requests", []))


def _last_words(body: Any) -> str:
    messages = body.get("messages")
    if not messages:
        return str(body.get("prompt") or "")
    content = messages[-1].get("content")
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def _answer_to(asked: str) -> str:
    if to_rewrite := _TO_REWRITE.search(asked):  # see chatbot.turn.rewriting: it has no other words to offer
        return to_rewrite.group(2)
    source = _SOURCE.search(asked)
    if source is None:
        return "This is what I found. [1]" if "<sources-" in asked else "Simulated answer."
    return f"{source.group(1).strip()[:400]} [1]"


def _usage(asked: str, said: str) -> dict[str, int]:
    """Counts as the provider would: a third of the characters, and whole blocks of 64 from its cache."""
    prompt, completion = len(asked) // 3 + 1, len(said) // 2 + 1
    hit = min(prompt, 256) // 64 * 64
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_cache_hit_tokens": hit,
        "prompt_cache_miss_tokens": prompt - hit,
    }


async def _play(script: Script, receive: Receive, send: Send) -> None:
    gone = asyncio.create_task(_wait_until_gone(receive))
    await send(
        {
            "type": "http.response.start",
            "status": script.status,
            "headers": [(name.encode(), value.encode()) for name, value in script.headers.items()],
        }
    )
    try:
        for step in script.body:
            if isinstance(step, Cut):
                raise CutShort
            if isinstance(step, bytes):
                await send({"type": "http.response.body", "body": step, "more_body": True})
            else:
                done, _ = await asyncio.wait([gone], timeout=step)
                if done:
                    return
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()


async def _lifespan(receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
