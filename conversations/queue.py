"""Where a waiting visitor stands, and an honest wait."""

import datetime as dt
from dataclasses import dataclass
from statistics import median

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from conversations.hours import opening
from conversations.models import Conversation, Episode, Status
from workspace.models import Membership

ONLINE_S = 90
LOOK_BACK = dt.timedelta(days=7)
FEWEST_WAITS, MOST_WAITS = 5, 500


@dataclass(frozen=True)
class QueuePlace:
    """`place` 1 is next. `online`: somebody is at the desk.

    `wait_s`: how long those waited, in the median, whom an agent took out of the queue in the last week; None: too few to say.
    """

    place: int
    online: bool
    wait_s: int | None
    open: bool = True
    opens_at: dt.datetime | None = None


def queue_place(conversation: Conversation) -> QueuePlace:
    hours = opening(conversation.inbox.hours, timezone.now())
    since = conversation.waiting_since or timezone.now()
    ahead = Conversation.objects.of(conversation.workspace_id).filter(
        Q(waiting_since__lt=since) | Q(waiting_since=since, pk__lt=conversation.pk), status=Status.QUEUED
    )
    return QueuePlace(
        place=ahead.count() + 1,
        online=agents_online(conversation.workspace_id),
        wait_s=_usual_wait_s(conversation.workspace_id),
        open=hours.open,
        opens_at=hours.opens_at,
    )


def agents_online(workspace: int) -> bool:
    since = timezone.now() - dt.timedelta(seconds=ONLINE_S)
    return Membership.objects.of(workspace).filter(seen_at__gte=since).exists()


def _usual_wait_s(workspace: int) -> int | None:
    episodes = Episode.objects.of(workspace)
    taken = episodes.filter(
        party=Status.AGENT, conversation=OuterRef("conversation"), started_at=OuterRef("ended_at")
    )  # who gave up waiting, or went back to the bot, says nothing about the wait
    waits = (
        episodes.filter(Exists(taken), party=Status.QUEUED, started_at__gte=timezone.now() - LOOK_BACK)
        .order_by("-started_at")
        .values_list("started_at", "ended_at")[:MOST_WAITS]
    )
    seconds = [(ended - started).total_seconds() for started, ended in waits if ended]
    return round(median(seconds)) if len(seconds) >= FEWEST_WAITS else None
