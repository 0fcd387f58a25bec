"""Versions: everything readable in a collection is built beside the live version, then switched to.

The switch is one transaction (law 7); until it, and when anything fails before it, the live version answers.
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
from knowledge.lexicon import Lexicon
from knowledge.models import Chunk, Collection, Document, Vector, Version
from knowledge.roster import Roster
from knowledge.segment import Legs, legs
from workspace import audit, leases
from workspace.models import Job

PUBLISH_JOB = "publish_collection"

BUILD_LEASE_S = 10.0  # as long as a job's: whoever takes the job of a dead worker may build at once
KEPT_VERSIONS = 3
ENCODE_STEP = 256

Progress = Callable[[str, int, int], None]
"""Called with a stage ("encode", "index"), how much is done and how much there is."""


class BeingBuilt(Exception):
    """Another worker is building this collection."""


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
    with building(collection) as renew:
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
def building(collection: Collection) -> Iterator[Callable[[], None]]:
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
        with leases.Renewing(renew, BUILD_LEASE_S / 3, collection.public_id):
            yield renew
    finally:
        rows.filter(builder=me).update(builder="", builder_until=None)


def _lease() -> dt.datetime:
    return timezone.now() + dt.timedelta(seconds=BUILD_LEASE_S)


def _drop_old_versions(collection: Collection) -> None:
    for old in collection.versions.order_by("-number")[KEPT_VERSIONS:]:
        engine().drop(old.index_name)
        old.delete()
