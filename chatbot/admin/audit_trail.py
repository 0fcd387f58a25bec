"""The audit trail, to be looked at."""

from django.contrib import admin

from chatbot.admin.owned import ReadOnlyAdmin
from workspace.models import AuditRow


@admin.register(AuditRow)
class AuditAdmin(ReadOnlyAdmin):
    list_display = ("seq", "at", "actor", "action", "target")
    list_filter = ("action",)
