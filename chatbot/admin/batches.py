"""Batches, to be looked at: what they are for and how far they are."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from chatbot.admin.owned import ReadOnlyAdmin
from chatbot.models import Batch, BatchItem


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    list_display = ("public_id", "purpose", "status", "progress", "failed", "off_peak", "created_at", "ended_at")
    list_filter = ("status", "purpose")
    ordering = ("-created_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        state = BatchItem.Status
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .annotate(
                item_count=Count("items"),
                done_count=Count("items", filter=Q(items__status=state.DONE)),
                failed_count=Count("items", filter=Q(items__status=state.FAILED)),
            )
        )
        return rows

    @admin.display(description=_("done"))
    def progress(self, obj: Any) -> str:
        return f"{obj.done_count} / {obj.item_count}"

    @admin.display(description=_("failed"))
    def failed(self, obj: Any) -> int:
        return int(obj.failed_count)
