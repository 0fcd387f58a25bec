"""What a person does with versions: publish a draft, go back to an earlier one, choose who publishes."""

from django.db import transaction

from knowledge.embedding import encoder
from knowledge.models import Collection, Version
from knowledge.publishing import (
    Progress,
    alive_chunks,
    build,
    building,
    no_progress,
    request_publish,
    switch,
)
from knowledge.segment import CUT_AS
from workspace import audit, leases

RESTORE_JOB = "restore_version"


class UnknownVersion(Exception):
    """There is no such version any more."""


def publish_draft(*, collection: Collection, actor: str) -> Version:
    """Switch to the draft. Raises `UnknownVersion`, `knowledge.publishing.BeingBuilt`."""
    with building(collection):
        collection.refresh_from_db()
        return switch(version=_version(collection, collection.draft), actor=actor)


def roll_back(*, collection: Collection, number: int, actor: str) -> bool:
    """Go back to an earlier version, and publish nothing by itself until a person says so.

    At once where its index is kept, made with the encoder of today, and free of deleted documents (True). Otherwise it is
    built again from its chunks, without what was deleted, and then switched to (False). Raises `UnknownVersion`,
    `knowledge.publishing.BeingBuilt`.
    """
    version = _version(collection, number)
    is_of_today = version.encoder == encoder().fingerprint and version.cut_as == CUT_AS
    is_ready = version.indexed and is_of_today and len(alive_chunks(version)) == version.chunks
    with transaction.atomic():
        Collection.objects.of(collection.workspace_id).filter(pk=collection.pk).update(automatic=False)
        audit.record(
            workspace_id=collection.workspace_id,
            actor=actor,
            action="collection.roll_back",
            target=collection.public_id,
            detail={"version": number},
        )
        if not is_ready:
            payload = {"collection": collection.public_id, "number": number, "actor": actor}
            leases.enqueue(workspace=collection.workspace_id, kind=RESTORE_JOB, payload=payload)
    if is_ready:
        with building(collection):
            switch(version=version, actor=actor)
        request_publish(collection)  # the newest state becomes the draft
    return is_ready


def restore(*, collection: Collection, number: int, actor: str, progress: Progress = no_progress) -> Version:
    """Build an earlier version again, from the chunks its roster names, without deleted documents, and switch to it.

    Raises `UnknownVersion`, and as `knowledge.publishing.publish` does.
    """
    with building(collection) as renew:
        old = _version(collection, number)
        version = build(collection, alive_chunks(old), Version.Reason.RESTORED, progress, renew, restores=number)
        switch(version=version, actor=actor)
    request_publish(collection)
    return version


def set_automatic(*, collection: Collection, automatic: bool, actor: str) -> None:
    """Let changes publish themselves, or wait as a draft for a person."""
    with transaction.atomic():
        Collection.objects.of(collection.workspace_id).filter(pk=collection.pk).update(automatic=automatic)
        audit.record(
            workspace_id=collection.workspace_id,
            actor=actor,
            action="collection.automatic",
            target=collection.public_id,
            detail={"automatic": automatic},
        )
        request_publish(collection)


def _version(collection: Collection, number: int) -> Version:
    found = Version.objects.of(collection.workspace_id).filter(collection=collection, number=number).first()
    if found is None:
        raise UnknownVersion(number)
    return found
