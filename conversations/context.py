"""What a site's page says about the visit (the page, the order, the plan): shown to agents, kept with the contact."""

import re
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from conversations.models import Contact, Conversation

MOST_KEYS = 20
LONGEST = 300
_KEY = re.compile(r"\w[\w .-]{0,39}")


def is_context(data: Any) -> bool:
    """At most 20 short names with short texts or numbers."""
    return (
        isinstance(data, Mapping)
        and len(data) <= MOST_KEYS
        and all(isinstance(key, str) and _KEY.fullmatch(key) for key in data)
        and all(isinstance(value, str | int | float) and len(str(value)) <= LONGEST for value in data.values())
    )


def note(*, conversation: Conversation, data: Mapping[str, Any]) -> None:
    """Add to what is known; the newest word for a key counts, and the oldest keys go when there are too many."""
    with transaction.atomic():
        contact = Contact.objects.of(conversation.workspace_id).select_for_update().get(pk=conversation.contact_id)
        details = dict(contact.details or {})
        for key, value in data.items():
            details.pop(key, None)
            details[key] = str(value).replace("\x00", "")
        contact.details = dict(list(details.items())[-2 * MOST_KEYS :]) or None
        contact.save(update_fields=["details"])
