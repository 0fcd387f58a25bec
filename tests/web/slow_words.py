"""What the slow bot says. Apart from it, since importing the bot replaces the model of the whole process."""

import os

WORDS = int(os.environ.get("SLOW_BOT_WORDS", "70"))


def text(words: int = WORDS) -> str:
    return "".join(f"Word {number}. " for number in range(words))
