"""The record of model calls, to be looked at."""

from django.contrib import admin

from chatbot.admin.owned import ReadOnlyAdmin
from chatbot.models import ModelCall


@admin.register(ModelCall)
class ModelCallAdmin(ReadOnlyAdmin):
    list_display = (
        "ended_at", "provider_name", "model", "purpose", "cached_tokens", "missed_tokens", "output_tokens", "cost",
        "currency", "total_ms", "failure",
    )  # fmt: skip
    list_filter = ("purpose", "failure", "provider_name", "model", ("inbox", admin.RelatedOnlyFieldListFilter), "peak")
    search_fields = ("public_id", "trace", "turn")
    date_hierarchy = "ended_at"
    ordering = ("-ended_at",)
