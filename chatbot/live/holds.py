"""Who is about to take the line of which conversation: from the moment that somebody asks for it until it has ended.

A hold is of the conversation, not of an answer: one that begins meanwhile is held as well. Any thread may begin one.
"""

import time

LIFE_S = 30.0  # whoever has not said how it ended by then has died


class Holds:
    def __init__(self) -> None:
        self._since: dict[tuple[str, str], float] = {}
        self._ended: dict[tuple[str, str], float] = {}

    def begin(self, conversation: str, hold: str) -> bool:
        """`hold` names it, everywhere. False: it is over; the word that it began has come late."""
        if (conversation, hold) in self._ended:
            return False
        self._since[conversation, hold] = time.monotonic()
        return True

    def end(self, conversation: str, hold: str) -> bool:
        """False: it was over already, or was never heard of."""
        self._sweep()
        self._ended[conversation, hold] = time.monotonic()
        return self._since.pop((conversation, hold), None) is not None

    def pending(self, conversation: str) -> bool:
        """Whether anybody holds it."""
        self._sweep()
        return any(held == conversation for held, _ in list(self._since))

    def _sweep(self) -> None:
        late = time.monotonic() - LIFE_S
        for known in (self._since, self._ended):
            for place, since in list(known.items()):
                if since < late:
                    known.pop(place, None)
