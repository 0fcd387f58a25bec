"""The one calm line by which an administrator learns that a budget or a provider needs a look."""

from typing import Any

from django import template

from chatbot import notices
from workspace.roles import Action

register = template.Library()


@register.inclusion_tag("shared/_owner.html", takes_context=True)
def owner_line(context: template.Context) -> dict[str, Any]:
    """Asks the database only for people who may do something about it."""
    member = getattr(context.get("request"), "member", None)
    if member is None or not member.may(Action.CONFIGURE):
        return {}
    unread = notices.unread(member.workspace_id)
    return {"words": notices.headline(unread[0]), "further": len(unread) - 1} if unread else {}
