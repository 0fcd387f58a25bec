"""The gate between the model and the visitor. Text is released once it is provably clean, never shown and then swapped.

Four things happen to the stream, in this order: placeholders of masked personal data become the visitor's own words
again; citation marks that point to no passage are dropped; text waits as long as a word rule could still match it; and a
finished sentence of a model is held against its sources: one without support ends the answer. Where `strict`, a sentence
is not shown before that.
"""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from chatbot.turn.seams import Moderation, Privacy, Replies, Sources
from chatbot.turn.sentences import finished_at
from chatbot.turn.values import (
    Answered,
    Citation,
    Finished,
    ModelEvent,
    ModelFailed,
    NoAnswer,
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


def cite(n: int, passage: Passage) -> Citation:
    """A passage as the source that an answer calls `n`."""
    return Citation(
        n=n,
        passage=passage.id,
        title=passage.title,
        heading=passage.question or passage.heading,
        quote=passage.text[:QUOTE_CHARACTERS],
        url=passage.url,
    )


class Gate:
    """The gate of one answer."""

    def __init__(
        self,
        passages: Sequence[Passage],
        moderation: Moderation,
        privacy: Privacy,
        sources: Sources | None = None,
        *,
        strict: bool = False,
    ) -> None:
        self._passages, self._moderation, self._privacy = passages, moderation, privacy
        self._sources, self._strict = sources, strict
        self._sentence = ""  # what is shown of the sentence that is not finished yet
        self._unsupported = False
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
                        if self._offence or self._unsupported:
                            return
                    case Finished(reason=reason):
                        self._finish = reason
        if piece := self._flush():
            yield piece
        if not self._shown.strip() and not self._offence and not self._unsupported:
            raise ModelFailed("content_filter" if self._finish == "content_filter" else "empty")

    def outcome(self, replies: Replies, language: str) -> Outcome:
        """What became of the answer, once `release` has ended; `replies` has what is said where it was cut."""
        refusal = replies.say("withheld", language)
        if self._unsupported:
            return self._cut_short(replies, language)
        if self._offence or self._finish == "content_filter":
            text = f"{self._shown.rstrip()}\n\n{refusal}" if self._shown.strip() else refusal
            return Refused(text, self.citations(), category=self._offence or "content_filter")
        return Answered(self._shown, self.citations(), source=self._source, truncated=self._finish not in _WHOLE)

    def citations(self) -> tuple[Citation, ...]:
        """The passages that the shown text cites, in order of first mention."""
        return tuple(cite(n, self._passages[n - 1]) for n in self._cited)

    def _cut_short(self, replies: Replies, language: str) -> Outcome:
        """The answer as far as it has a source; the sentence without one, where it was shown, is marked."""
        shown = self._shown.rstrip()
        if not shown:
            return NoAnswer(replies.say("no_source", language))
        mark = "" if self._strict else f" *({replies.say('unsupported_mark', language)})*"
        return NoAnswer(f"{shown}{mark}\n\n{replies.say('unsupported', language)}", self.citations())

    @staticmethod
    def clear(answer: Answered, moderation: Moderation, refusal: str) -> Outcome:
        """A finished text of the owner's, through the same rules."""
        offence = moderation.offence(answer.text, "")
        return Refused(refusal, category=offence[1]) if offence else answer

    def _feed(self, text: str) -> str:
        ready, self._raw = self._raw + text, ""
        if "[" in ready:
            opening = _MARK_OPENS.search(ready, max(0, len(ready) - _LONGEST_MARK))
            at = opening.start() if opening else len(ready)
            ready, self._raw = ready[:at], ready[at:]
        self._waiting += self._resolved(ready)
        return self._clear(self._moderation.safe_length(self._waiting, self._shown))

    def _flush(self) -> str:
        self._waiting += self._resolved(self._raw)
        self._raw = ""
        return self._clear(len(self._waiting), whole=True)

    def _clear(self, length: int, *, whole: bool = False) -> str:
        offence = self._moderation.offence(self._waiting, self._shown)
        if offence and offence[0] < length:  # else it may still become an innocent longer word
            length, self._offence = offence
        if self._sources and self._source == "generated":
            length = self._supported(self._waiting[:length], self._sources, whole=whole)
        piece, self._waiting = self._waiting[:length], self._waiting[length:]
        if "[" in piece:
            for mark in _MARK.finditer(piece):
                self._cited.setdefault(int(mark.group(1)))
        self._shown += piece
        return piece

    def _supported(self, text: str, sources: Sources, *, whole: bool) -> int:
        """How much of `text` may be shown: up to the end of a sentence without support, or where strict up to its start."""
        begun, whole_text, start = len(self._sentence), self._sentence + text, 0
        for end in finished_at(whole_text, whole=whole, since=begun):
            if not sources.support(whole_text[start:end]):
                self._unsupported = True
                return max(0, (start if self._strict else end) - begun)
            start = end
        if self._strict:
            return start - begun
        self._sentence = whole_text[start:]
        return len(text)

    def _resolved(self, text: str) -> str:
        """With the visitor's own words for placeholders, and without marks that point to nothing."""
        text = self._privacy.unmask(text)
        return _MARK.sub(self._check_mark, text) if "[" in text else text

    def _check_mark(self, mark: re.Match[str]) -> str:
        n = int(mark.group(1))
        return f"[{n}]" if 1 <= n <= len(self._passages) else ""
