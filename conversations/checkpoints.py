"""What visitors have seen of the answers that are being written, kept in the record: all of a process in one statement."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection
from django.utils import timezone

from conversations.models import Conversation, Status, Turn
from workspace.crypto import sealed_value

TURN_LEASE_S = 3.0  # renewed each second; what a dead process wrote is marked within this and a sweep (`sweep_turns`)
_MOST = 200  # rows a statement


@dataclass(frozen=True)
class Checkpoint:
    """What a visitor has seen of a turn so far."""

    turn_id: int
    turn: str
    workspace_id: int
    shown: str


def keep_shown(checkpoints: Sequence[Checkpoint]) -> frozenset[int]:
    """Store each text and renew the lease of its turn, unless its bot has lost the line. Returns the turns that still have it.

    The same compare-and-set as for one, in one statement for all: the planner of a query costs more than a row.
    """
    kept: set[int] = set()
    for start in range(0, len(checkpoints), _MOST):
        kept |= _keep(checkpoints[start : start + _MOST])
    return frozenset(kept)


def turn_lease() -> dt.datetime:
    return timezone.now() + dt.timedelta(seconds=TURN_LEASE_S)


def _keep(checkpoints: Sequence[Checkpoint]) -> set[int]:
    turns, conversations = Turn._meta.db_table, Conversation._meta.db_table
    lease = connection.ops.adapt_datetimefield_value(turn_lease())
    rows: list[int | str] = []
    for each in checkpoints:
        rows += [each.turn_id, str(sealed_value(Turn, "shown", each.workspace_id, each.turn, each.shown))]
    sql = f"""
        UPDATE {turns} SET shown = seen.column2, lease_until = %s
        FROM (VALUES {", ".join(["(%s, %s)"] * len(checkpoints))}) AS seen, {conversations} AS line
        WHERE {turns}.id = seen.column1 AND {turns}.outcome = %s
          AND line.id = {turns}.conversation_id AND line.status = %s AND line.epoch = {turns}.epoch
        RETURNING {turns}.id"""  # noqa: S608  (table names are ours)
    with connection.cursor() as cursor:
        cursor.execute(sql, [lease, *rows, Turn.Outcome.RUNNING.value, Status.BOT.value])
        return {int(pk) for (pk,) in cursor.fetchall()}
