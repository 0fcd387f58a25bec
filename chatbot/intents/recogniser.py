"""The intents of a workspace, ready to be recognised; trained anew when its examples change."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from django.db import connection

from chatbot.intents.classifier import Classifier, classifier_for
from chatbot.intents.examples import Example
from chatbot.intents.person import asks_for_person
from chatbot.turn.values import Intent
from knowledge.embedding import encoder
from workspace.chinese import simplified

SURE_OF_PERSON = 0.75
LOOK_EVERY_S = 1.0  # how long a process may not know that another changed the examples

logger = logging.getLogger(__name__)


HANDOFF = "handoff"


@dataclass(frozen=True)
class IntentSet:
    """What a workspace has defined. `version` changes whenever any of it does."""

    version: str
    examples: tuple[Example, ...]
    replies: Mapping[str, Mapping[str, str]]
    handoffs: frozenset[str]


_Trained = tuple[IntentSet, Classifier]


class Recogniser:
    """Recognises intents for every workspace of this process. `version_of` and `load` read what is defined."""

    def __init__(
        self, version_of: Callable[[int], str], load: Callable[[int], IntentSet], cache: Path | None = None
    ) -> None:
        self._version_of, self._load, self._cache = version_of, load, cache
        self._trained: dict[int, _Trained] = {}
        self._learning: dict[int, str] = {}
        self._looked: dict[int, tuple[float, str]] = {}
        self._lock = threading.Lock()

    def recognise(self, workspace: int, text: str) -> Intent:
        """Blocking; learning takes seconds where nobody has learnt yet. After a change the old examples serve until the new are
        learnt."""
        if asks_for_person(text):  # before anything that may be slow, or not there
            held = self._trained.get(workspace)
            key = next(iter(sorted(held[0].handoffs)), HANDOFF) if held else HANDOFF
            return Intent(key, SURE_OF_PERSON, wants_person=True)
        intents, classifier = self._ready(workspace)
        prediction = classifier.predict(simplified(text))
        if prediction.intent in intents.handoffs and prediction.confidence >= SURE_OF_PERSON:
            return Intent(prediction.intent, prediction.confidence, wants_person=True)
        return Intent(prediction.intent, prediction.confidence, reply=intents.replies.get(prediction.intent, {}))

    def prepare(self, workspace: int) -> _Trained:
        """What the workspace defines now, learnt."""
        version = self._version_of(workspace)
        held = self._trained.get(workspace)
        if held and held[0].version == version:
            return held
        with self._lock:
            held = self._trained.get(workspace)
            if not held or held[0].version != version:
                intents = self._load(workspace)
                plain = [replace(example, text=simplified(example.text)) for example in intents.examples]
                held = intents, classifier_for(plain, encoder(), self._cache)
                self._trained[workspace] = held
            return held

    def _ready(self, workspace: int) -> _Trained:
        held = self._trained.get(workspace)
        if held is None:
            return self.prepare(workspace)
        version = self._version(workspace)
        if held[0].version != version and self._learning.get(workspace) != version:
            self._learning[workspace] = version
            threading.Thread(target=self._learn, args=(workspace,), name="intents", daemon=True).start()
        intents, classifier = held
        if held[0].version != version:
            intents = self._load(workspace)  # an edited reply counts at once; only learning takes time
        return intents, classifier

    def look_again(self, workspace: int) -> None:
        """Something was changed in this process; what others change is noticed within `LOOK_EVERY_S`."""
        self._looked.pop(workspace, None)

    def _version(self, workspace: int) -> str:
        at, version = self._looked.get(workspace, (float("-inf"), ""))
        if time.monotonic() - at >= LOOK_EVERY_S:
            version = self._version_of(workspace)
            self._looked[workspace] = time.monotonic(), version
        return version

    def _learn(self, workspace: int) -> None:
        try:
            self.prepare(workspace)
        except Exception:
            logger.exception("intents not learnt", extra={"workspace": workspace})
        finally:
            self._learning.pop(workspace, None)
            connection.close()
