"""How many answers a process writes at a time: what it could not keep smooth it refuses at once, and nobody waits in line.

Past what a process sustains each further stream makes all of them late, from a twentieth of a second to seconds; and a
question that waits in line would be answered when its visitor has gone.
"""

import logging
import time
from dataclasses import dataclass, field

logger = logging.getLogger(__name__)

LATE_S = (
    0.1  # an event loop that is so late makes every text late: there is too much to do, however few answers there are
)
BEHIND_S = (
    1.0  # so long may a question wait for the database: answers that begin at the same moment wait for each other
)
FEW = 20  # of these the lateness is not the work: a library that is loaded, a machine that was asleep
TELL_EVERY_S = 10.0


@dataclass
class Admission:
    """`most` answers at a time; `admitted` and `refused` count since the process began."""

    most: int
    under_way: int = 0
    admitted: int = 0
    refused: int = 0
    _told_at: float = field(default=float("-inf"))

    def enter(self, late_s: float = 0.0, behind_s: float = 0.0, *, anyway: bool = False) -> bool:
        """Whether an answer may begin, while the event loop is `late_s` late and what waits for the database `behind_s`.

        Whoever enters must `leave`. `anyway`: it takes the place of one that is about to end.
        """
        overdone = late_s > LATE_S or behind_s > BEHIND_S
        full = self.under_way >= self.most or (overdone and self.under_way >= FEW)
        if full and not anyway:
            self.refused += 1
            self._tell(late_s, behind_s)
            return False
        self.under_way += 1
        self.admitted += 1
        return True

    def leave(self) -> None:
        self.under_way -= 1

    def _tell(self, late_s: float, behind_s: float) -> None:
        now = time.monotonic()
        if now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            state = {"late_ms": round(late_s * 1000), "behind_ms": round(behind_s * 1000)}
            counts = {"under_way": self.under_way, "refused": self.refused}
            logger.warning("too many questions at once", extra=counts | state)
