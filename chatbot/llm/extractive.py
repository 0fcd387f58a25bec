"""Answers without a language model: the best passages, quoted and cited, and said to be quotations."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence

from chatbot.turn.sentences import split_sentences
from chatbot.turn.values import Finished, ModelEvent, Passage, Prompt, Started, Text

MODEL = "extractive"
CHARACTERS = 700  # an answer
PASSAGES = 2
NEAR = 0.8  # a second passage is quoted when its score comes this near to the best
_STEP = re.compile(r"\s*[A-Za-z0-9'’_*`\[\](){}.,:;/#-]+|\s*.", re.DOTALL)


class Extractive:
    """A model that quotes. `pace` is characters a second, so that the answer reads as it is written; 0: at once.

    `likeness` scores sentences against the question, 0 to 1, to choose what to quote from a long passage.
    """

    def __init__(self, likeness: Callable[[str, Sequence[str]], Sequence[float]], pace: float = 0.0) -> None:
        self._likeness, self._pace = likeness, pace

    async def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        """See `chatbot.turn.seams.Model`."""
        yield Started(MODEL, "extractive")
        answer = self._compose(prompt)
        for step in _STEP.findall(answer):
            yield Text(step)
            if self._pace:
                await asyncio.sleep(len(step) / self._pace)
        yield Finished("stop")

    def _compose(self, prompt: Prompt) -> str:
        """What the visitor said, where that answers; else one quotation if it is clearly the best, two if they are close; each
        with its number."""
        if prompt.told:
            return prompt.told
        best = prompt.passages[0]
        chosen = [(1, best)]
        if not best.question:  # a FAQ entry is an answer by itself
            chosen += [
                (n, passage) for n, passage in enumerate(prompt.passages[1:], 2) if passage.score >= NEAR * best.score
            ][: PASSAGES - 1]
        share = CHARACTERS // len(chosen)
        return "\n\n".join(f"{self._quote(passage, prompt.question, share)} [{n}]" for n, passage in chosen)

    def _quote(self, passage: Passage, question: str, room: int) -> str:
        """The whole passage if it fits; else the run of whole sentences that fits best."""
        if passage.question or len(passage.text) <= room or "|" in passage.text:
            return passage.text.strip()
        sentences = split_sentences(passage.text)
        scores = self._likeness(question, sentences)
        start = end = max(range(len(sentences)), key=lambda at: scores[at])
        length = len(sentences[start])
        while True:
            before = scores[start - 1] if start else -1.0
            after = scores[end + 1] if end + 1 < len(sentences) else -1.0
            at = start - 1 if before > after else end + 1
            if max(before, after) < 0 or length + len(sentences[at]) > room:
                break
            length += len(sentences[at])
            start, end = min(start, at), max(end, at)
        return "".join(sentences[start : end + 1]).strip()
