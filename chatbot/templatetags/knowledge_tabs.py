"""The pages of one collection, with what waits on each."""

from typing import Any

from django import template

from knowledge.models import Collection, Edit, Finding

register = template.Library()


@register.inclusion_tag("knowledge/_tabs.html")
def knowledge_tabs(collection: Collection, current: str) -> dict[str, Any]:
    workspace = collection.workspace_id
    return {
        "collection": collection,
        "current": current,
        "clashes": Edit.objects.of(workspace).filter(collection=collection, state=Edit.State.CLASH).count(),
        "findings": Finding.objects.of(workspace).filter(collection=collection, set_aside_at__isnull=True).count(),
    }
