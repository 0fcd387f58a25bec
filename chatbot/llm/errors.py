"""What can go wrong with a model, as one small set of codes. A provider's own words never leave the log."""

from dataclasses import dataclass

from chatbot.turn.values import ModelFailed


@dataclass(frozen=True)
class Failure:
    """How a code is treated. `retry`: the same provider may be asked again, before any text was shown."""

    code: str
    retry: bool


AUTH = Failure("auth", retry=False)
QUOTA = Failure("quota", retry=False)
RATE_LIMITED = Failure("rate_limited", retry=True)
CONTENT_RISK = Failure("content_risk", retry=False)
CONTEXT_TOO_LONG = Failure("context_too_long", retry=False)
BAD_REQUEST = Failure("bad_request", retry=False)
SERVER = Failure("server", retry=True)
TRANSPORT = Failure("transport", retry=True)
TIMEOUT = Failure("timeout", retry=True)
TRUNCATED = Failure("truncated", retry=True)
EMPTY = Failure("empty", retry=True)
MALFORMED = Failure("malformed", retry=True)
BUSY = Failure("busy", retry=False)


class ModelCallFailed(ModelFailed):
    """One call to one provider failed. `retry_after_s` is what the provider asked for, if it did."""

    def __init__(self, failure: Failure, detail: str = "", retry_after_s: float | None = None) -> None:
        self.failure, self.retry_after_s = failure, retry_after_s
        super().__init__(failure.code, detail)


def from_status(status: int, message: str) -> Failure:
    """Sort an HTTP error by its status and, where the status is ambiguous, by the words of its body."""
    words = message.lower()
    if status == 401:
        return AUTH
    if status == 402 or "insufficient balance" in words or "exceeded your current quota" in words:
        return QUOTA
    if status == 403:
        return AUTH
    if status == 429:
        return RATE_LIMITED
    if status in {400, 413, 422}:
        if "content exists risk" in words:
            return CONTENT_RISK
        if "maximum context length" in words or "context length" in words or status == 413:
            return CONTEXT_TOO_LONG
        return BAD_REQUEST
    if status in {408, 409, 425} or status >= 500:
        return SERVER
    return BAD_REQUEST
