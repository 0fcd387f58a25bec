"""The vector index of a version, behind one small interface: Qdrant embedded in the process, or a Qdrant server.

A version's index is built once and never changed; deleting and correcting means building the next one. Embedded, it is
a folder that any number of processes may open at the same time (no write-ahead log, nothing is written to it). On a
server it is a Qdrant collection of its own.
"""

import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import qdrant_edge as edge
from django.conf import settings

from knowledge.embedding import Vectors
from knowledge.lexicon import Sparse

DENSE = "dense"
LEXICAL = "lexical"
BATCH = 256


class IndexUnavailable(Exception):
    """The index of a version could not be opened or asked."""


@dataclass(frozen=True)
class Point:
    """A chunk as the index holds it. `id` is its number within the version."""

    id: int
    vector: Sequence[float]
    lexical: Sparse


class OpenIndex(Protocol):
    """The index of one version, ready to be asked. Scores are dot products; results are best first."""

    def nearest(self, vector: Vectors, limit: int, among: Iterable[int] | None = None) -> dict[int, float]: ...

    def matching(self, question: Sparse, limit: int, among: Iterable[int] | None = None) -> dict[int, float]: ...

    def count(self) -> int:
        """How many points it holds, counted, not estimated."""


class Engine(Protocol):
    """Builds, opens and drops version indexes by name."""

    def build(self, name: str, size: int, points: Iterable[Point]) -> None: ...

    def open(self, name: str) -> OpenIndex:
        """Raises `IndexUnavailable`."""

    def drop(self, name: str) -> None: ...


class EmbeddedEngine:
    """Qdrant Edge on a folder per version."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, _EdgeIndex] = {}
        self._lock = threading.Lock()

    def build(self, name: str, size: int, points: Iterable[Point]) -> None:
        final, unfinished = self._folder / name, self._folder / f"{name}.building"
        for stale in (unfinished, final):
            shutil.rmtree(stale, ignore_errors=True)
        unfinished.mkdir(parents=True)
        shard = edge.EdgeShard.create(
            str(unfinished),
            edge.EdgeConfig(
                vectors={DENSE: edge.EdgeVectorParams(size=size, distance=edge.Distance.Dot)},
                sparse_vectors={LEXICAL: edge.EdgeSparseVectorParams()},
                wal_enabled=False,
            ),
        )
        for batch in batches(points):
            shard.update(
                edge.UpdateOperation.upsert_points(
                    [
                        edge.Point(
                            id=point.id,
                            vector={
                                DENSE: list(map(float, point.vector)),
                                LEXICAL: edge.SparseVector(indices=point.lexical.indices, values=point.lexical.values),
                            },
                        )
                        for point in batch
                    ]
                )
            )
        shard.optimize()
        shard.flush()
        shard.close()
        unfinished.rename(final)

    def open(self, name: str) -> OpenIndex:
        with self._lock:
            if name not in self._open:
                try:
                    self._open[name] = _EdgeIndex(edge.EdgeShard.load(str(self._folder / name)))
                except Exception as problem:  # the engine raises bare exceptions of its own making
                    raise IndexUnavailable(f"the index {name} cannot be opened") from problem
            return self._open[name]

    def drop(self, name: str) -> None:
        with self._lock:
            if held := self._open.pop(name, None):
                held.close()
        shutil.rmtree(self._folder / name, ignore_errors=True)


class _EdgeIndex:
    def __init__(self, shard: edge.EdgeShard) -> None:
        self._shard = shard

    def nearest(self, vector: Vectors, limit: int, among: Iterable[int] | None = None) -> dict[int, float]:
        return self._ask(edge.Query.Nearest(vector.tolist(), using=DENSE), limit, among)

    def matching(self, question: Sparse, limit: int, among: Iterable[int] | None = None) -> dict[int, float]:
        if not question.indices:
            return {}
        vector = edge.SparseVector(indices=question.indices, values=question.values)
        return self._ask(edge.Query.Nearest(vector, using=LEXICAL), limit, among)

    def count(self) -> int:
        return int(self._shard.count(edge.CountRequest(exact=True)))

    def close(self) -> None:
        self._shard.close()

    def _ask(self, query: Any, limit: int, among: Iterable[int] | None) -> dict[int, float]:
        only = None if among is None else edge.Filter(must=[edge.HasIdCondition(set(among))])
        found = self._shard.query(edge.QueryRequest(limit=limit, query=query, filter=only))
        return {int(point.id): point.score for point in found}


@lru_cache(maxsize=1)
def engine() -> Engine:
    """The engine of this process: the server named by ``QDRANT_URL``, or embedded."""
    if settings.QDRANT_URL:
        from knowledge.server_index import ServerEngine  # its client takes 40 MB that who is embedded does without

        return ServerEngine.at(settings.QDRANT_URL, settings.QDRANT_API_KEY)
    return EmbeddedEngine(settings.INDEX_DIR)


def batches(points: Iterable[Point]) -> Iterator[list[Point]]:
    remaining = iter(points)
    while batch := list(islice(remaining, BATCH)):
        yield batch
