"""Progress in a terminal: one line that is rewritten, or, where there is no terminal, a line now and then."""

import sys
import time
from typing import TextIO

EVERY_S = 0.2
EVERY_S_PLAIN = 5.0


class ProgressLine:
    """Call it with what is being done, how much is done and how much there is; ends its line when all is done."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._tty = self._stream.isatty()
        self._shown_at, self._began_at, self._stage, self._width = 0.0, 0.0, "", 0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._began_at, self._shown_at = stage, now, 0.0
        if not total or (done < total and now - self._shown_at < (EVERY_S if self._tty else EVERY_S_PLAIN)):
            return
        self._shown_at = now
        text = f"  {stage}: {done:,} of {total:,} ({100 * done // total} %){self._left(now, done, total)}"
        if self._tty:
            padding = " " * max(0, self._width - len(text))
            self._stream.write(f"\r{text}{padding}" + ("\n" if done >= total else ""))
            self._width = 0 if done >= total else len(text)
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def _left(self, now: float, done: int, total: int) -> str:
        spent = now - self._began_at
        if not done or done >= total or spent < 2:
            return ""
        return f", about {spent / done * (total - done):.0f} s left"


def no_progress(stage: str, done: int, total: int) -> None:
    """For those who want none."""
