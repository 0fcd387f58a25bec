"""The text of one running answer: written by one runner, read by any number of watchers, each from its own offset.

Offsets count characters (Unicode code points). The log is the buffer: a slow watcher simply gets a bigger next frame.
"""

import time
from dataclasses import dataclass, field

from chatbot.markdown import closed_blocks


@dataclass(frozen=True)
class Block:
    """A finished Markdown block: the HTML of the characters up to `end`."""

    end: int
    html: str


@dataclass
class TurnLog:
    """`text` is what may be seen; `released` how much of it has been sent to somebody. A frozen log never grows.

    `held` keeps everything back from that moment on, whichever thread says so. `first_at` is when the first text came, on
    the clock of `time.perf_counter`; `sent_at` when text last left, on that of `time.monotonic`; `behind` whether a
    watcher could not take it; `doubted_at` when a hold ended by which the line may have been taken. A `copy` follows the
    log of another process; its `epoch` is 0 until it is known.
    """

    conversation: str
    turn: str
    epoch: int = 0
    copy: bool = False
    held: bool = False
    doubted_at: float = 0.0
    text: str = ""
    released: int = 0
    blocks: list[Block] = field(default_factory=list)
    frozen: bool = False
    ended: bool = False
    first_at: float | None = None
    sent_at: float = 0.0
    behind: bool = False
    _new: list[str] = field(default_factory=list)

    def append(self, text: str) -> None:
        if not self.frozen and text:
            self.first_at = self.first_at or time.perf_counter()
            self._new.append(text)

    @property
    def shown(self) -> str:
        """What has been sent."""
        return self.text[: self.released]

    @property
    def silent(self) -> bool:
        """Nothing of it may leave."""
        return self.frozen or self.held

    @property
    def has_news(self) -> bool:
        return bool(self._new)

    @property
    def owes(self) -> bool:
        """There is something that somebody has not been sent."""
        return bool(self._new) or self.behind or self.released != len(self.text)

    def gather(self) -> None:
        """Take in what was appended since the last time, and render the blocks that it closed."""
        if self.frozen or not self._new:
            return
        fresh = "".join(self._new)
        self._new.clear()
        self.text += fresh
        if "\n" in fresh:
            start = self.blocks[-1].end if self.blocks else 0
            self.blocks += [Block(start + end, html) for end, html in closed_blocks(self.text[start:])]

    def mark_released(self) -> None:
        self.released = len(self.text)

    def freeze(self) -> str:
        """Stop the text where it stands; returns what has been seen of it."""
        if not self.frozen:
            self.frozen = True
            self._new.clear()
            self.text = self.text[: self.released]
            self.blocks = [block for block in self.blocks if block.end <= self.released]
        return self.text
