"""What the bot writes, each a compare-and-set: refused (`LineTaken`) unless status and epoch are those its turn began with."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from conversations.checkpoints import Checkpoint, keep_shown, turn_lease
from conversations.models import Author, Inbox, Message, Status, Turn
from conversations.services.errors import LineTaken
from conversations.services.record import TurnResult, conclude, interrupt, locked, running
from workspace.prepared import Rows

PLATFORM_TURN_LOST_S = 600.0  # a platform's answer is owed by a leased job; only when that too has failed


def _dead(now: dt.datetime, late: dt.datetime) -> QuerySet[Turn]:
    """Turns that run in the record and whose lease is over; `late`: since when it must be where no visitor watches."""
    on_widget = Q(conversation__inbox__kind=Inbox.Kind.WIDGET, lease_until__lt=now)
    elsewhere = ~Q(conversation__inbox__kind=Inbox.Kind.WIDGET) & Q(lease_until__lt=late)
    dead: QuerySet[Turn] = Turn.every.filter(on_widget | elsewhere, outcome=Turn.Outcome.RUNNING, lease_until__lt=now)
    return dead.only("public_id", "conversation_id")


_DEAD_OF_ONE = Rows(
    lambda conversation, now, late: _dead(now, late).filter(conversation=conversation),
    conversation=int,
    now=dt.datetime,
    late=dt.datetime,
)
_ENDING = Rows(lambda turn: Turn.every.select_related("question").filter(pk=turn), turn=int)


def checkpoint_turn(*, turn_id: int, shown: str) -> None:
    """Keep what the visitor has seen so far and renew the turn's lease. Raises `LineTaken`."""
    turn = Turn.every.only("public_id", "workspace_id").get(pk=turn_id)
    if not keep_shown([Checkpoint(turn_id, turn.public_id, turn.workspace_id, shown)]):
        raise LineTaken


def finish_turn(*, turn_id: int, result: TurnResult) -> Message | None:
    """End a turn: its message, its record and, if it hands off, the queue. Raises `LineTaken` and writes nothing then."""
    with locked(turns=turn_id) as conversation:
        turn = _ENDING.get(turn=turn_id)
        if (
            conversation.status != Status.BOT
            or conversation.epoch != turn.epoch
            or turn.outcome != Turn.Outcome.RUNNING
        ):
            raise LineTaken
        return conclude(conversation, turn, result)


def merge_turn(*, turn_id: int) -> None:
    """End a turn whose question is answered together with a later one."""
    Turn.every.filter(pk=turn_id, outcome=Turn.Outcome.RUNNING).update(
        outcome=Turn.Outcome.MERGED, ended_at=timezone.now()
    )


def clear_way(*, turn_id: int) -> bool:
    """Whether the turn may begin: no earlier turn of its conversation runs any more, in whatever process.

    Renews the lease of the turn that waits. An earlier one whose own lease is over is ended: on the widget as interrupted,
    on a platform, where nobody has seen any of it, as answered with this one.
    """
    now = timezone.now()
    turn = Turn.every.select_related("conversation__inbox").get(pk=turn_id)
    earlier = running(turn.conversation).filter(pk__lt=turn.pk)
    if turn.conversation.inbox.kind == Inbox.Kind.WIDGET:
        sweep_turns(now=now, conversation_id=turn.conversation_id, spare=(turn.public_id,))
    else:
        for lost in earlier.filter(lease_until__lt=now):
            merge_turn(turn_id=lost.pk)
    Turn.every.filter(pk=turn_id, outcome=Turn.Outcome.RUNNING).update(lease_until=turn_lease())
    return not earlier.exists()


def sweep_turns(
    *, now: dt.datetime | None = None, conversation_id: int | None = None, spare: Iterable[str] = ()
) -> int:
    """End turns whose process died: what was shown is kept and marked interrupted. Returns how many.

    With a conversation only its own; without those in `spare` (public ids), which the caller knows to be alive.
    """
    now = now or timezone.now()
    late = now - dt.timedelta(seconds=PLATFORM_TURN_LOST_S)
    if conversation_id is None:
        dead = list(_dead(now, late))
    else:
        dead = _DEAD_OF_ONE.all(conversation=conversation_id, now=now, late=late)
    spared = set(spare)
    swept = 0
    for each in dead:
        if each.public_id in spared:
            continue
        with locked(each.conversation_id) as conversation:
            turn = Turn.every.get(pk=each.pk)
            if turn.outcome == Turn.Outcome.RUNNING and turn.lease_until < now:
                interrupt(conversation, turn, None, error="process_lost")
                swept += 1
    return swept


def record_shown(*, turn_id: int, shown: str, record: Mapping[str, Any] | None = None) -> None:
    """Complete the record of an interrupted answer with what was shown between its last checkpoint and the freeze.

    Only ever lengthens the text that is stored; the bot says nothing new by it. `record` is how the answer came about
    (intent, passages, times …); how the turn ended stays as it is.
    """
    with locked(turns=turn_id) as conversation:
        turn = Turn.every.get(pk=turn_id)
        fields = {name: value for name, value in (record or {}).items() if name != "error"}
        if fields and turn.outcome != Turn.Outcome.RUNNING:
            for name, value in fields.items():
                setattr(turn, name, value)
            turn.save(update_fields=list(fields))
        message = (
            Message.objects.of(conversation.workspace_id)
            .filter(conversation=conversation, turn=turn, author=Author.BOT, state=Message.State.INTERRUPTED)
            .first()
        )
        if message and shown.startswith(message.text) and len(shown) > len(message.text):
            message.text = shown
            message.save(update_fields=["text"])
