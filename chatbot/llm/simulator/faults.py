"""The ways in which a provider fails, by name."""

from collections.abc import Callable, Mapping

from chatbot.llm.simulator.script import Cut, Script
from chatbot.llm.simulator.wording import KEEP_ALIVE, Wording, error


def _body(wording: Wording, *steps: bytes | float | Cut) -> Script:
    return Script(steps, 200, {"content-type": wording.content_type})


FAULTS: Mapping[str, Callable[[Wording], Script]] = {
    "auth": lambda _: error(
        401, "Authentication Fails, Your api key: ****0000 is invalid", kind="authentication_error"
    ),
    "quota": lambda _: error(402, "Insufficient Balance", kind="unknown_error"),
    "rate_limited": lambda _: error(429, "Rate limit reached", kind="rate_limit_error", retry_after="1"),
    "content_risk": lambda _: error(400, "Content Exists Risk"),
    "context_too_long": lambda _: error(
        400, "This model's maximum context length is 8 tokens. However, you requested 9"
    ),
    "bad_request": lambda _: error(422, "Failed to deserialize the JSON body into the target type"),
    "server": lambda _: error(500, "Internal Server Error", kind="server_error"),
    "overloaded": lambda _: error(503, "Service overloaded", kind="server_error"),
    "html": lambda _: Script((b"<html><body>502 Bad Gateway</body></html>",), 502, {"content-type": "text/html"}),
    "queued": lambda w: _body(w, *[step for _ in range(600) for step in (KEEP_ALIVE, 1.0)]),
    "silent": lambda w: _body(w, w.piece("This is the beginning "), 600.0),
    "cut": lambda w: _body(w, w.piece("This is the beginning "), Cut()),
    "unfinished": lambda w: _body(w, w.piece("This is the beginning ")),
    "empty": lambda w: _body(w, w.finish("stop"), w.done),
    "malformed": lambda w: _body(w, w.piece("This is "), b"data: {not json\n\n"),
    "error_event": lambda w: _body(w, w.piece("This is "), w.failure("server overloaded")),
    "interrupted": lambda w: _body(w, w.finish("insufficient_system_resource"), w.done),
    "aborted": lambda w: _body(w, w.piece("This is "), w.finish("aborted"), w.done),
    "truncated": lambda w: _body(w, w.piece("This answer is longer than"), w.finish("length"), w.done),
    "withheld": lambda w: _body(w, w.finish("content_filter"), w.done),
}
