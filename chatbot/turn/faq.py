"""A question that the FAQ already holds is answered in the owner's words: no model is asked, nothing can be invented.

How near a visitor's words must come is calibrated on FAQ that is not the test data (``benchmarks/calibrate.py``).
"""

from chatbot.turn.gate import cite
from chatbot.turn.query import leans
from chatbot.turn.values import Answered, Query, Retrieved

NEAR = 0.86  # the score of a visitor's words and the entry's question
LEAD = 0.06  # over the next entry


def faq_answer(query: Query, retrieved: Retrieved) -> Answered | None:
    """The entry that was asked for; None where it is not certain, or where the words lean on what was asked before."""
    if not retrieved.passages or (query.earlier and leans(query.text)):
        return None
    best, *others = retrieved.passages
    next_best = max((other.alone for other in others), default=0.0)
    if not best.as_question or best.alone < NEAR or best.alone - next_best < LEAD:
        return None
    return Answered(f"{best.text.strip()} [1]", (cite(1, best),), source="faq")
