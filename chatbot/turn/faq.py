"""A question that the FAQ already holds is answered in the owner's words: no model is asked, nothing can be invented.

How near a visitor's words must come was chosen on FAQ that is not the test data (docs/knowledge.md): the encoder tells two
phrasings of one question from two questions, shared words do not. So a question that the encoder does not understand must
be the very words of an entry.
"""

import re
import unicodedata

from chatbot.turn.gate import cite
from chatbot.turn.query import leans
from chatbot.turn.values import Answered, Query, Retrieved
from workspace.chinese import simplified

NEAR = 0.86  # the score of a visitor's words and the entry's question
LEAD = 0.06  # over the next entry
UNDERSTOOD = 0.9  # of the question by the encoder, at least
_BESIDE_WORDS = re.compile(r"[\W_]+")


def faq_answer(query: Query, retrieved: Retrieved) -> Answered | None:
    """The entry that was asked for; None where it is not certain, or where the words lean on what was asked before, or had to
    be put in others."""
    if not retrieved.passages or query.also or (query.earlier and leans(query.text)):
        return None
    best, *others = retrieved.passages
    next_best = max((other.alone for other in others), default=0.0)
    near = retrieved.understood >= UNDERSTOOD and best.alone >= NEAR and best.alone - next_best >= LEAD
    if not best.phrasing or not (near or same_words(query, retrieved)):
        return None
    return Answered(f"{best.text.strip()} [1]", (cite(1, best),), source="faq")


def same_words(query: Query, retrieved: Retrieved) -> bool:
    """Whether the question is word for word that of the entry that was found."""
    return bool(retrieved.passages) and _bare(query.text) == _bare(retrieved.passages[0].phrasing)


def _bare(text: str) -> str:
    """Words without what stands between them: neither punctuation nor width, case or script makes another question."""
    return _BESIDE_WORDS.sub("", simplified(unicodedata.normalize("NFKC", text).lower()))
