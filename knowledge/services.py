"""The verbs of documents: take a file in, read it, delete it.

A deleted document is out of reach at once, because search asks the database for every row it returns; the next version
(`knowledge.publishing`) then leaves it out.
"""

import hashlib
import unicodedata
from collections.abc import Sequence

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from knowledge import layers
from knowledge.ingest.chunk import chunk
from knowledge.ingest.extract import extract
from knowledge.ingest.found import Extracted, Unreadable
from knowledge.models import Chunk, Collection, Document, Entry
from knowledge.publishing import PUBLISH_JOB as PUBLISH_JOB
from knowledge.publishing import BeingBuilt as BeingBuilt
from knowledge.publishing import publish as publish
from knowledge.publishing import request_publish as request_publish
from workspace import audit, leases
from workspace.models import Workspace

READ_JOB = "read_document"


class UnknownCollection(Exception):
    """There is no collection of that name. `names` are those there are."""

    def __init__(self, name: str, names: Sequence[str]) -> None:
        self.name, self.names = name, tuple(names)
        super().__init__(name)


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
    *, collection: Collection, name: str, data: bytes, url: str = "", suffix: str = "", actor: str = audit.SYSTEM
) -> Document | None:
    """Keep a file and the job to read it. The same content under the same name again changes nothing (None).

    `suffix` says the type where the name does not (".html" for a web address).
    """
    digest = hashlib.sha256(data).hexdigest()
    source = _plain_name(name)[-500:]
    with transaction.atomic():
        known = Document.objects.of(collection.workspace_id).kept().filter(collection=collection, source=source)
        newest = known.exclude(status=Document.Status.FAILED).order_by("-pk").first()
        if newest is not None and newest.content_hash == digest:
            return None
        document = Document.objects.of(collection.workspace_id).create(
            collection=collection,
            title=source.rsplit("/", 1)[-1][:200],
            source=source,
            url=url,
            media_type=suffix,
            content_hash=digest,
            size_bytes=len(data),
            content=data,
            replaces=newest,
        )
        known.filter(status=Document.Status.FAILED).exclude(pk=document.pk).update(deleted_at=timezone.now())
        leases.enqueue(workspace=collection.workspace_id, kind=READ_JOB, payload={"document": document.public_id})
        audit.record(
            workspace_id=collection.workspace_id, actor=actor, action="document.add", target=document.public_id
        )
    return document


def retry_document(*, document: Document) -> None:
    """Read a failed document once more; what was refused inside an archive is not kept, so there is nothing to read."""
    if document.content is None:
        return
    with transaction.atomic():
        document.status, document.error, document.error_detail = Document.Status.QUEUED, "", ""
        document.save(update_fields=["status", "error", "error_detail"])
        leases.enqueue(workspace=document.workspace_id, kind=READ_JOB, payload={"document": document.public_id})


def read_document(*, document: Document) -> None:
    """Extract and cut a document. What cannot be read is marked failed, with the reason, and kept for another try."""
    if document.status != Document.Status.QUEUED or document.content is None:
        return
    try:
        found = extract(_file_name(document), bytes(document.content))
    except Unreadable as problem:
        refuse_document(document=document, problem=problem)
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
            document.error, document.error_detail = found.note, found.note_detail
            document.content = None
            request_publish(document.collection)
        document.save()


def refuse_document(*, document: Document, problem: Unreadable) -> None:
    """Mark a document failed; whatever came after it replaces what it would have replaced."""
    Document.every.filter(replaces=document).update(replaces=document.replaces)
    Document.every.filter(pk=document.pk).update(
        status=Document.Status.FAILED, error=problem.code, error_detail=problem.detail
    )


def store(document: Document, found: Extracted) -> int:
    """Replace a document's chunks by what was found in it, with what people changed in it. Returns the number found."""
    Chunk.objects.of(document.workspace_id).filter(document=document).delete()
    Entry.objects.of(document.workspace_id).filter(document=document).delete()
    count = _store_entries(document, found) + _store_passages(document, found)
    layers.keep_source(document, found)
    layers.apply_edits(document)
    return count


def delete_document(*, document: Document, actor: str) -> None:
    """Take a document out: none of its readings is found from this moment, in any version, and the next one is built without.

    Of a document that could not be read, only that reading is deleted.
    """
    with transaction.atomic():
        rows = Document.objects.of(document.workspace_id).filter(pk=document.pk)
        edits = 0
        if document.status in (Document.Status.READ, Document.Status.LIVE, Document.Status.REPLACED):
            rows = Document.objects.of(document.workspace_id).named(document.collection_id, document.source)
            edits = layers.edits_ended_by(document=document)
        rows.update(deleted_at=timezone.now())
        Collection.objects.of(document.workspace_id).filter(pk=document.collection_id).update(
            revision=F("revision") + 1
        )
        request_publish(document.collection)
        audit.record(
            workspace_id=document.workspace_id,
            actor=actor,
            action="document.delete",
            target=document.public_id,
            detail={"edits": edits},
        )


def _plain_name(name: str) -> str:
    """Without what would make a name look like another one: control characters, marks that turn the reading direction."""
    return "".join(letter for letter in name if unicodedata.category(letter) not in {"Cc", "Cf", "Cs"})


def _file_name(document: Document) -> str:
    """With an end that says the type, which the address of a page need not have."""
    is_named_elsewhere = document.media_type.startswith(".")
    return document.source.rstrip("/") + document.media_type if is_named_elsewhere else document.source


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
        rows += layers.entry_chunks(entry, source.phrasings, len(rows))
    Chunk.every.bulk_create(rows, batch_size=500)
    return len(rows)


def _store_passages(document: Document, found: Extracted) -> int:
    texts = [part.markdown for part in found.parts] if found.parts else [found.markdown]
    rows = [
        Chunk(
            workspace_id=document.workspace_id,
            document=document,
            kind=Chunk.Kind.PASSAGE,
            position=at,
            heading=piece.heading,
            text=piece.text,
        )
        for at, piece in enumerate(piece for text in texts for piece in chunk(text))
    ]
    Chunk.every.bulk_create(rows, batch_size=500)
    return len(rows)
