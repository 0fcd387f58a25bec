"""Budgets: what may be spent, and from when on answers become cheaper."""

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from chatbot.admin.owned import AuditedAdmin
from chatbot.models import Budget
from chatbot.providers import forget_plans

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Budget]
else:
    ModelForm = forms.ModelForm


class BudgetForm(ModelForm):
    """The rungs of the ladder come in order, and the inbox is of the same workspace."""

    class Meta:
        model = Budget
        fields: ClassVar = [
            "workspace", "scope", "inbox", "period", "amount", "currency", "shorten_at", "extractive_at", "person_at",
        ]  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["workspace"].disabled = True

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        inbox, workspace = data.get("inbox"), data.get("workspace")
        if inbox and workspace and inbox.workspace_id != workspace.pk:
            self.add_error("inbox", _("This inbox belongs to another workspace."))
        rungs = [data.get(name) for name in ("shorten_at", "extractive_at", "person_at")]
        set_rungs = [rung for rung in rungs if rung is not None]
        if set_rungs != sorted(set_rungs):
            raise forms.ValidationError(
                _("The steps come in this order: shorter prompts, then quotations only, then a person.")
            )
        return data


@admin.register(Budget)
class BudgetAdmin(AuditedAdmin):
    noun = "budget"
    form = BudgetForm
    list_display = ("__str__", "scope", "inbox", "shorten_at", "extractive_at", "person_at", "workspace")
    list_filter = ("scope", "period")
    fieldsets = (
        (None, {"fields": ("workspace", "scope", "inbox", "period", "amount", "currency")}),
        (
            _("The ladder"),
            {
                "fields": ("shorten_at", "extractive_at", "person_at"),
                "description": _("In percent of the amount. The bot goes on answering, but costs less and less."),
            },
        ),
    )

    def on_change(self) -> None:
        forget_plans()
