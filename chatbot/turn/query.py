"""What is searched for: the last words, and beside them what was asked before, as far as they lean on it."""

import re

from chatbot.turn.values import VISITOR, Query, Question
from workspace.chinese import simplified

EARLIER_TURNS = 3
RELATED_FROM, RELATED_TO = 0.1, 0.3
_LEANS_BACK = re.compile(
    r"""^\s*(?:and|but|so|or|then|also|what\s+about|how\s+about|what\s+if|why\s+not|which\s+one|the\s+(?:other|same)|same)\b
      | \b(?:it|its|they|them|their|this|that|these|those)\b
      | ^\s*(?:那么?|那|还有|然后|另外|可是|但是|所以|如果|要是|呢)
      | (?:它|他们?|她|这个|那个|这些|那些|这种|那种|这样|那样|该|其|刚才|上面|前面)
      | 呢[？?]?\s*$""",
    re.IGNORECASE | re.VERBOSE,
)
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+")
SHORT_WORDS = 4


class WithContext:
    """Takes the visitor's last questions along; `joins` says how much they count in the end."""

    def form(self, question: Question) -> Query:
        earlier = [said.text for said in question.history if said.author == VISITOR and said.text.strip()]
        return Query(question.text, tuple(earlier[-EARLIER_TURNS:]))


def joins(text: str, related: float) -> float:
    """How far earlier questions join a search for `text`, 0 to 1.

    Wholly when the words lean on them: very few, or pointing back. Else as far as the best passage for the words alone goes
    with the earlier questions too (`related`, 0 to 1): a change of subject leaves them behind.
    """
    if leans(text):
        return 1.0
    return min(1.0, max(0.0, (related - RELATED_FROM) / (RELATED_TO - RELATED_FROM)))


def leans(text: str) -> bool:
    return len(_WORD.findall(text)) < SHORT_WORDS or _LEANS_BACK.search(simplified(text)) is not None
