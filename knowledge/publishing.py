"""Versions are built and switched to here: everything readable in a collection, beside the live version, then instead of it.

The switch is one transaction (law 7); until it, and when anything fails before it, the live version answers. A collection
that does not publish by itself gets a draft, which can be asked beside the live version. What is deleted is taken out of
the live version in any case.
"""

import datetime as dt
import hashlib
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from knowledge import changes
from knowledge.embedding import Vectors, encoder
from knowledge.index import IndexUnavailable, Point, engine
from knowledge.lexicon import Lexicon
from knowledge.models import Chunk, Collection, Document, GoldRun, Vector, Version
from knowledge.roster import Roster
from knowledge.segment import CUT_AS, Legs, legs
from workspace import audit, leases
from workspace.models import Job

PUBLISH_JOB = "publish_collection"

BUILD_LEASE_S = leases.LEASE_S  # as long as a job's: whoever takes the job of a dead worker may build at once
KEPT_VERSIONS = 10
KEPT_INDEXES = 3  # of them; the others are built again from their chunks when they are wanted
ENCODE_STEP = 256
ROWS = 500

Progress = Callable[[str, int, int], None]
"""Called with a stage ("encode", "index"), how much is done and how much there is."""


def no_progress(*_: object) -> None:
    """For who does not look."""


class BeingBuilt(Exception):
    """Another worker is building this collection."""


def request_publish(collection: Collection) -> None:
    """See that the versions are brought up to date after now: a job that waits already will do."""
    waiting = Job.objects.of(collection.workspace_id).filter(
        kind=PUBLISH_JOB, status=Job.Status.QUEUED, payload={"collection": collection.public_id}
    )
    if not waiting.exists():
        leases.enqueue(
            workspace=collection.workspace_id, kind=PUBLISH_JOB, payload={"collection": collection.public_id}
        )


def publish(*, collection: Collection, progress: Progress = no_progress, actor: str = audit.SYSTEM) -> Version:
    """Build the next version of a collection from everything readable in it, and switch to it.

    Raises `BeingBuilt`, `knowledge.embedding.EncoderUnavailable`, or whatever the index engine raises; the live version
    stays untouched then.
    """
    with building(collection) as renew:
        return switch(version=_build_newest(collection, progress, renew), actor=actor)


def refresh(*, collection: Collection, progress: Progress = no_progress) -> None:
    """Bring the versions up to date: publish, or, where a person publishes, clean the live version and build a draft.

    Raises as `publish` does.
    """
    collection.refresh_from_db()
    if collection.automatic:
        publish(collection=collection, progress=progress)
        return
    with building(collection) as renew:
        if version := live_version(collection):
            reason = _staleness(version)
            if reason:
                clean = build(collection, alive_chunks(version), reason, progress, renew, restores=version.number)
                switch(version=clean, actor=audit.SYSTEM)
        draft = _build_newest(collection, progress, renew)
        with transaction.atomic():
            Collection.every.filter(pk=collection.pk).update(draft=draft.number)
        collection.refresh_from_db()
        drop_old_versions(collection)


def build(
    collection: Collection,
    chunks: Sequence[Chunk],
    reason: str,
    progress: Progress,
    renew: Callable[[], None],
    restores: int | None = None,
) -> Version:
    """Make a version of these chunks, in their order, with its index; nothing points to it yet. Holds `building`."""
    vectors = _vectors(collection, chunks, progress, renew)
    cuts = [legs(piece.indexed_text) for piece in chunks]
    lexicon = Lexicon.of(cuts)
    number = (collection.versions.order_by("-number").values_list("number", flat=True).first() or 0) + 1
    version = Version(
        workspace_id=collection.workspace_id,
        collection=collection,
        number=number,
        encoder=encoder().fingerprint,
        cut_as=CUT_AS,
        chunks=len(chunks),
        lexicon=lexicon.to_bytes(),
        roster=Roster.of(chunks).to_bytes(),
        reason=reason,
        restores=restores,
        documents=sorted({piece.document_id for piece in chunks}),
        digest=digest_of(chunks),
        changes=changes.between(live_version(collection), chunks),
    )
    points = (Point(at, vectors[at], lexicon.weigh_chunk(cut)) for at, cut in _counted(cuts, "index", progress, renew))
    engine().build(version.index_name, vectors.shape[1], points)
    version.save(force_insert=True)
    return version


def switch(*, version: Version, actor: str) -> Version:
    """Make a version the live one."""
    collection, workspace = version.collection, version.workspace_id
    with transaction.atomic():
        now = timezone.now()
        was = Collection.every.select_for_update().get(pk=collection.pk)
        Version.every.filter(pk=version.pk, published_at__isnull=True).update(published_at=now)
        Collection.every.filter(pk=collection.pk).update(
            version=version.number,
            draft=0 if version.number >= was.draft else was.draft,
            revision=F("revision") + 1,
        )
        _tell_documents(version)
        audit.record(
            workspace_id=workspace,
            actor=actor,
            action="collection.publish",
            target=collection.public_id,
            detail={"version": version.number, "chunks": version.chunks, "reason": version.reason},
        )
    collection.refresh_from_db()
    version.refresh_from_db()
    drop_old_versions(collection)
    return version


def live_version(collection: Collection) -> Version | None:
    return Version.every.filter(collection=collection, number=collection.version).first()


