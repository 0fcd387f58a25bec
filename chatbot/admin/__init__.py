"""The back office, in Django's own admin, a file for each noun.

Everybody here sees only the workspaces they administer. Credentials can be written, never read.
"""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from chatbot.admin import (
    api_keys,
    audit_trail,
    batches,
    budgets,
    inboxes,
    intents,
    jobs,
    model_calls,
    notices,
    people,
    providers,
)

__all__ = [
    "api_keys",
    "audit_trail",
    "batches",
    "budgets",
    "inboxes",
    "intents",
    "jobs",
    "model_calls",
    "notices",
    "people",
    "providers",
]

admin.site.site_header = _("Baton administration")
admin.site.site_title = "Baton"
admin.site.index_title = _("Configuration")
