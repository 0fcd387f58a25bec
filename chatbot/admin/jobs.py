"""Leased work, to be looked at."""

from django.contrib import admin

from chatbot.admin.owned import ReadOnlyAdmin
from workspace.models import Job


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ("kind", "status", "attempts", "failures", "run_at", "error")
    list_filter = ("kind", "status")
