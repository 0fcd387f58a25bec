"""The back office, in Django's own admin: inboxes, intents, people, keys, jobs and the audit trail.

Everybody here sees only the workspaces they administer. Credentials can be written, never read.
"""

import hashlib
import secrets
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.validators import RegexValidator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chatbot.contrast import readable_accent
from chatbot.models import Intent, IntentExample
from chatbot.moderation.policy import DEFAULTS, Policy
from chatbot.replies import TEXTS
from conversations.models import Inbox
from workspace.models import ApiKey, AuditRow, Job, Membership, User, Workspace
from workspace.roles import Action

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
    ModelForm = forms.ModelForm[Inbox]
else:
    ModelAdmin, TabularInline, ModelForm = admin.ModelAdmin, admin.TabularInline, forms.ModelForm

admin.site.site_header = _("Baton administration")
admin.site.site_title = "Baton"
admin.site.index_title = _("Configuration")

LANGUAGES = (("en", _("English")), ("zh", _("Chinese")))
POLICIES = [(Policy.OFF, _("off")), (Policy.NOTE, _("note")), (Policy.BLOCK, _("block"))]


def administered(request: HttpRequest) -> QuerySet[Workspace]:
    """The workspaces this person may configure."""
    if request.user.is_superuser:
        return Workspace.objects.all()
    memberships = Membership.every.filter(user_id=request.user.pk or 0)
    mine = [membership.workspace_id for membership in memberships if membership.may(Action.CONFIGURE)]
    return Workspace.objects.filter(pk__in=mine)


class OwnedAdmin(ModelAdmin):
    """Rows of the workspaces one administers; new ones go to the chosen or the only one."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(workspace__in=administered(request))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_staff and administered(request).exists())

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    has_add_permission = has_view_permission
    has_change_permission = has_view_permission
    has_delete_permission = has_view_permission

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "workspace":
            kwargs["queryset"] = administered(request)
            kwargs["initial"] = administered(request).first()
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class ReadOnlyAdmin(OwnedAdmin):
    """Rows that are there to be looked at."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_add_permission
    has_delete_permission = has_add_permission


class InboxForm(ModelForm):
    """An inbox with its policy and wordings as fields, and credentials that can be replaced but not seen."""

    accent = forms.CharField(
        label=_("accent colour"), validators=[RegexValidator(r"^#[0-9a-fA-F]{6}$", _("A colour such as #4451D6."))]
    )
    new_credentials = forms.JSONField(
        label=_("new credentials"),
        required=False,
        help_text=_(
            'Leave empty to keep what is stored. Telegram: {"bot_token": "…", "secret_token": "…", "bot_username": "…"}. '
            'Signed webhook: {"secrets": ["whsec_…"], "url": "https://…"}.'
        ),
    )

    class Meta:
        model = Inbox
        fields: ClassVar = [
            "workspace", "name", "kind", "language", "active", "collections", "allowed_domains", "accent", "position",
        ]  # fmt: skip

    def clean_accent(self) -> str:
        """An accent on which white cannot be read is darkened, and that is said."""
        chosen: str = self.cleaned_data["accent"]
        readable = readable_accent(chosen)
        self.corrected = readable if readable.lower() != chosen.lower() else ""
        return readable

    def clean_new_credentials(self) -> Any:
        value = self.cleaned_data["new_credentials"]
        if value is not None and not isinstance(value, dict):
            raise forms.ValidationError(_("Write an object: {…}."))
        return value

    def save(self, commit: bool = True) -> Inbox:
        inbox = self.instance
        if self.cleaned_data.get("new_credentials"):
            inbox.credentials = self.cleaned_data["new_credentials"]
        inbox.moderation = {
            category: self.cleaned_data[f"moderation_{category}"]
            for category, default in DEFAULTS.items()
            if self.cleaned_data[f"moderation_{category}"] != default
        }
        texts = {
            key: {language: self.cleaned_data[f"text_{key}_{language}"] for language, _name in LANGUAGES}
            for key in TEXTS
        }
        inbox.texts = {
            key: {language: text for language, text in wordings.items() if text}
            for key, wordings in texts.items()
            if any(wordings.values())
        }
        return super().save(commit)


