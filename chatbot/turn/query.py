"""What is searched for: the last words alone, or together with what was asked before."""

import re

from chatbot.turn.values import VISITOR, Query, Question

EARLIER_TURNS = 2
_LEANS_BACK = re.compile(
    r"""^\s*(?:and|but|so|or|then|also|what\s+about|how\s+about|what\s+if|why\s+not|which\s+one|the\s+(?:other|same)|same)\b
      | \b(?:it|its|they|them|their|this|that|these|those)\b
      | ^\s*(?:那么?|那|还有|然后|另外|可是|但是|所以|如果|要是|呢)
      | (?:它|他们?|她|这个|那个|这些|那些|这种|那种|这样|那样|该|其|刚才|上面|前面)
      | 呢[？?]?\s*$""",
    re.IGNORECASE | re.VERBOSE,
)
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_]+")
SHORT_WORDS = 4


class WithContext:
    """Adds the earlier questions when the last one leans on them: it is very short, or points back.

    Joined as *last, last, earlier*: the last words must weigh most, or a change of subject is not noticed.
    """

    def form(self, question: Question) -> Query:
        earlier = [said.text for said in question.history if said.author == VISITOR][-EARLIER_TURNS:]
        if not earlier or not self._leans(question.text):
            return Query(question.text)
        return Query("\n".join([question.text, question.text, *earlier]), alone=False)

    def _leans(self, text: str) -> bool:
        return len(_WORD.findall(text)) < SHORT_WORDS or _LEANS_BACK.search(text) is not None
