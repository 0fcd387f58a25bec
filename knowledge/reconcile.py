"""Proof, on a schedule, that what is searched is what should be: as many vectors as chunks, and nothing that was deleted.

What is found wrong is put right: a version that holds deleted pieces, was made with another encoder, or whose index is gone
is built anew. Words of deleted documents that no live version or draft needs are erased, and vectors of words that no version
needs any more are removed.
"""

from dataclasses import asdict, dataclass

from django.utils import timezone

from knowledge.embedding import encoder
from knowledge.index import IndexUnavailable, engine
from knowledge.models import Chunk, Collection, Document, Entry, SourceText, Vector, Version
from knowledge.publishing import request_publish, text_hash
from knowledge.roster import Roster

RECONCILE_JOB = "reconcile_collection"
ROWS = 500


@dataclass(frozen=True)
class Report:
    """Of one live version or draft. `vectors` is counted in its index (-1: it cannot be opened), `chunks` in the database;
    `deleted` are points of deleted documents, `missing` points whose chunk is gone, `erased` the pieces erased now.
    """

    version: int
    vectors: int
    chunks: int
    deleted: int
    missing: int
    other_encoder: bool

    @property
    def is_right(self) -> bool:
        return self.vectors == self.chunks and not (self.deleted or self.missing or self.other_encoder)


def reconcile(*, collection: Collection) -> list[Report]:
    """Look at the live version and the draft, ask for what must be built anew, erase what nobody may find any more."""
    collection.refresh_from_db()
    numbers = [number for number in (collection.version, collection.draft) if number]
    versions = Version.objects.of(collection.workspace_id).filter(collection=collection, number__in=numbers)
    reports = [_look_at(version) for version in versions.order_by("number")]
    erased = _erase_deleted(collection)
    unused = _remove_unused_vectors(collection.workspace_id)
    is_right = all(report.is_right for report in reports)
    if not is_right:
        request_publish(collection)
    Collection.objects.of(collection.workspace_id).filter(pk=collection.pk).update(
        report={
            "at": timezone.now().isoformat(),
            "right": is_right,
            "erased": erased,
            "unused": unused,
            "versions": [asdict(report) for report in reports],
        }
    )
    return reports


def _look_at(version: Version) -> Report:
    keys = [int(key) for key in Roster.from_bytes(bytes(version.roster)).chunks]
    alive = dead = 0
    for start in range(0, len(keys), ROWS):
        some = Chunk.objects.of(version.workspace_id).filter(pk__in=keys[start : start + ROWS])
        gone = some.filter(document__deleted_at__isnull=False).count()
        dead += gone
        alive += some.count() - gone
    try:
        vectors = engine().open(version.index_name).count()
    except IndexUnavailable:
        vectors = -1
    return Report(
        version.number, vectors, alive, dead, len(keys) - alive - dead, version.encoder != encoder().fingerprint
    )


def _erase_deleted(collection: Collection) -> int:
    """Pieces and source texts of deleted documents, once neither the live version nor the draft holds a point of them; of
    replaced ones, once no kept version does."""
    held: set[int] = set()
    pointed: set[int] = set()
    for version in Version.objects.of(collection.workspace_id).filter(collection=collection):
        keys = {int(key) for key in Roster.from_bytes(bytes(version.roster)).chunks}
        held |= keys
        if version.number in (collection.version, collection.draft):
            pointed |= keys
    rows = Document.objects.of(collection.workspace_id).filter(collection=collection).defer("content")
    deleted = rows.filter(deleted_at__isnull=False)
    replaced = rows.filter(deleted_at__isnull=True, status=Document.Status.REPLACED)
    deleted.filter(content__isnull=False).update(content=None)
    return sum(
        _erase(document, needed)
        for documents, needed in ((deleted, pointed), (replaced, held))
        for document in documents.filter(chunks__isnull=False).distinct()
    )


def _erase(document: Document, needed: set[int]) -> int:
    chunks = Chunk.objects.of(document.workspace_id).filter(document=document)
    if not needed.isdisjoint(chunks.values_list("pk", flat=True)):
        return 0
    count = chunks.count()
    Entry.objects.of(document.workspace_id).filter(document=document).delete()  # and their chunks
    chunks.delete()
    SourceText.objects.of(document.workspace_id).filter(document=document).delete()
    return count


def _remove_unused_vectors(workspace: int) -> int:
    """Stored vectors of a workspace that neither a kept version nor the next one is made of; how many those were.

    The vectors are listed before the pieces, so that what is encoded meanwhile is none of them. One that is taken from a build
    under way, or from a process with another encoder, is made again.
    """
    versions = Version.objects.of(workspace)
    encoders = {*versions.values_list("encoder", flat=True), encoder().fingerprint}
    stored = list(Vector.objects.of(workspace).values_list("pk", "encoder", "text_hash"))
    held = {
        int(key)
        for roster in versions.values_list("roster", flat=True)
        for key in Roster.from_bytes(bytes(roster)).chunks
    }
    needed = {
        text_hash(piece)
        for piece in Chunk.objects.of(workspace).only("heading", "text", "current", "document").iterator(ROWS)
        if piece.current or piece.pk in held
    }
    unused = [key for key, made_by, name in stored if made_by not in encoders or name not in needed]
    for start in range(0, len(unused), ROWS):
        Vector.objects.of(workspace).filter(pk__in=unused[start : start + ROWS]).delete()
    return len(unused)
