"""Which chunk each point of a version's index is: read once a process, so that ranking needs no database."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from knowledge.models import Chunk


@dataclass(frozen=True)
class Roster:
    """By point number: the chunk's primary key, its FAQ entry's (0: none), and whether it is a question."""

    chunks: npt.NDArray[np.int64]
    entries: npt.NDArray[np.int64]
    questions: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, chunks: Sequence[Chunk]) -> "Roster":
        return cls(
            np.array([chunk.pk for chunk in chunks], np.int64),
            np.array([chunk.entry_id or 0 for chunk in chunks], np.int64),
            np.array([chunk.kind == Chunk.Kind.QUESTION for chunk in chunks], np.bool_),
        )

    def to_bytes(self) -> bytes:
        file = io.BytesIO()
        np.savez_compressed(file, chunks=self.chunks, entries=self.entries, questions=self.questions)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Roster":
        with np.load(io.BytesIO(data), allow_pickle=False) as held:
            return cls(held["chunks"], held["entries"], held["questions"])
