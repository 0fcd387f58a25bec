"""What intents are learnt from. Apart from the classifier, since scikit-learn takes seconds to load and few processes learn."""

from dataclasses import dataclass

OUT_OF_SCOPE = ""


@dataclass(frozen=True)
class Example:
    """A message and the intent it has; intent "" is a message that has none."""

    text: str
    intent: str
