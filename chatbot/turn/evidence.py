"""Whether the passages are enough to answer from, or the question must go back, or there is no source.

What is judged is the strength of the evidence over the question and what was asked before it (`knowledge.ranking`), not the
best passage's score: the score says which passage, the strength whether any. ``benchmarks/evidence.py`` shows what the limits
let through and what they stop; docs/knowledge.md says on what data they were chosen.
"""

from chatbot.turn.conflicts import conflicts
from chatbot.turn.values import Evidence, Grounds, Query, Retrieved

ENOUGH, ENOUGH_PER_UNDERSTOOD = 0.27, 0.21  # 0.48 for a question that the encoder understands whole
UNCLEAR, UNCLEAR_PER_UNDERSTOOD = 0.18, 0.18  # 0.36
CHOICES = 3
CLOSE = 0.7  # a runner-up whose score comes this near to the best may be what was meant


class ByStrength:
    """Judges by `Retrieved.strength`."""

    def weigh(self, query: Query, retrieved: Retrieved) -> Evidence:
        if not retrieved.passages:
            return Evidence(Grounds.NONE, 0.0)
        strength, understood = retrieved.strength, retrieved.understood
        if strength >= ENOUGH + ENOUGH_PER_UNDERSTOOD * understood:
            return Evidence(Grounds.ENOUGH, strength, conflicts=conflicts(retrieved.passages))
        if strength >= UNCLEAR + UNCLEAR_PER_UNDERSTOOD * understood:
            return Evidence(Grounds.UNDERSPECIFIED, strength, self._choices(retrieved, retrieved.passages[0].score))
        return Evidence(Grounds.NONE, strength)

    def _choices(self, retrieved: Retrieved, best: float) -> tuple[str, ...]:
        """What the visitor may have meant, in the words of the sources."""
        near = [passage for passage in retrieved.passages if passage.score >= CLOSE * best]
        named = (passage.question or passage.heading.split(" › ")[-1] or passage.title for passage in near)
        return tuple(dict.fromkeys(filter(None, named)))[:CHOICES]
