"""Vectors from an OpenAI-style embedding endpoint: the door to it, with batches, tries and errors in words.

The address, the model and the key come from the environment only. The key is sent to that address and never logged.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt

logger = logging.getLogger(__name__)

Vectors = npt.NDArray[np.float32]

BATCH = 64
TRIES = 4
TIMEOUT_S = 30.0
QUESTION_TRIES = 2
QUESTION_TIMEOUT_S = 4.0
PROBE = "How long do refunds take?"
_AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504})


class EncoderUnavailable(Exception):
    """The encoder could not be loaded or reached. The text says which one and what to do; none of our texts is in it."""


@dataclass(frozen=True)
class EndpointEncoder:
    """An encoder (see `knowledge.embedding.Encoder`) behind ``POST {url}/embeddings``.

    `languages`: the writing it understands (``en``, ``zh``); empty: any. `pause_s` is doubled between tries. Thread-safe.
    """

    url: str
    model: str
    key: str = field(default="", repr=False)
    languages: frozenset[str] = frozenset()
    pause_s: float = 0.5

    @property
    def fingerprint(self) -> str:
        """The address counts as well: the same name elsewhere may be another model."""
        where = hashlib.sha256(self.url.encode()).hexdigest()[:8]
        return f"{self.model.rsplit('/', 1)[-1][:50]}:{self.size}:{where}"

    @cached_property
    def size(self) -> int:
        """Asked of the endpoint once. Raises `EncoderUnavailable`."""
        return len(self._embed([PROBE])[0])

    def encode_question(self, text: str) -> Vectors:
        """Somebody waits: tried twice, for a few seconds. Raises `EncoderUnavailable`."""
        return self._questions(text)

    @cached_property
    def _questions(self) -> Callable[[str], Vectors]:
        def encode(text: str) -> Vectors:
            vector: Vectors = self._embed([text], tries=QUESTION_TRIES, timeout_s=QUESTION_TIMEOUT_S)[0]
            return vector

        return lru_cache(maxsize=4096)(encode)

    def encode(self, texts: Sequence[str], *, on_batch: Callable[[int], None] | None = None) -> Vectors:
        """One row a text. Raises `EncoderUnavailable`."""
        rows: list[Vectors] = []
        for start in range(0, len(texts), BATCH):
            batch = list(texts[start : start + BATCH])
            rows.append(self._embed(batch))
            if on_batch:
                on_batch(len(batch))
        return np.concatenate(rows) if rows else np.zeros((0, self.size), np.float32)

    def encode_messages(self, texts: Sequence[str]) -> Vectors:
        return self.encode(texts)

    def understood(self, text: str) -> float:
        """The share of letters in a writing that it understands."""
        letters = [character for character in text if character.isalpha()]
        if not self.languages or not letters:
            return 1.0
        chinese = sum(1 for letter in letters if "\u3400" <= letter <= "\u9fff") / len(letters)
        return ("zh" in self.languages) * chinese + ("en" in self.languages) * (1 - chinese)

    def _embed(self, texts: list[str], tries: int = TRIES, timeout_s: float = TIMEOUT_S) -> Vectors:
        """Rows of length 1."""
        answer = self._ask({"model": self.model, "input": texts, "encoding_format": "float"}, tries, timeout_s)
        try:
            rows = sorted(answer["data"], key=lambda row: int(row["index"]))
            vectors = np.array([row["embedding"] for row in rows], np.float32)
        except (KeyError, TypeError, ValueError):
            raise EncoderUnavailable(f"The embedding endpoint's answer for {self.model} holds no vectors.") from None
        lengths = np.linalg.norm(vectors, axis=1) if vectors.ndim == 2 else np.zeros(1)
        if len(vectors) != len(texts) or not np.isfinite(lengths).all() or not lengths.all():
            raise EncoderUnavailable(
                f"The embedding endpoint gave {len(vectors)} usable vectors for {len(texts)} texts."
            )
        unit: Vectors = vectors / lengths[:, None]
        return unit

    def _ask(self, body: dict[str, Any], tries: int, timeout_s: float) -> Any:
        pause, problem = self.pause_s, ""
        for attempt in range(tries):
            if attempt:
                time.sleep(pause)
                pause *= 2
            try:
                answer = self._client.post("embeddings", json=body, timeout=timeout_s)
            except httpx.TransportError as failure:
                problem = f"cannot be reached ({type(failure).__name__}). Check BATON_EMBEDDINGS_URL."
                continue
            if answer.status_code in {401, 403}:
                raise EncoderUnavailable(
                    "The embedding endpoint does not accept the key. Check BATON_EMBEDDINGS_API_KEY."
                )
            if answer.status_code == 404:
                raise EncoderUnavailable(
                    f"The embedding endpoint knows no model {self.model}, or no /embeddings. "
                    "Check BATON_EMBEDDINGS_URL (it usually ends in /v1) and BATON_EMBEDDINGS_MODEL."
                )
            if answer.is_success:
                try:
                    return answer.json()
                except ValueError:
                    raise EncoderUnavailable("The embedding endpoint's answer is not JSON.") from None
            problem = f"answered {answer.status_code}."
            if answer.status_code not in _AGAIN:
                break
            pause = max(pause, _wished_pause_s(answer))
        logger.warning("the embedding endpoint failed", extra={"model": self.model, "problem": problem})
        raise EncoderUnavailable(f"The embedding endpoint {problem}")

    @cached_property
    def _client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return httpx.Client(base_url=self.url.rstrip("/") + "/", headers=headers)


def _wished_pause_s(answer: httpx.Response) -> float:
    """What the endpoint asks us to wait, at most ten seconds."""
    try:
        return min(10.0, float(answer.headers.get("retry-after", 0)))
    except ValueError:
        return 0.0
