"""Where a waiting visitor stands, and an honest wait."""

import datetime as dt
from dataclasses import dataclass
from statistics import median

from django.utils import timezone

from conversations.models import Conversation, Episode, Status
from workspace.models import Membership

ONLINE_S = 90
LOOK_BACK = dt.timedelta(days=7)
FEWEST_WAITS = 5


@dataclass(frozen=True)
class QueuePlace:
    """`place` 1 is next. `online`: somebody is at the desk. `wait_s`: median wait of the last week; None: too few to say."""

    place: int
    online: bool
    wait_s: int | None


def queue_place(conversation: Conversation) -> QueuePlace:
    ahead = Conversation.objects.of(conversation.workspace_id).filter(
        status=Status.QUEUED, waiting_since__lt=conversation.waiting_since or timezone.now()
    )
    return QueuePlace(
        place=ahead.count() + 1,
        online=agents_online(conversation.workspace_id),
        wait_s=_usual_wait_s(conversation.workspace_id),
    )


def agents_online(workspace: int) -> bool:
    since = timezone.now() - dt.timedelta(seconds=ONLINE_S)
    return Membership.objects.of(workspace).filter(seen_at__gte=since).exists()


def _usual_wait_s(workspace: int) -> int | None:
    waits = (
        Episode.objects.of(workspace)
        .filter(party=Status.QUEUED, started_at__gte=timezone.now() - LOOK_BACK, ended_at__isnull=False)
        .values_list("started_at", "ended_at")[:500]
    )
    seconds = [(ended - started).total_seconds() for started, ended in waits if ended]
    return round(median(seconds)) if len(seconds) >= FEWEST_WAITS else None