def alive_chunks(version: Version) -> list[Chunk]:
    """The chunks of a version whose documents are not deleted, in the version's order."""
    keys = [int(key) for key in Roster.from_bytes(bytes(version.roster)).chunks]
    rows: dict[int, Chunk] = {}
    for start in range(0, len(keys), ROWS):
        some = Chunk.objects.of(version.workspace_id).filter(pk__in=keys[start : start + ROWS])
        some = some.filter(document__deleted_at__isnull=True).select_related("document").defer("document__content")
        rows.update(some.in_bulk())
    return [rows[key] for key in keys if key in rows]


def digest_of(chunks: Sequence[Chunk]) -> str:
    """Over the indexed words, in order: two versions with the same digest and encoder answer the same."""
    whole = hashlib.sha256()
    for piece in chunks:
        whole.update(hashlib.sha256(f"{piece.kind}\n{piece.indexed_text}".encode()).digest())
    return whole.hexdigest()


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
        with leases.Renewing(renew, BUILD_LEASE_S / leases.RENEWALS, collection.public_id):
            yield renew
    finally:
        rows.filter(builder=me).update(builder="", builder_until=None)


def drop_old_versions(collection: Collection) -> None:
    """Keep the live version, the draft, and the newest others; of most of them only what they are built from."""
    pinned = {collection.version, collection.draft}
    others = [version for version in collection.versions.order_by("-number") if version.number not in pinned]
    superseded = [version for version in others if version.published_at is None]  # drafts that were built anew
    past = [version for version in others if version.published_at is not None]
    for version in past[KEPT_INDEXES - 1 :]:
        if version.indexed:
            Version.every.filter(pk=version.pk).update(indexed=False)
            engine().drop(version.index_name)
    GoldRun.every.filter(gold_set__collection=collection, version__in=[row.number for row in superseded]).delete()
    for version in [*superseded, *past[KEPT_VERSIONS - 1 :]]:
        engine().drop(version.index_name)
        version.delete()


def _build_newest(collection: Collection, progress: Progress, renew: Callable[[], None]) -> Version:
    """From the newest readings of everything, with what people changed in them."""
    rows_of = Document.objects.of(collection.workspace_id).readable().filter(collection=collection).defer("content")
    documents = {document.pk: document for document in rows_of}
    gone = {document.replaces_id for document in documents.values()}
    chosen = [key for key in documents if key not in gone]
    rows = Chunk.objects.of(collection.workspace_id).filter(document__in=chosen, current=True)
    chunks = list(rows.order_by("document_id", "pk"))
    for piece in chunks:
        piece.document = documents[piece.document_id]
    version = build(collection, chunks, Version.Reason.CHANGED, progress, renew)
    version.documents = sorted(chosen)  # those of which nothing is searched as well
    Version.every.filter(pk=version.pk).update(documents=version.documents)
    return version


def _staleness(version: Version) -> str:
    """Why a live version may not stay as it is; empty: it may."""
    if version.encoder != encoder().fingerprint:
        return Version.Reason.ENCODER
    if version.cut_as != CUT_AS:
        return Version.Reason.CUT
    try:
        is_whole = engine().open(version.index_name).count() == version.chunks
    except IndexUnavailable:
        is_whole = False
    return "" if is_whole and len(alive_chunks(version)) == version.chunks else Version.Reason.CLEANED


def _tell_documents(version: Version) -> None:
    """Which documents are live now, which wait, and which were replaced by a newer reading."""
    rows = Document.objects.of(version.workspace_id).filter(collection=version.collection_id, deleted_at__isnull=True)
    live = rows.filter(pk__in=version.documents)
    newest = dict(live.order_by("pk").values_list("source", "pk"))
    open_states = [Document.Status.READ, Document.Status.LIVE]
    others = rows.filter(status__in=open_states).exclude(pk__in=version.documents)
    older = [key for key, source in others.values_list("pk", "source") if key < newest.get(source, 0)]
    others.filter(pk__in=older).update(status=Document.Status.REPLACED)
    others.filter(status=Document.Status.LIVE).update(status=Document.Status.READ)
    live.update(status=Document.Status.LIVE)


def _vectors(collection: Collection, chunks: Sequence[Chunk], progress: Progress, renew: Callable[[], None]) -> Vectors:
    """One row a chunk, encoding only what was never encoded before."""
    chosen = encoder()
    hashes = [text_hash(piece) for piece in chunks]
    known = cached_vectors(collection.workspace_id, chosen.fingerprint, hashes)
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


def text_hash(piece: Chunk) -> str:
    """By which the vector of its words is stored."""
    return hashlib.sha256(piece.indexed_text.encode()).hexdigest()


def cached_vectors(workspace: int, fingerprint: str, hashes: Sequence[str]) -> dict[str, bytes]:
    """Vectors that were made before, by `text_hash`: float16, little-endian."""
    rows = Vector.objects.of(workspace).filter(encoder=fingerprint)
    known: dict[str, bytes] = {}
    for start in range(0, len(hashes), ROWS):
        some = rows.filter(text_hash__in=hashes[start : start + ROWS])
        known.update({name: bytes(data) for name, data in some.values_list("text_hash", "data")})
    return known


def _counted(
    items: Sequence[Legs], stage: str, progress: Progress, renew: Callable[[], None]
) -> Iterator[tuple[int, Legs]]:
    for at, item in enumerate(items):
        yield at, item
        if at % ENCODE_STEP == 0 or at + 1 == len(items):
            renew()
            progress(stage, at + 1, len(items))


def _lease() -> dt.datetime:
    return timezone.now() + dt.timedelta(seconds=BUILD_LEASE_S)
