"""What a prompt may cost, in tokens, and what is left out when it would cost more.

The rules and the question are never cut. Of the rest, what matters least goes first:

1. history older than the last `LAST_MESSAGES` messages, the oldest first;
2. sources after the first `BEST_SOURCES`, the weakest first;
3. what is remembered from before the history, the weakest first;
4. the rest of the history, the oldest first;
5. the other sources, down to the best one.

When rules, question and the best source alone are too much, the prompt cannot be sent at all: `TooLong`.
"""

from chatbot.turn.prompt import shorten
from chatbot.turn.tokens import estimate_tokens
from chatbot.turn.values import ModelFailed, Prompt

LAST_MESSAGES = 4
BEST_SOURCES = 3


class TooLong(ModelFailed):
    """Rules, question and the best source are more than the model takes."""

    def __init__(self, tokens: int, room: int) -> None:
        super().__init__("context_too_long", f"{tokens} of {room} tokens")


def tokens_of(prompt: Prompt) -> int:
    return sum(
        estimate_tokens(text) for text in (prompt.system, prompt.request, *(said.text for said in prompt.history))
    )


def fit(prompt: Prompt, room: int) -> Prompt:
    """The prompt within `room` tokens, in the order above. Raises `TooLong`."""
    history, sources, earlier = len(prompt.history), len(prompt.sources), len(prompt.earlier)
    fitted = prompt
    while (size := tokens_of(fitted)) > room:
        if history > LAST_MESSAGES:
            history -= 1
        elif sources > BEST_SOURCES:
            sources -= 1
        elif earlier:
            earlier -= 1
        elif history:
            history -= 1
        elif sources > 1:
            sources -= 1
        else:
            raise TooLong(size, room)
        fitted = shorten(prompt, sources=sources, history=history, earlier=earlier)
    return fitted


def least_tokens(prompt: Prompt) -> int:
    """What rules, question and the best source need."""
    return tokens_of(shorten(prompt, sources=1, history=0, earlier=0))
