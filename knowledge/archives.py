"""A ZIP becomes documents: one for each file in it, and the archive's own row, which says what was taken."""

from collections import Counter

from django.db import transaction
from django.utils import timezone

from knowledge import services
from knowledge.ingest.archive import Member, members
from knowledge.ingest.found import Unreadable
from knowledge.ingest.readers import ARCHIVE, check, suffix_of
from knowledge.models import Document


def is_archive(document: Document) -> bool:
    return suffix_of(document.source) == ARCHIVE


def unpack(*, document: Document) -> None:
    """Add every file of a waiting archive. Files of an earlier archive of this name that are no longer in it are deleted."""
    if document.status != Document.Status.QUEUED or document.content is None:
        return
    try:
        data = bytes(document.content)
        check(document.source, data)
        inside = list(members(data))
        if not any(not member.refused for member in inside):
            worst = inside[0] if inside else Member("", refused="empty")
            raise Unreadable(worst.refused, worst.name[-120:])
    except Unreadable as problem:
        services.refuse_document(document=document, problem=problem)
        return
    with transaction.atomic():
        for member in inside:
            _add(document, member)
        _delete_missing(document, {_source(document, member) for member in inside})
        passed_over = Counter(suffix_of(member.name) for member in inside if member.refused == "unsupported_type")
        taken = sum(1 for member in inside if not member.refused)
        listed = ", ".join(f"{suffix or '?'} ×{count}" for suffix, count in passed_over.most_common(8))
        document.status, document.media_type, document.content = Document.Status.READ, "application/zip", None
        document.error, document.error_detail = "unpacked", f"{taken}; – {listed}"[:200] if listed else str(taken)
        document.save()
        services.request_publish(document.collection)


def _add(document: Document, member: Member) -> None:
    if member.refused == "unsupported_type":
        return
    if not member.refused:
        services.add_file(collection=document.collection, name=_source(document, member), data=member.data)
        return
    Document.objects.of(document.workspace_id).kept().filter(
        collection=document.collection, source=_source(document, member), status=Document.Status.FAILED
    ).update(deleted_at=timezone.now())
    Document.objects.of(document.workspace_id).create(
        collection=document.collection,
        title=member.name.rsplit("/", 1)[-1][:200],
        source=_source(document, member),
        media_type="",
        content_hash="",
        size_bytes=0,
        content=None,
        status=Document.Status.FAILED,
        error=member.refused,
    )


def _delete_missing(document: Document, sources: set[str]) -> None:
    before = Document.objects.of(document.workspace_id).kept().filter(collection=document.collection)
    before.filter(source__startswith=f"{document.source}/").exclude(source__in=sources).update(
        deleted_at=timezone.now()
    )


def _source(document: Document, member: Member) -> str:
    return f"{document.source}/{member.name}"[-500:]
