"""What each role may do. One table, asked by every page, socket and API call."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    """The roles of a member of a workspace, from least to most."""

    VIEWER = "viewer", _("Viewer")
    AGENT = "agent", _("Agent")
    SUPERVISOR = "supervisor", _("Supervisor")
    ADMIN = "admin", _("Administrator")


class Action(models.TextChoices):
    """The things a role may allow."""

    READ_CONVERSATIONS = "read_conversations", _("read conversations")
    ANSWER = "answer", _("take over, reply, hand back, resolve")
    MANAGE_KNOWLEDGE = "manage_knowledge", _("manage knowledge")
    SEE_ANALYTICS = "see_analytics", _("see analytics")
    CONFIGURE = "configure", _("configure inboxes, intents and people")


_VIEWER = {Action.READ_CONVERSATIONS, Action.SEE_ANALYTICS}
_AGENT = _VIEWER | {Action.ANSWER}
_SUPERVISOR = _AGENT | {Action.MANAGE_KNOWLEDGE}

ALLOWED: dict[Role, frozenset[Action]] = {
    Role.VIEWER: frozenset(_VIEWER),
    Role.AGENT: frozenset(_AGENT),
    Role.SUPERVISOR: frozenset(_SUPERVISOR),
    Role.ADMIN: frozenset(Action),
}


def may(role: str, action: Action) -> bool:
    """Whether `role` (a `Role` value) allows `action`; an unknown role allows nothing."""
    return role in Role.values and action in ALLOWED[Role(role)]
