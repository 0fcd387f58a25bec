"""Model providers with their prices, and the button that tests one."""

import asyncio
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chatbot import ledger
from chatbot.admin.owned import AuditedAdmin, OwnedInline
from chatbot.admin.provider_form import ProviderForm
from chatbot.llm.provider import Balance, Call
from chatbot.models import Notice, Price, Provider
from chatbot.provider_check import check, explain
from chatbot.providers import forget_plans


class PriceInline(OwnedInline):
    model = Price
    fields = ("model", "since", "miss", "hit", "output", "peak_miss", "peak_hit", "peak_output")
    extra = 0
    verbose_name_plural = _("Own prices per million tokens, which go before the list prices of the official API")


@admin.register(Provider)
class ProviderAdmin(AuditedAdmin):
    noun = "provider"
    form = ProviderForm
    list_display = ("name", "dialect", "model", "position", "active", "currency", "workspace")
    list_filter = ("dialect", "active")
    inlines = (PriceInline,)
    fieldsets = (
        (None, {"fields": ("workspace", "name", "dialect", "base_url", "model", "active", "position", "currency")}),
        (
            _("Credentials"),
            {
                "fields": ("new_key", "new_client_id", "new_client_secret"),
                "description": _("They are stored sealed and never shown again, not even here."),
            },
        ),
        (_("Answers"), {"fields": ("max_tokens", "temperature", "model_by_language", "context_window")}),
        (_("Time and load"), {"fields": ("first_token_s", "idle_s", "total_s", "max_streams")}),
        (_("What the provider learns"), {"fields": ("user_ids",)}),
        (
            _("Special cases"),
            {
                "fields": ("api_version", "text_path", "chunks", "logit_bias", "extra", "ca", "holidays"),
                "classes": ("collapse",),
            },
        ),
    )

    class Media:
        js = (forms.Script("desk/provider_form.js", defer=True),)

    def get_urls(self) -> list[Any]:
        test = self.admin_site.admin_view(self.test_now)
        return [path("<path:pk>/test/", test, name="chatbot_provider_test"), *super().get_urls()]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.any_address = bool(request.user.is_superuser)
        return form

    def on_change(self) -> None:
        forget_plans()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if form.short_secret:
            messages.warning(
                request,
                gettext(
                    "The client secret has fewer than 32 bytes: its tokens could be forged by trying. Ask the gateway's "
                    "operator for a longer one."
                ),
            )
        if form.in_the_clear:
            messages.warning(
                request, gettext("The address begins with http://: the credentials travel without encryption.")
            )

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Prices belong to their provider's workspace."""
        for price in formset.save(commit=False):
            price.workspace = form.instance.workspace
            price.save()
        for gone in formset.deleted_objects:
            gone.delete()

    def test_now(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Ask the provider what the owner wants to know, and show it; its answer goes into the ledger like any other."""
        row = self.get_object(request, pk)
        if not isinstance(row, Provider):
            raise Http404
        page = reverse("admin:chatbot_provider_change", args=[row.pk])
        if request.method != "POST":
            return HttpResponseRedirect(page)
        calls: list[Call] = []
        found = asyncio.run(check(ledger.profile_of(row), calls.append))
        ledger.record_calls([(row.workspace_id, call) for call in calls])
        if found.passed:
            _wave_away(row)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Test of %s") % row.name,
            "provider": row,
            "page": page,
            "opts": self.opts,
            "check": found,
            "listed": not isinstance(found.models, str),
            "models_problem": explain(found.models) if isinstance(found.models, str) else "",
            "balance_known": isinstance(found.balance, Balance),
            "balance_problem": explain(found.balance) if isinstance(found.balance, str) else "",
            "problem": explain(found.failure) if found.failure else "",
        }
        return render(request, "admin/chatbot/provider/test.html", context)


def _wave_away(row: Provider) -> None:
    """It answers again: what was said about its refusals is settled."""
    notices = Notice.objects.of(row.workspace_id).filter(kind=Notice.Kind.PROVIDER_FAILS, read_at=None)
    notices.filter(detail__provider=row.name).update(read_at=timezone.now())
