"""What intents are learnt from."""

from dataclasses import dataclass

OUT_OF_SCOPE = ""


@dataclass(frozen=True)
class Example:
    """A message and the intent it has; intent "" is a message that has none."""

    text: str
    intent: str