def _inbox_form(inbox: Inbox | None) -> type[InboxForm]:
    """`InboxForm` with a field for each category of moderation and each wording."""
    fields: dict[str, forms.Field] = {}
    for category, default in DEFAULTS.items():
        held = (inbox.moderation if inbox else {}).get(category, default)
        fields[f"moderation_{category}"] = forms.ChoiceField(label=category, choices=POLICIES, initial=held)
    for key, text in TEXTS.items():
        for language, name in LANGUAGES:
            held = (inbox.texts if inbox else {}).get(key, {}).get(language, "")
            fields[f"text_{key}_{language}"] = forms.CharField(
                label=f"{key} · {name}",
                required=False,
                initial=held,
                widget=forms.Textarea(attrs={"rows": 2}),
                help_text=text if language == "en" else "",
            )
    return type("FullInboxForm", (InboxForm,), fields)


@admin.register(Inbox)
class InboxAdmin(OwnedAdmin):
    list_display = ("name", "kind", "public_id", "active", "workspace")
    readonly_fields = ("public_id", "snippet", "webhook_address")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs["form"] = _inbox_form(obj)
        kwargs["fields"] = None
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        shown = ("public_id", "snippet") if obj and obj.kind == Inbox.Kind.WIDGET else ("public_id", "webhook_address")
        return [
            (None, {"fields": [*InboxForm.Meta.fields, *(shown if obj else ())]}),
            (_("Credentials"), {"fields": ["new_credentials"]}),
            (_("Moderation"), {"fields": [f"moderation_{category}" for category in DEFAULTS]}),
            (
                _("The bot's own sentences"),
                {"fields": [f"text_{key}_{language}" for key in TEXTS for language, _name in LANGUAGES]},
            ),
        ]

    @admin.display(description=_("for your site"))
    def snippet(self, obj: Inbox) -> str:
        return f'<script src="{settings.PUBLIC_URL}/widget/loader.js" data-inbox="{obj.public_id}" async></script>'

    @admin.display(description=_("webhook address"))
    def webhook_address(self, obj: Inbox) -> str:
        return f"{settings.PUBLIC_URL}/webhooks/{obj.public_id}/"

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if corrected := getattr(form, "corrected", ""):
            words = gettext("White text could not be read on this accent: it was darkened to %s.") % corrected
            messages.warning(request, words)


class ExampleInline(TabularInline):
    model = IntentExample
    fields = ("text", "language")
    extra = 3

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_staff)

    has_add_permission = has_view_permission
    has_change_permission = has_view_permission
    has_delete_permission = has_view_permission


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
    list_filter = ("language", "intent")
    search_fields = ("text",)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.updated_at = timezone.now()
        super().save_model(request, obj, form, change)


@admin.register(Membership)
class MembershipAdmin(OwnedAdmin):
    list_display = ("user", "role", "workspace", "seen_at")


@admin.register(ApiKey)
class ApiKeyAdmin(OwnedAdmin):
    list_display = ("name", "hint", "created_at", "used_at", "revoked_at")
    fields = ("workspace", "name", "revoked_at")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            secret = f"btn_{secrets.token_urlsafe(32)}"
            obj.secret_hash, obj.hint = hashlib.sha256(secret.encode()).hexdigest(), secret[-4:]
            messages.success(request, gettext("The key, shown this once: %s") % secret)
        super().save_model(request, obj, form, change)


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ("kind", "status", "attempts", "run_at", "error")
    list_filter = ("kind", "status")


@admin.register(AuditRow)
class AuditAdmin(ReadOnlyAdmin):
    list_display = ("seq", "at", "actor", "action", "target")
    list_filter = ("action",)


@admin.register(Workspace)
class WorkspaceAdmin(ModelAdmin):
    list_display = ("name", "public_id", "created_at")
    fields = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Workspace]:
        return administered(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(User)
class PersonAdmin(ModelAdmin):
    """People who sign in. Passwords are set by the person, through a link."""

    list_display = ("username", "display_name", "is_active", "is_staff")
    fields = ("username", "display_name", "email", "language", "is_active", "is_staff")
