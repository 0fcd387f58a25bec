"""The verbs of knowledge: take a file in, read it, publish a version, delete a document.

A version is built whole beside the live one and switched to in one transaction (law 7). A deleted document is out of
reach at once, because search asks the database for every row it returns; the next version then leaves it out.
"""

import datetime as dt
import hashlib
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from knowledge.embedding import Vectors, encoder
from knowledge.index import Point, engine
from knowledge.ingest.chunk import Piece, chunk
from knowledge.ingest.extract import Extracted, Unreadable, extract
from knowledge.lexicon import Lexicon
from knowledge.models import Chunk, Collection, Document, Entry, Vector, Version
from knowledge.roster import Roster
from knowledge.segment import Legs, legs
from workspace import audit, leases
from workspace.models import Job, Workspace

READ_JOB = "read_document"
PUBLISH_JOB = "publish_collection"

BUILD_LEASE_S = 60.0
KEPT_VERSIONS = 3
ENCODE_STEP = 256

Progress = Callable[[str, int, int], None]
"""Called with a stage ("encode", "index"), how much is done and how much there is."""


class UnknownCollection(Exception):
    """There is no collection of that name. `names` are those there are."""

    def __init__(self, name: str, names: Sequence[str]) -> None:
        self.name, self.names = name, tuple(names)
        super().__init__(name)


class BeingBuilt(Exception):
    """Another worker is building this collection."""


def find_collection(*, workspace: Workspace, name: str) -> Collection:
    """By name or public id. Raises `UnknownCollection`."""
    found = Collection.objects.of(workspace).filter(Q(name=name) | Q(public_id=name)).first()
    if found is None:
        raise UnknownCollection(name, [collection.name for collection in collections_of(workspace)])
    return found


def collections_of(workspace: Workspace) -> list[Collection]:
    return list(Collection.objects.of(workspace).order_by("name"))


def find_or_create_collection(*, workspace: Workspace, name: str) -> Collection:
    return Collection.objects.of(workspace).get_or_create(name=name.strip())[0]


def add_file(
    *, collection: Collection, name: str, data: bytes, url: str = "", actor: str = audit.SYSTEM
) -> Document | None:
    """Keep a file and the job to read it. The same content under the same name again changes nothing (None)."""
    digest = hashlib.sha256(data).hexdigest()
    source = name.replace("\x00", "")[-500:]
    with transaction.atomic():
        known = Document.objects.of(collection.workspace_id).kept().filter(collection=collection, source=source)
        if known.filter(content_hash=digest).exclude(status=Document.Status.FAILED).exists():
            return None
        document = Document.objects.of(collection.workspace_id).create(
            collection=collection,
            title=source.rsplit("/", 1)[-1][:200],
            source=source,
            url=url,
            media_type="",
            content_hash=digest,
            size_bytes=len(data),
            content=data,
            replaces=known.exclude(status=Document.Status.FAILED).order_by("-pk").first(),
        )
        known.filter(status=Document.Status.FAILED).exclude(pk=document.pk).update(deleted_at=timezone.now())
        leases.enqueue(workspace=collection.workspace_id, kind=READ_JOB, payload={"document": document.public_id})
        audit.record(
            workspace_id=collection.workspace_id, actor=actor, action="document.add", target=document.public_id
        )
    return document


def retry_document(*, document: Document) -> None:
    """Read a failed document once more."""
    with transaction.atomic():
        document.status, document.error, document.error_detail = Document.Status.QUEUED, "", ""
        document.save(update_fields=["status", "error", "error_detail"])
        leases.enqueue(workspace=document.workspace_id, kind=READ_JOB, payload={"document": document.public_id})


def read_document(*, document: Document) -> None:
    """Extract and cut a document. What cannot be read is marked failed, with the reason, and kept for another try."""
    if document.status != Document.Status.QUEUED or document.content is None:
        return
    try:
        found = extract(document.source, bytes(document.content))
    except Unreadable as problem:
        Document.every.filter(replaces=document).update(replaces=document.replaces)
        Document.every.filter(pk=document.pk).update(
            status=Document.Status.FAILED, error=problem.code, error_detail=problem.detail
        )
        return
    with transaction.atomic():
        document = Document.every.select_for_update(of=("self",)).get(pk=document.pk)
        if not store(document, found):
            document.status, document.error = Document.Status.FAILED, "empty"
        else:
            document.status, document.title, document.media_type = (
                Document.Status.READ,
                found.title[:200],
                found.media_type,
            )
            document.content = None
            request_publish(document.collection)
        document.save()


