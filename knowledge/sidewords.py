"""Side words: what a question is asked with, as against what it is about.

"Where", "how long", "can one" are in a question about anything. A small collection cannot know that: among five FAQ entries
"where" is as rare as the name of a product. So in a question Chinese side words weigh little, whatever they are found in,
and other Chinese words the less, the more common they are in the language at large. Little, not nothing: of two passages
about one thing they still say which is meant. English ones are stop words (`knowledge.segment`).
"""

import math
from functools import lru_cache

from knowledge.segment import is_chinese, share_of_chinese

SIDE = 0.05
HALF = 0.5  # a pair across the border of a word, one character of which is a side word
COMMON, RARE = math.exp(-6), math.exp(-12)  # shares: 中国 is as good as a side word, 快递 counts whole

CHARACTERS = frozenset(
    "的了吗呢吧啊呀嘛么是在和与或有没不我你您他她它们这那谁哪怎何什啥咋为多少几被把对从到就都也还又而及等要会能可以想请给让跟得着过"
)
WORDS = frozenset(
    """哪里 哪儿 里 儿 里面 什么时候 时候 时间 多长时间 时 间 候 多久 久 多长 长 多大 多高 多远 多少钱 几点 几天 几个 几次 点 今天
    现在 怎么办 么办 办 怎么样 样 有没有 是不是 能不能 没有 知道 告诉 问 一 一个 个 一下 下 上 一些 些 一般""".split()  # noqa: SIM905
)


@lru_cache(maxsize=16_384)
def says(token: str) -> float:
    """How much a token says of what a question is about, `SIDE` to 1."""
    if not is_chinese(token):
        return 1.0
    if token in WORDS or CHARACTERS.issuperset(token):
        return SIDE
    if len(token) > 1 and (share := share_of_chinese(token)):
        return min(1.0, max(SIDE, math.log(COMMON / share) / math.log(COMMON / RARE)))
    return 1.0 if CHARACTERS.isdisjoint(token) else HALF
