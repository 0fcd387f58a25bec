"""The whole application with a bot that speaks slowly: for tests that kill or pause its process.

``SLOW_BOT_WORDS`` words, one every `WORD_S`; nothing is loaded that takes long.
Only for processes of their own: importing it replaces the model of the process that does.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from chatbot.asgi import application  # isort: skip - it sets Django up

from chatbot import process, runner
from chatbot.turn.values import Finished, ModelEvent, Prompt, Started, Text
from tests.chatbot.turn.stages import stages
from tests.web.slow_words import WORDS

__all__ = ["application"]

WORD_S = 0.05


class SlowModel:
    async def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        yield Started("slow", "generated")
        for number in range(WORDS):
            await asyncio.sleep(WORD_S)
            yield Text(f"Word {number}. ")
        yield Finished("stop")


async def _nothing(workspaces: Sequence[int]) -> None:
    pass


runner.stages_for = lambda question, record, **_: stages(model=SlowModel())
process.warm_up = _nothing
