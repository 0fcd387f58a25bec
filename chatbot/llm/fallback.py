"""An ordered list of models: the next is asked when one fails before it has said anything."""

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from chatbot.turn.seams import Model
from chatbot.turn.values import ModelEvent, ModelFailed, Prompt, Text

logger = logging.getLogger(__name__)


class Fallback:
    """Asks `models` in turn. `on_failure` hears each failure's code, so that the turn's record can say what happened."""

    def __init__(self, models: Sequence[Model], on_failure: Callable[[str], None] = lambda _: None) -> None:
        self._models, self._on_failure = models, on_failure

    async def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        """See `chatbot.turn.seams.Model`."""
        for at, model in enumerate(self._models, 1):
            said_something = False
            try:
                async with aclosing(model.stream(prompt)) as events:
                    async for event in events:
                        said_something = said_something or isinstance(event, Text)
                        yield event
                return
            except ModelFailed as problem:
                logger.warning("model failed", extra={"code": problem.code, "model": type(model).__name__})
                self._on_failure(problem.code)
                if said_something or at == len(self._models):
                    raise
