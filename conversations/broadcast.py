"""The doorbell: after a commit, everyone who watches a conversation is told that there is news, and up to which number.

Whoever hears it reads the event log by cursor, so a ring that gets lost costs time, never a message. Ears of this process
are rung directly, and given the events too: whoever stands right before them need not read. Other processes hear through
the channel layer, without content.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import InMemoryChannelLayer, get_channel_layer
from django.db import transaction

from conversations.events import EventView
from conversations.models import Conversation

logger = logging.getLogger(__name__)

GROUP = "doorbell"


@dataclass(frozen=True)
class Doorbell:
    """News in one conversation. `epoch` and `status` let a process that runs a turn see at once that it lost the line.

    `queue_moved`: somebody entered or left the workspace's queue by it, so that those who wait may have another place.
    `news`: the events up to `seq` that were written together; () where they must be read.
    """

    workspace: int
    conversation: str
    seq: int
    epoch: int
    status: str
    queue_moved: bool = False
    news: tuple[EventView, ...] = ()

    def message(self) -> dict[str, Any]:
        """As other processes hear it, on the channel layer."""
        told = ("workspace", "conversation", "seq", "epoch", "status", "queue_moved")
        return {"type": "doorbell.rung", "bell": {name: getattr(self, name) for name in told}}


Ear = Callable[[Doorbell], None]
_ears: list[Ear] = []
_carriers: list[Ear] = []


def listen(ear: Ear) -> Callable[[], None]:
    """Call `ear` for every ring of this process, from any thread. Returns the function that stops it."""
    _ears.append(ear)
    return lambda: _ears.remove(ear)


def carry(carrier: Ear) -> Callable[[], None]:
    """Let `carrier` bring the rings of this process to the others, from any thread. Returns the function that stops it.

    It raises `RuntimeError` when it cannot. Without a carrier each ring opens a connection of its own.
    """
    _carriers.append(carrier)
    return lambda: _carriers.remove(carrier)


def bells_of(conversations: Sequence[str]) -> list[Doorbell]:
    """The ring that would tell where each conversation (public ids) stands now."""
    rows = Conversation.every.filter(public_id__in=conversations)
    return [Doorbell(*row) for row in rows.values_list("workspace_id", "public_id", "last_seq", "epoch", "status")]


def ring_after_commit(
    conversation: Conversation, *, queue_moved: bool = False, news: tuple[EventView, ...] = ()
) -> None:
    """Ring once the current transaction is durable."""
    bell = Doorbell(
        conversation.workspace_id,
        conversation.public_id,
        conversation.last_seq,
        conversation.epoch,
        conversation.status,
        queue_moved,
        news,
    )
    transaction.on_commit(lambda: _ring(bell))


def _ring(bell: Doorbell) -> None:
    for ear in _ears:
        ear(bell)
    for carrier in _carriers[-1:]:
        try:
            carrier(bell)
            return
        except RuntimeError:  # its event loop has ended
            break
    layer = get_channel_layer()
    if layer is None or isinstance(layer, InMemoryChannelLayer):
        return
    try:
        async_to_sync(layer.group_send)(GROUP, bell.message())
    except (
        Exception
    ) as problem:  # whatever the layer's transport raises: the record stands; watchers catch up by cursor
        logger.warning("doorbell not heard by other processes", extra={"problem": type(problem).__name__})
