"""What a version holds that another does not: counted by document, kept with the version, told to its owner."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from knowledge.models import Chunk, Version
from knowledge.roster import Roster

LISTED = 50  # documents
ROWS = 500


def between(old: Version | None, chunks: Sequence[Chunk]) -> dict[str, Any]:
    """Pieces added and removed, ``{"added", "removed", "documents": [{"title", "added", "removed"}]}``.

    A piece is its words: one that only moved, or was read again, is no change. Chunks that are purged count as removed.
    """
    held = [] if old is None else _held(old)
    titles = {row[0]: row[1] for row in held}
    before = Counter((source, *words) for source, _, *words in held)
    after: Counter[tuple[str, ...]] = Counter()
    for piece in chunks:
        titles[piece.document.source] = piece.document.title
        after[piece.document.source, piece.kind, piece.heading, piece.text] += 1
    added, removed = after - before, before - after
    by_source: dict[str, list[int]] = {}
    for at, counted in enumerate((added, removed)):
        for (source, *_), count in counted.items():
            by_source.setdefault(source, [0, 0])[at] += count
    documents = [
        {"title": titles[source], "added": plus, "removed": minus}
        for source, (plus, minus) in sorted(by_source.items())
    ]
    missing = 0 if old is None else old.chunks - before.total()
    return {
        "added": added.total(),
        "removed": removed.total() + max(0, missing),
        "documents": documents[:LISTED],
        "more": max(0, len(documents) - LISTED),
    }


def _held(version: Version) -> list[tuple[str, ...]]:
    """What is left of a version: source, title, kind, heading and text of its chunks."""
    keys = [int(key) for key in Roster.from_bytes(bytes(version.roster)).chunks]
    rows: list[tuple[str, ...]] = []
    for start in range(0, len(keys), ROWS):
        some = Chunk.objects.of(version.workspace_id).filter(pk__in=keys[start : start + ROWS])
        rows += some.values_list("document__source", "document__title", "kind", "heading", "text")
    return rows