def store(document: Document, found: Extracted) -> int:
    """Replace a document's chunks by what was found in it. Returns their number."""
    Chunk.objects.of(document.workspace_id).filter(document=document).delete()
    Entry.objects.of(document.workspace_id).filter(document=document).delete()
    return _store_entries(document, found) + _store_passages(document, found)


def request_publish(collection: Collection) -> None:
    """See that a publish comes after now: one that waits already will do."""
    waiting = Job.objects.of(collection.workspace_id).filter(
        kind=PUBLISH_JOB, status=Job.Status.QUEUED, payload={"collection": collection.public_id}
    )
    if not waiting.exists():
        leases.enqueue(
            workspace=collection.workspace_id, kind=PUBLISH_JOB, payload={"collection": collection.public_id}
        )


def publish(*, collection: Collection, progress: Progress = lambda *_: None) -> Version:
    """Build the next version of a collection from everything readable in it, and switch to it.

    Raises `BeingBuilt`, `knowledge.embedding.EncoderUnavailable`, or whatever the index engine raises; the live version
    stays untouched then.
    """
    with _building(collection) as renew:
        documents = list(Document.objects.of(collection.workspace_id).readable().filter(collection=collection))
        gone = {document.replaces_id for document in documents if document.replaces_id}
        documents = [document for document in documents if document.pk not in gone]
        chunks = list(
            Chunk.objects.of(collection.workspace_id).filter(document__in=documents).order_by("document_id", "pk")
        )
        vectors = _vectors(collection, chunks, progress, renew)
        cuts = [legs(piece.indexed_text) for piece in chunks]
        lexicon = Lexicon.of(cuts)
        number = (collection.versions.order_by("-number").values_list("number", flat=True).first() or 0) + 1
        version = Version(
            workspace_id=collection.workspace_id,
            collection=collection,
            number=number,
            encoder=encoder().fingerprint,
            chunks=len(chunks),
            lexicon=lexicon.to_bytes(),
            roster=Roster.of(chunks).to_bytes(),
        )
        points = (
            Point(at, vectors[at], lexicon.weigh_chunk(cut)) for at, cut in _counted(cuts, "index", progress, renew)
        )
        engine().build(version.index_name, vectors.shape[1], points)
        with transaction.atomic():
            version.save(force_insert=True)
            Collection.every.filter(pk=collection.pk).update(version=number)
            Document.every.filter(pk__in=[document.pk for document in documents], deleted_at__isnull=True).update(
                status=Document.Status.LIVE
            )
            Document.every.filter(pk__in=gone).update(deleted_at=timezone.now())
            audit.record(
                workspace_id=collection.workspace_id,
                actor=audit.SYSTEM,
                action="collection.publish",
                target=collection.public_id,
                detail={"version": number, "chunks": len(chunks)},
            )
        collection.version = number
        _drop_old_versions(collection)
    return version


def delete_document(*, document: Document, actor: str) -> None:
    """Take a document out: it is no longer found from this moment, and the next version is built without it."""
    with transaction.atomic():
        Document.every.filter(pk=document.pk).update(deleted_at=timezone.now())
        request_publish(document.collection)
        audit.record(
            workspace_id=document.workspace_id, actor=actor, action="document.delete", target=document.public_id
        )


def _store_entries(document: Document, found: Extracted) -> int:
    entries = [
        Entry(
            workspace_id=document.workspace_id,
            document=document,
            position=at,
            question=entry.question,
            answers=list(entry.answers),
        )
        for at, entry in enumerate(found.entries)
    ]
    Entry.every.bulk_create(entries, batch_size=500)
    rows: list[Chunk] = []
    for entry, source in zip(entries, found.entries, strict=True):
        for phrasing in dict.fromkeys((source.question, *source.phrasings)):
            rows.append(_chunk(document, len(rows), Chunk.Kind.QUESTION, Piece("", phrasing), entry))
        for answer in source.answers:
            for piece in chunk(answer):
                rows.append(_chunk(document, len(rows), Chunk.Kind.ANSWER, piece, entry))
    Chunk.every.bulk_create(rows, batch_size=500)
    return len(rows)


