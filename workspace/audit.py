"""The audit trail: append-only, numbered, hash-chained per workspace."""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from workspace.models import AuditRow, Workspace

SYSTEM = "system"


class BrokenChain(Exception):
    """The trail was altered. `seq` is the first row that does not fit."""

    def __init__(self, seq: int) -> None:
        self.seq = seq
        super().__init__(f"audit row {seq} does not follow from the one before it")


def record(
    *, workspace_id: int, actor: str, action: str, target: str = "", detail: Mapping[str, Any] | None = None
) -> AuditRow:
    """Append a row, inside the caller's transaction, so that the deed and its record stand or fall together."""
    with transaction.atomic():
        workspace = Workspace.objects.select_for_update().get(pk=workspace_id)
        row = AuditRow(
            workspace_id=workspace_id,
            seq=workspace.audit_seq + 1,
            at=timezone.now(),
            actor=actor,
            action=action,
            target=target,
            detail=dict(detail or {}),
            previous_hash=workspace.audit_hash,
        )
        row.hash = _hash(row)
        row.save(force_insert=True)
        Workspace.objects.filter(pk=workspace_id).update(audit_seq=row.seq, audit_hash=row.hash)
    return row


def verify(workspace: Workspace) -> int:
    """Walk the chain from the first row; returns the number of rows. Raises `BrokenChain`."""
    previous, count = "", 0
    for row in AuditRow.objects.of(workspace).order_by("seq").iterator():
        count += 1
        if row.seq != count or row.previous_hash != previous or row.hash != _hash(row):
            raise BrokenChain(count)
        previous = row.hash
    if (count, previous) != (workspace.audit_seq, workspace.audit_hash):
        raise BrokenChain(count + 1)
    return count


def _hash(row: AuditRow) -> str:
    content = json.dumps(
        [
            row.workspace_id,
            row.seq,
            row.at.astimezone(dt.UTC).isoformat(),
            row.actor,
            row.action,
            row.target,
            row.detail,
            row.previous_hash,
        ],
        sort_keys=True,
        ensure_ascii=False,
    )
    return hashlib.sha256(content.encode()).hexdigest()
