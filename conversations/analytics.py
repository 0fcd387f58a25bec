"""Figures about conversations. Every one is a query over the record (law 8); `turns` gives the rows behind them."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import quantiles

from django.db.models import Count, Exists, OuterRef, QuerySet
from django.db.models.functions import TruncDate

from conversations.models import Author, Conversation, Episode, Message, Status, Turn
from workspace.models import Workspace

UNANSWERED = (Turn.Outcome.NO_ANSWER, Turn.Outcome.ASKED_BACK, Turn.Outcome.FAILED)
NOT_COUNTED = (Turn.Outcome.RUNNING, Turn.Outcome.MERGED, Turn.Outcome.SUPERSEDED)


@dataclass(frozen=True)
class Period:
    """From `since` (included) to `until` (excluded)."""

    since: dt.datetime
    until: dt.datetime

    @property
    def before(self) -> "Period":
        """As long, and just before."""
        return Period(self.since - (self.until - self.since), self.since)


@dataclass(frozen=True)
class Share:
    """A part of a whole, with its name: ``71 of 100``."""

    name: str
    count: int
    of: int

    @property
    def percent(self) -> int:
        return round(100 * self.count / self.of) if self.of else 0


@dataclass(frozen=True)
class Times:
    """How long something took, in milliseconds: the median and what nine of ten stay below. None: never happened."""

    median: int | None
    nine_of_ten: int | None
    count: int


def volume(workspace: Workspace, period: Period) -> list[tuple[dt.date, int]]:
    """Conversations begun, by day, with the days without any."""
    begun = dict(
        conversations(workspace, period)
        .annotate(day=TruncDate("created_at"))
        .values_list("day")
        .annotate(count=Count("pk"))
        .order_by("day")
    )
    days = (period.until - dt.timedelta(microseconds=1)).date() - period.since.date()
    every = [period.since.date() + dt.timedelta(days=n) for n in range(days.days + 1)]
    return [(day, begun.get(day, 0)) for day in every]


def outcomes(workspace: Workspace, period: Period) -> list[Share]:
    """How turns ended, most frequent first."""
    return _shares(turns(workspace, period), "outcome")


def intents(workspace: Workspace, period: Period) -> list[Share]:
    """What visitors wanted, most frequent first; "" is out of scope."""
    return _shares(turns(workspace, period), "intent")


def containment(workspace: Workspace, period: Period) -> Share:
    """Conversations in which the bot answered and no person was asked for or spoke."""
    asked = turns(workspace, period).values("conversation")
    whole = conversations(workspace, period).filter(pk__in=asked)
    by_person = Message.objects.of(workspace).filter(conversation=OuterRef("pk"), author=Author.AGENT)
    waited = Episode.objects.of(workspace).filter(conversation=OuterRef("pk"), party__in=[Status.QUEUED, Status.AGENT])
    contained = whole.exclude(Exists(by_person)).exclude(Exists(waited))
    return Share("contained", contained.count(), whole.count())


def first_answer_times(workspace: Workspace, period: Period) -> Times:
    """From the start of a turn to the first text of its answer."""
    return _times(turns(workspace, period).filter(first_text_ms__isnull=False).values_list("first_text_ms", flat=True))


def unanswered(workspace: Workspace, period: Period) -> QuerySet[Turn]:
    """Turns that found no source, had to ask back, or failed; newest first."""
    return turns(workspace, period).filter(outcome__in=UNANSWERED)


def conversations(workspace: Workspace, period: Period) -> QuerySet[Conversation]:
    return Conversation.objects.of(workspace).filter(created_at__gte=period.since, created_at__lt=period.until)


def turns(workspace: Workspace, period: Period) -> QuerySet[Turn]:
    """The rows behind every figure about answers, newest first."""
    return (
        Turn.objects.of(workspace)
        .filter(started_at__gte=period.since, started_at__lt=period.until)
        .exclude(outcome__in=NOT_COUNTED)
        .select_related("question", "conversation")
        .order_by("-pk")
    )


def _shares(rows: QuerySet[Turn], column: str) -> list[Share]:
    counts = rows.order_by().values_list(column).annotate(count=Count("pk")).order_by("-count", column)
    whole = sum(count for _, count in counts)
    return [Share(name, count, whole) for name, count in counts]


def _times(milliseconds: Iterable[int | None]) -> Times:
    values = sorted(value for value in milliseconds if value is not None)
    if not values:
        return Times(None, None, 0)
    if len(values) == 1:
        return Times(values[0], values[0], 1)
    tenths = quantiles(values, n=10, method="inclusive")
    return Times(round(tenths[4]), round(tenths[8]), len(values))
