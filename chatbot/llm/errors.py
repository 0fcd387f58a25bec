"""What can go wrong with a model, as one small set of codes. A provider's own words never leave the log."""

from dataclasses import dataclass

from chatbot.turn.values import ModelFailed


@dataclass(frozen=True)
class Failure:
    """How a code is treated. `retry`: the same provider may be asked again, before any text was shown. `outage`: it says
    that the provider is ill, and counts towards its circuit breaker. `owner`: only the owner can mend it."""

    code: str
    retry: bool = False
    outage: bool = False
    owner: bool = False


AUTH = Failure("auth", owner=True)
QUOTA = Failure("quota", owner=True)
RATE_LIMITED = Failure("rate_limited", retry=True)
CONTENT_RISK = Failure("content_risk")
CONTEXT_TOO_LONG = Failure("context_too_long")
BAD_REQUEST = Failure("bad_request")
SERVER = Failure("server", retry=True, outage=True)
TRANSPORT = Failure("transport", retry=True, outage=True)
TIMEOUT = Failure("timeout", retry=True, outage=True)
TRUNCATED = Failure("truncated", retry=True, outage=True)
EMPTY = Failure("empty", retry=True)
MALFORMED = Failure("malformed", retry=True, outage=True)
BUSY = Failure("busy")  # our own cap on concurrent streams is reached
RESTING = Failure("resting")  # our circuit breaker is open
UNSUPPORTED = Failure("unsupported")  # this dialect, or this server, does not offer it


class ModelCallFailed(ModelFailed):
    """One call to one provider failed. `retry_after_s` is what the provider asked for, if it did."""

    def __init__(self, failure: Failure, detail: str = "", retry_after_s: float | None = None) -> None:
        self.failure, self.detail, self.retry_after_s = failure, detail, retry_after_s
        super().__init__(failure.code, detail)


def from_status(status: int, message: str) -> Failure:
    """Sort an HTTP error by its status and, where the status is ambiguous, by the words of its body."""
    words = message.lower()
    if status == 402 or _speaks_of_money(words):
        return QUOTA
    if status in {401, 403}:
        return AUTH
    if status == 429:
        return RATE_LIMITED
    if status in {400, 413, 422}:
        return CONTEXT_TOO_LONG if status == 413 else _bad_request(words)
    if status in {408, 409, 425} or status >= 500:
        return SERVER
    return BAD_REQUEST


def from_event(message: str) -> Failure:
    """Sort an error that came in the stream, behind a 200."""
    words = message.lower()
    if _speaks_of_money(words):
        return QUOTA
    if "rate limit" in words or "concurrency" in words:
        return RATE_LIMITED
    failure = _bad_request(words)
    return SERVER if failure is BAD_REQUEST else failure


def _speaks_of_money(words: str) -> bool:
    return "insufficient balance" in words or "exceeded your current quota" in words


def _bad_request(words: str) -> Failure:
    if "content exists risk" in words:
        return CONTENT_RISK
    if "maximum context length" in words or "context length" in words:
        return CONTEXT_TOO_LONG
    return BAD_REQUEST
