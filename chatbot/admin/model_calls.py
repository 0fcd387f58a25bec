"""The record of model calls, to be looked at."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from chatbot.admin.owned import ReadOnlyAdmin
from chatbot.models import ModelCall


@admin.register(ModelCall)
class ModelCallAdmin(ReadOnlyAdmin):
    list_display = ("ended_at", "provider_name", "model", "purpose", "tokens", "price", "total_ms", "failure")
    list_filter = ("purpose", "failure", "provider_name", "model", ("inbox", admin.RelatedOnlyFieldListFilter), "peak")
    search_fields = ("public_id", "trace", "turn")
    date_hierarchy = "ended_at"
    ordering = ("-ended_at",)

    @admin.display(description=_("tokens"))
    def tokens(self, obj: ModelCall) -> str:
        return f"{obj.prompt_tokens} + {obj.output_tokens}"

    @admin.display(description=_("cost"), ordering="cost")
    def price(self, obj: ModelCall) -> str:
        return "–" if obj.cost is None else f"{obj.cost:.6f} {obj.currency}"
