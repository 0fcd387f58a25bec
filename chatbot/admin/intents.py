"""Intents and the examples that the classifier learns from."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from chatbot.admin.owned import OwnedAdmin, OwnedInline
from chatbot.models import Intent, IntentExample


class ExampleInline(OwnedInline):
    model = IntentExample
    fields = ("text", "language")
    extra = 3


@admin.register(Intent)
class IntentAdmin(OwnedAdmin):
    list_display = ("key", "name_en", "name_zh", "action", "workspace")
    list_filter = ("action",)
    search_fields = ("key", "name_en", "name_zh")
    inlines = (ExampleInline,)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.updated_at = timezone.now()
        super().save_model(request, obj, form, change)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Examples belong to their intent's workspace; the classifier learns from them when the newest time changes."""
        for example in formset.save(commit=False):
            example.workspace = form.instance.workspace
            example.updated_at = timezone.now()
            example.save()
        for gone in formset.deleted_objects:
            gone.delete()
        Intent.every.filter(pk=form.instance.pk).update(updated_at=timezone.now())


@admin.register(IntentExample)
class IntentExampleAdmin(OwnedAdmin):
    list_display = ("text", "language", "intent")
    list_filter = ("language", ("intent", admin.RelatedOnlyFieldListFilter))
    search_fields = ("text",)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.updated_at = timezone.now()
        super().save_model(request, obj, form, change)
