"""What visitors tell about themselves, told apart from what they ask: a remark is found nowhere but in the conversation."""

import re
from enum import IntEnum

from chatbot.turn.sentences import split_sentences
from workspace.chinese import simplified


class Weight(IntEnum):
    """How much is lost with a sentence that is forgotten."""

    NOTHING = 0  # thanks, yes, one moment
    QUESTION = 1  # what it asks can be looked up again
    STATEMENT = 2
    ABOUT_THEMSELVES = 3  # who they are, what they have, what happened to them; numbers and dates


_ASKS = re.compile(
    r"""[?？]\s*$
      | ^\W*(?:and\s+|but\s+|so\s+|or\s+)?(?:what|which|who|whose|where|when|why|how|do|does|did|is|are|was|were|can|could|may|
            will|would|shall|should|have\s+you|has|any)\b
      | (?:吗|呢|么|嘛)[。.!！~～]*\s*$
      | 怎么|怎样|如何|为什么|为何|什么|多少|多久|多大|多重|哪|几[点号天个时]|谁|能不能|可不可以|有没有|是不是|会不会|要不要""",
    re.IGNORECASE | re.VERBOSE,
)
_SELF = re.compile(r"\b(?:I|I'm|I've|I'll|me|my|mine|we|we're|we've|us|our|ours)\b|我|咱|本人", re.IGNORECASE)
_PRECISE = re.compile(r"\d|[A-Z]{2,}")
_SAYS = re.compile(r"[^\W_]")
_EMPTY = re.compile(
    r"""^\W*(?:(?:ok(?:ay)?|yes|no|yep|sure|right|fine|good|great|perfect|thanks?|thank\s+you|hi|hello|hey|bye|got\s+it|
            understood|i\s+see|one\s+moment|please|sorry|will\s+do|never\s*mind)\b\W*)+$
      | ^\W*(?:好的?|行|嗯|哦|是的?|对的?|不是|没有|谢谢(?:你|您)?|多谢|感谢|明白了?|知道了|了解|收到|可以|你好|您好|
            在吗|再见|稍等(?:一下)?|不好意思|麻烦了|没事|算了|[，,。.！!~～\s])+$""",
    re.IGNORECASE | re.VERBOSE,
)


def weigh(sentence: str) -> Weight:
    """What kind of sentence a visitor's is."""
    sentence = simplified(sentence)
    if not _SAYS.search(sentence) or _EMPTY.match(sentence):
        return Weight.NOTHING
    if _ASKS.search(sentence):
        return Weight.QUESTION
    return Weight.ABOUT_THEMSELVES if _SELF.search(sentence) or _PRECISE.search(sentence) else Weight.STATEMENT


def heaviest(text: str) -> Weight:
    """That of the heaviest sentence."""
    return max((weigh(sentence) for sentence in split_sentences(text)), default=Weight.NOTHING)


def remarks(text: str) -> list[str]:
    """The sentences that state something."""
    return [sentence.strip() for sentence in split_sentences(text) if weigh(sentence) >= Weight.STATEMENT]
