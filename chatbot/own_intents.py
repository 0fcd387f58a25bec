"""The intents that a workspace's owner has set up, and what recognises them."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db.models import Count, Max
from django.db.models.signals import post_delete, post_save

from chatbot.intents.examples import Example
from chatbot.intents.recogniser import IntentSet, Recogniser
from chatbot.models import Intent, IntentExample


@lru_cache(maxsize=1)
def recogniser() -> Recogniser:
    """Of this process."""
    made = Recogniser(intents_version, load_intents, settings.HOME / "intents")
    tell_of_changes(made.look_again)
    return made


def intents_version(workspace: int) -> str:
    """Changes with every intent and example."""
    rows = Intent.objects.of(workspace).aggregate(last=Max("updated_at"), count=Count("pk"))
    examples = IntentExample.objects.of(workspace).aggregate(last=Max("updated_at"), count=Count("pk"))
    return f"{rows['last']}/{rows['count']}/{examples['last']}/{examples['count']}"


def tell_of_changes(changed: Callable[[int], None]) -> None:
    """Call `changed` with the workspace whenever this process saves or deletes an intent or an example."""

    def tell(instance: Any, **_: Any) -> None:
        changed(instance.workspace_id)

    for model in (Intent, IntentExample):
        for signal in (post_save, post_delete):
            signal.connect(tell, sender=model, weak=False)


def load_intents(workspace: int) -> IntentSet:
    """Everything a classifier learns from, under its version."""
    version = intents_version(workspace)
    rows = list(Intent.objects.of(workspace))
    examples = [
        Example(text, key or "") for text, key in IntentExample.objects.of(workspace).values_list("text", "intent__key")
    ]
    named = [
        Example(name, row.key) for row in rows for name in (row.name_en, row.name_zh) if name.strip()
    ]  # the label's own words are a free example
    return IntentSet(
        version=version,
        examples=tuple(examples + named),
        replies={
            row.key: {"en": row.reply_en, "zh": row.reply_zh} for row in rows if row.action == Intent.Action.REPLY
        },
        handoffs=frozenset(row.key for row in rows if row.action == Intent.Action.HANDOFF),
    )
