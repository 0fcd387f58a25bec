"""The doorbell: after a commit, everyone who watches a conversation is told that there is news, and up to which number.

It carries no content. Whoever hears it reads the event log by cursor, so a ring that gets lost costs time, never a
message. Ears of this process are rung directly; other processes hear through the channel layer.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass

from asgiref.sync import async_to_sync
from channels.layers import InMemoryChannelLayer, get_channel_layer
from django.db import transaction

from conversations.models import Conversation

logger = logging.getLogger(__name__)

GROUP = "doorbell"


@dataclass(frozen=True)
class Doorbell:
    """News in one conversation. `epoch` and `status` let a process that runs a turn see at once that it lost the line.

    `queue_moved`: somebody entered or left the workspace's queue by it, so that those who wait may have another place.
    """

    workspace: int
    conversation: str
    seq: int
    epoch: int
    status: str
    queue_moved: bool = False


Ear = Callable[[Doorbell], None]
_ears: list[Ear] = []


def listen(ear: Ear) -> Callable[[], None]:
    """Call `ear` for every ring of this process, from any thread. Returns the function that stops it."""
    _ears.append(ear)
    return lambda: _ears.remove(ear)


def ring_after_commit(conversation: Conversation, *, queue_moved: bool = False) -> None:
    """Ring once the current transaction is durable."""
    bell = Doorbell(
        conversation.workspace_id,
        conversation.public_id,
        conversation.last_seq,
        conversation.epoch,
        conversation.status,
        queue_moved,
    )
    transaction.on_commit(lambda: _ring(bell))


def _ring(bell: Doorbell) -> None:
    for ear in _ears:
        ear(bell)
    layer = get_channel_layer()
    if layer is None or isinstance(layer, InMemoryChannelLayer):
        return
    try:
        async_to_sync(layer.group_send)(GROUP, {"type": "doorbell.rung", "bell": asdict(bell)})
    except (OSError, ConnectionError, TimeoutError) as problem:  # the record stands; watchers catch up by cursor
        logger.warning("doorbell not heard by other processes", extra={"problem": type(problem).__name__})
