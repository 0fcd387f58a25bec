"""Log lines: one event a line, as ``level name message key=value``, with control characters escaped."""

import logging

_STANDARD = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}


class Line(logging.Formatter):
    """Formats whatever was given as ``extra`` after the message. Callers never pass a visitor's text, a token or a key."""

    def format(self, record: logging.LogRecord) -> str:
        more = {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
        line = f"{self.formatTime(record)} {record.levelname} {record.name} {record.getMessage()}"
        line += "".join(f" {key}={value}" for key, value in sorted(more.items()))
        line = line.replace("\r", "\\r").replace("\n", "\\n")
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
