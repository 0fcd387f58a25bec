"""The index on a Qdrant server: a Qdrant collection for each version (see `knowledge.index`)."""

from collections.abc import Iterable
from typing import Any

from qdrant_client import QdrantClient, models

from knowledge.embedding import Vectors
from knowledge.index import DENSE, LEXICAL, IndexUnavailable, OpenIndex, Point, batches
from knowledge.lexicon import Sparse


class ServerEngine:
    """A Qdrant server, or anything else `QdrantClient` can talk to. Every name gets `prefix` put before it."""

    def __init__(self, client: QdrantClient, prefix: str = "baton-") -> None:
        self._client, self._prefix = client, prefix

    @classmethod
    def at(cls, url: str, key: str) -> "ServerEngine":
        return cls(QdrantClient(url=url, api_key=key or None, timeout=10))

    def build(self, name: str, size: int, points: Iterable[Point]) -> None:
        self.drop(name)
        self._client.create_collection(
            self._prefix + name,
            vectors_config={DENSE: models.VectorParams(size=size, distance=models.Distance.DOT)},
            sparse_vectors_config={LEXICAL: models.SparseVectorParams()},
        )
        for batch in batches(points):
            self._client.upsert(
                self._prefix + name,
                [
                    models.PointStruct(
                        id=point.id,
                        vector={
                            DENSE: list(map(float, point.vector)),
                            LEXICAL: models.SparseVector(indices=point.lexical.indices, values=point.lexical.values),
                        },
                    )
                    for point in batch
                ],
                wait=True,
            )

    def open(self, name: str) -> OpenIndex:
        return _ServerIndex(self._client, self._prefix + name)

    def drop(self, name: str) -> None:
        self._client.delete_collection(self._prefix + name)


class _ServerIndex:
    def __init__(self, client: QdrantClient, name: str) -> None:
        self._client, self._name = client, name

    def nearest(self, vector: Vectors, limit: int, among: Iterable[int] | None = None) -> dict[int, float]:
        return self._ask(vector.tolist(), DENSE, limit, among)

    def matching(self, question: Sparse, limit: int, among: Iterable[int] | None = None) -> dict[int, float]:
        if not question.indices:
            return {}
        vector = models.SparseVector(indices=question.indices, values=question.values)
        return self._ask(vector, LEXICAL, limit, among)

    def count(self) -> int:
        try:
            return int(self._client.count(self._name, exact=True).count)
        except Exception as problem:  # as in `_ask`
            raise IndexUnavailable(f"the Qdrant server did not answer for {self._name}") from problem

    def _ask(self, query: Any, using: str, limit: int, among: Iterable[int] | None) -> dict[int, float]:
        only = None if among is None else models.Filter(must=[models.HasIdCondition(has_id=list(among))])
        try:
            found = self._client.query_points(self._name, query=query, using=using, limit=limit, query_filter=only)
        except Exception as problem:  # transport, status and parse errors of the client have no common base
            raise IndexUnavailable(f"the Qdrant server did not answer for {self._name}") from problem
        return {int(point.id): point.score for point in found.points}