def _store_passages(document: Document, found: Extracted) -> int:
    texts = [part.markdown for part in found.parts] if found.parts else [found.markdown]
    rows = [
        _chunk(document, at, Chunk.Kind.PASSAGE, piece)
        for at, piece in enumerate(piece for text in texts for piece in chunk(text))
    ]
    Chunk.every.bulk_create(rows, batch_size=500)
    return len(rows)


def _chunk(document: Document, at: int, kind: Chunk.Kind, piece: Piece, entry: Entry | None = None) -> Chunk:
    return Chunk(
        workspace_id=document.workspace_id,
        document=document,
        entry=entry,
        kind=kind,
        position=at,
        heading=piece.heading,
        text=piece.text,
    )


def _vectors(collection: Collection, chunks: Sequence[Chunk], progress: Progress, renew: Callable[[], None]) -> Vectors:
    """One row a chunk, encoding only what was never encoded before."""
    chosen = encoder()
    hashes = [hashlib.sha256(piece.indexed_text.encode()).hexdigest() for piece in chunks]
    cached = Vector.objects.of(collection.workspace_id).filter(encoder=chosen.fingerprint)
    known: dict[str, bytes] = {}
    for start in range(0, len(hashes), 500):
        some = cached.filter(text_hash__in=hashes[start : start + 500])
        known.update({name: bytes(data) for name, data in some.values_list("text_hash", "data")})
    missing = {name: piece.indexed_text for name, piece in zip(hashes, chunks, strict=True) if name not in known}
    names, done = list(missing), 0
    progress("encode", 0, len(names))
    for start in range(0, len(names), ENCODE_STEP):
        step = names[start : start + ENCODE_STEP]
        fresh = chosen.encode([missing[name] for name in step]).astype("<f2")
        rows = [
            Vector(
                workspace_id=collection.workspace_id,
                encoder=chosen.fingerprint,
                text_hash=name,
                data=vector.tobytes(),
            )
            for name, vector in zip(step, fresh, strict=True)
        ]
        Vector.every.bulk_create(rows, ignore_conflicts=True)
        known.update({row.text_hash: bytes(row.data) for row in rows})
        done += len(step)
        renew()
        progress("encode", done, len(names))
    table = np.zeros((len(hashes), chosen.size), np.float32)
    for at, name in enumerate(hashes):
        table[at] = np.frombuffer(known[name], "<f2")
    return table


def _counted(
    items: Sequence[Legs], stage: str, progress: Progress, renew: Callable[[], None]
) -> Iterator[tuple[int, Legs]]:
    for at, item in enumerate(items):
        yield at, item
        if at % ENCODE_STEP == 0 or at + 1 == len(items):
            renew()
            progress(stage, at + 1, len(items))


@contextmanager
def _building(collection: Collection) -> Iterator[Callable[[], None]]:
    """Hold the right to build this collection; gives the function that renews it. Raises `BeingBuilt`."""
    me = uuid.uuid4().hex
    rows = Collection.every.filter(pk=collection.pk)
    free = Q(builder="") | Q(builder_until__lt=timezone.now())
    if not rows.filter(free).update(builder=me, builder_until=_lease()):
        raise BeingBuilt(collection.name)

    def renew() -> None:
        if not rows.filter(builder=me).update(builder_until=_lease()):
            raise BeingBuilt(collection.name)

    try:
        yield renew
    finally:
        rows.filter(builder=me).update(builder="", builder_until=None)


def _lease() -> dt.datetime:
    return timezone.now() + dt.timedelta(seconds=BUILD_LEASE_S)


def _drop_old_versions(collection: Collection) -> None:
    for old in collection.versions.order_by("-number")[KEPT_VERSIONS:]:
        engine().drop(old.index_name)
        old.delete()
