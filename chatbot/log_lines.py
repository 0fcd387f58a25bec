"""Log lines: one event a line, as ``level name message key=value``, with control characters escaped."""

import logging
import re

_STANDARD = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}

# Addresses may hold a secret, and whoever logs a request logs its address: here, uvicorn and Django do.
_SECRETS = re.compile(
    r"""(/login/link/|/bot(?=\d+:)|[?&](?:[\w-]*token|secret|key|code|identity)=)[^/?&\s"'<>]+""", re.IGNORECASE
)


class Line(logging.Formatter):
    """Formats whatever was given as ``extra`` after the message. Callers never pass a visitor's text, a token or a key."""

    def format(self, record: logging.LogRecord) -> str:
        more = {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
        line = f"{self.formatTime(record)} {record.levelname} {record.name} {record.getMessage()}"
        line += "".join(f" {key}={value}" for key, value in sorted(more.items()))
        line = line.replace("\r", "\\r").replace("\n", "\\n")
        return without_secrets(f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line)


def without_secrets(text: str) -> str:
    """The text with the secret parts of the addresses in it blanked: sign-in links, tokens of queries and of Telegram."""
    return _SECRETS.sub(r"\1…", text)
