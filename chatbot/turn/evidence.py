"""Whether the passages are enough to answer from, or the question must go back, or there is no source.

A score means less the less the encoder understands of the question: words alone must then carry it, and they carry
paraphrases badly. So the thresholds rise with the share that is understood. ``benchmarks/evidence.py`` shows what they
let through and what they stop; docs/decisions/0007 says why they are where they are.
"""

from chatbot.turn.conflicts import conflicts
from chatbot.turn.values import Evidence, Grounds, Query, Retrieved

ENOUGH, ENOUGH_PER_UNDERSTOOD = 0.27, 0.18  # 0.45 for a question that is understood whole
UNCLEAR, UNCLEAR_PER_UNDERSTOOD = 0.20, 0.16  # 0.36
CHOICES = 3
CLOSE = 0.7  # a runner-up whose score comes this near to the best may be what was meant


class ByScore:
    """Judges by the best passage's fused score; see `knowledge.search` for its scale."""

    def weigh(self, query: Query, retrieved: Retrieved) -> Evidence:
        if not retrieved.passages:
            return Evidence(Grounds.NONE, 0.0)
        best = retrieved.passages[0].score
        if best >= ENOUGH + ENOUGH_PER_UNDERSTOOD * retrieved.understood:
            return Evidence(Grounds.ENOUGH, best, conflicts=conflicts(retrieved.passages))
        if best >= UNCLEAR + UNCLEAR_PER_UNDERSTOOD * retrieved.understood:
            return Evidence(Grounds.UNDERSPECIFIED, best, self._choices(retrieved, best))
        return Evidence(Grounds.NONE, best)

    def _choices(self, retrieved: Retrieved, best: float) -> tuple[str, ...]:
        """What the visitor may have meant, in the words of the sources."""
        near = [passage for passage in retrieved.passages if passage.score >= CLOSE * best]
        named = (passage.question or passage.heading.split(" › ")[-1] or passage.title for passage in near)
        return tuple(dict.fromkeys(filter(None, named)))[:CHOICES]
