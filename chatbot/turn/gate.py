"""The gate between the model and the visitor. Text is released once it is provably clean, never shown and then swapped.

Three things happen to the stream, in this order: placeholders of masked personal data become the visitor's own words
again; citation marks that point to no passage are dropped; and text waits as long as a word rule could still match it.
"""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from chatbot.turn.seams import Moderation, Privacy
from chatbot.turn.values import (
    Answered,
    Citation,
    Finished,
    ModelEvent,
    ModelFailed,
    Outcome,
    Passage,
    Refused,
    Started,
    Text,
)

QUOTE_CHARACTERS = 600
_LONGEST_MARK = 24
_WHOLE = {"", "stop", "tool_calls"}  # whatever else a provider says, the answer may lack its end
_MARK = re.compile(r"\[\^?(\d{1,3})\]")
_MARK_OPENS = re.compile(r"\[[\^A-Z0-9_]*$")


class Gate:
    """The gate of one answer."""

    def __init__(self, passages: Sequence[Passage], moderation: Moderation, privacy: Privacy) -> None:
        self._passages, self._moderation, self._privacy = passages, moderation, privacy
        self._raw = ""  # from the model, an unfinished mark at its end
        self._waiting = ""  # marks resolved, not yet cleared by the rules
        self._shown = ""
        self._cited: dict[int, None] = {}
        self._source = ""
        self._offence = ""
        self._finish = ""

    async def release(self, stream: AsyncGenerator[ModelEvent, None]) -> AsyncGenerator[str, None]:
        """The text that may be shown, as early as it may. Ends early, and closes the model's stream, at an offence."""
        async with aclosing(stream) as events:
            async for event in events:
                match event:
                    case Started(source=source):
                        self._source = source
                    case Text(text=text):
                        if piece := self._feed(text):
                            yield piece
                        if self._offence:
                            return
                    case Finished(reason=reason):
                        self._finish = reason
        if piece := self._flush():
            yield piece
        if not self._shown.strip() and not self._offence:
            raise ModelFailed("content_filter" if self._finish == "content_filter" else "empty")

    def outcome(self, refusal: str) -> Outcome:
        """What became of the answer, once `release` has ended. `refusal` is said where text was withheld."""
        if self._offence or self._finish == "content_filter":
            text = f"{self._shown.rstrip()}\n\n{refusal}" if self._shown.strip() else refusal
            return Refused(text, self.citations(), category=self._offence or "content_filter")
        return Answered(self._shown, self.citations(), source=self._source, truncated=self._finish not in _WHOLE)

    def citations(self) -> tuple[Citation, ...]:
        """The passages that the shown text cites, in order of first mention."""
        return tuple(
            Citation(
                n=n,
                passage=passage.id,
                title=passage.title,
                heading=passage.question or passage.heading,
                quote=passage.text[:QUOTE_CHARACTERS],
                url=passage.url,
            )
            for n in self._cited
            for passage in [self._passages[n - 1]]
        )

    @staticmethod
    def clear(text: str, moderation: Moderation, refusal: str) -> Outcome:
        """A finished text of the owner's, through the same rules."""
        offence = moderation.offence(text, "")
        return Refused(refusal, category=offence[1]) if offence else Answered(text, source="reply")

    def _feed(self, text: str) -> str:
        self._raw += text
        opening = _MARK_OPENS.search(self._raw, max(0, len(self._raw) - _LONGEST_MARK))
        at = opening.start() if opening else len(self._raw)
        ready, self._raw = self._raw[:at], self._raw[at:]
        self._waiting += _MARK.sub(self._check_mark, self._privacy.unmask(ready))
        return self._clear(self._moderation.safe_length(self._waiting, self._shown))

    def _flush(self) -> str:
        self._waiting += _MARK.sub(self._check_mark, self._privacy.unmask(self._raw))
        self._raw = ""
        return self._clear(len(self._waiting))

    def _clear(self, length: int) -> str:
        offence = self._moderation.offence(self._waiting, self._shown)
        if offence and offence[0] < length:  # else it may still become an innocent longer word
            length, self._offence = offence
        piece, self._waiting = self._waiting[:length], self._waiting[length:]
        for mark in _MARK.finditer(piece):
            self._cited.setdefault(int(mark.group(1)))
        self._shown += piece
        return piece

    def _check_mark(self, mark: re.Match[str]) -> str:
        n = int(mark.group(1))
        return f"[{n}]" if 1 <= n <= len(self._passages) else ""
