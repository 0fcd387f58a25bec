"""A second look at passages whose scores lie close: a cross-encoder reads the question and each of them together.

There is none unless ``BATON_RERANKER`` names one, and torch is loaded for it only here. What goes wrong with it, or takes too
long, costs its opinion and nothing else: the passages stay in the order of their scores, and it is left in peace for a while.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

# Between the first two scores. On training messages of banking77 82 % of the questions whose first passage is a wrong one
# lie within it, and 48 % of all questions: beyond it a second look is mostly paid for nothing.
CLOSE = 0.08
# Behind the best, where the right one is in 73 % of those cases: what is further behind stays there.
AMONG = 0.15
CANDIDATES = 8  # as many as a small model reads in well under a second on one processor
CHARACTERS = 2_000  # of a passage; no such model reads more
RESTS_S, RELOADED_AFTER_S = 30.0, 600.0

Pair = tuple[str, str]


class RerankerFailed(Exception):
    """The reranker could not be loaded, failed, or was too slow. The text says which one and what to do."""


class Reranker:
    """One sentence-transformers `CrossEncoder`, by name or path, loaded on first use. Thread-safe; one question at a time.

    `within_s` is how long a question waits for it, once it is loaded.
    """

    def __init__(self, name: str, within_s: float) -> None:
        self._name, self._within_s = name, within_s
        self._model: Any = None
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="reranker")
        self._rests_until = 0.0

    def prepare(self) -> None:
        """Load it, so that nobody has to wait for that. A failure is logged."""
        try:
            self._loaded()
        except RerankerFailed as problem:
            self._rest(problem)

    def opinions(self, questions: Sequence[str], texts: Sequence[str]) -> list[float] | None:
        """How well each text answers, by the form of the question that it answers best; None: there is no telling now."""
        if time.monotonic() < self._rests_until:
            return None
        pairs = [(question, text[:CHARACTERS]) for text, question in product(texts, questions)]
        try:
            scores = self._read(pairs)
        except RerankerFailed as problem:
            self._rest(problem)
            return None
        forms = len(questions)
        return [max(scores[at : at + forms]) for at in range(0, len(scores), forms)]

    def _rest(self, problem: RerankerFailed) -> None:
        self._rests_until = time.monotonic() + (RESTS_S if self._model else RELOADED_AFTER_S)
        logger.warning("passages stay in the order of their scores", extra={"problem": str(problem)})

    def _loaded(self) -> Any:
        with self._lock:
            self._model = self._model or _load(self._name)
        return self._model

    def _read(self, pairs: list[Pair]) -> list[float]:
        model = self._loaded()
        reading = self._worker.submit(_scores, model, pairs)
        try:
            scores = reading.result(self._within_s)
        except TimeoutError:
            reading.cancel()  # what has begun goes on to its end; nobody else begins in the meantime
            raise RerankerFailed(f"{self._name} took longer than {self._within_s:g} s") from None
        except Exception as problem:  # whatever a model of other people's raises
            raise RerankerFailed(f"{self._name} failed ({type(problem).__name__})") from problem
        if len(scores) != len(pairs) or not all(map(math.isfinite, scores)):
            raise RerankerFailed(f"{self._name} gave no score for each pair: it is no reranker")
        return scores


def how_many(scores: Sequence[float]) -> int:
    """How many passages deserve a second look, 0 if none; their scores, best first."""
    if len(scores) < 2 or scores[0] - scores[1] > CLOSE:
        return 0
    return sum(1 for score in scores[:CANDIDATES] if scores[0] - score <= AMONG)


@lru_cache(maxsize=1)
def reranker() -> Reranker | None:
    """The reranker of this process, if one is set."""
    from django.conf import settings

    return Reranker(settings.RERANKER, settings.RERANKER_TIMEOUT_S) if settings.RERANKER else None


def _load(name: str) -> Any:
    if Path(name).exists():
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        from sentence_transformers import CrossEncoder

        return CrossEncoder(name)
    except Exception as problem:  # of a folder that is no model, one of another kind, or a hub that cannot be reached
        raise RerankerFailed(
            f"The reranker {name!r} could not be loaded ({type(problem).__name__}). "
            "Set BATON_RERANKER to a folder with a sentence-transformers cross-encoder, or unset it."
        ) from problem


def _scores(model: Any, pairs: list[Pair]) -> list[float]:
    found = model.predict(pairs, batch_size=len(pairs), show_progress_bar=False, convert_to_numpy=True)
    return [float(score) for score in found]  # a classifier's row of several is no number, and raises
