"""Whether the passages are enough to answer from, or the question must go back, or there is no source.

The thresholds are fitted by ``benchmarks/evidence.py`` on the demo shop's own questions and on questions that belong to
other knowledge; they are the same for every inbox. See docs/decisions/0007.
"""

import re

from chatbot.turn.values import Evidence, Grounds, Query, Retrieved

ENOUGH = 0.50
UNCLEAR = 0.38
CHOICES = 3
CLOSE = 0.85  # a runner-up whose score comes this near to the best means something else might be meant
FEW_WORDS = 3

_WORD = re.compile(r"[\u3400-\u9fff]{1,2}|[^\W_]+")


class ByScore:
    """Judges by the best passage's fused score; see `knowledge.search` for its scale."""

    def weigh(self, query: Query, retrieved: Retrieved) -> Evidence:
        if not retrieved.passages:
            return Evidence(Grounds.NONE, 0.0)
        best = retrieved.passages[0].score
        if best >= ENOUGH:
            return Evidence(Grounds.ENOUGH, best)
        choices = self._choices(retrieved, best)
        vague = len(_WORD.findall(query.text)) <= FEW_WORDS
        if best >= UNCLEAR and (vague or len(choices) > 1):
            return Evidence(Grounds.UNDERSPECIFIED, best, choices)
        return Evidence(Grounds.NONE, best)

    def _choices(self, retrieved: Retrieved, best: float) -> tuple[str, ...]:
        """What the visitor may have meant, in the words of the sources."""
        near = [passage for passage in retrieved.passages if passage.score >= CLOSE * best]
        named = (passage.question or passage.heading.split(" › ")[-1] or passage.title for passage in near)
        return tuple(dict.fromkeys(filter(None, named)))[:CHOICES]
