"""Inboxes: where visitors come in, with each inbox's moderation and its wordings. Credentials can be written, never read."""

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.validators import RegexValidator
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chatbot.admin.owned import OwnedAdmin
from chatbot.contrast import readable_accent
from chatbot.moderation.policy import DEFAULTS, Policy
from chatbot.replies import TEXTS
from chatbot.tokens import is_rsa_public_key
from conversations.hours import BadHours, check_hours
from conversations.models import Inbox
from conversations.prechat import BadForm, check_form

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Inbox]
else:
    ModelForm = forms.ModelForm

LANGUAGES = (("en", _("English")), ("zh", _("Chinese")), ("zh-hant", _("Traditional Chinese, if not converted")))
WIDGET_TEXTS = {
    "disclaimer": _("Stands below the text box, for example: AI can be wrong, please check what matters."),
    "suggestions": _("Questions to begin with, one a line, at most five."),
}
POLICIES = [(Policy.OFF, _("off")), (Policy.NOTE, _("note")), (Policy.BLOCK, _("block"))]


GENERAL = (
    "workspace", "name", "kind", "language", "active", "collections", "allowed_domains", "accent", "position",
    "hours", "form", "strict", "takes_files", "takes_speech", "asks_rating",
)  # fmt: skip


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

    new_identity_secret = forms.CharField(
        label=_("new identity secret"),
        required=False,
        min_length=32,
        max_length=200,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_(
            "With it your site signs who its visitor is: a JWT (HS256) with sub, exp and aud = this inbox's id, for "
            "Baton.identify(). At least 32 characters. Leave empty to keep what is stored."
        ),
    )
    forget_identity_secret = forms.BooleanField(label=_("forget the identity secret"), required=False)
    identity_public_key = forms.CharField(
        label=_("identity public key"),
        required=False,
        max_length=4_000,
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false", "placeholder": "-----BEGIN PUBLIC KEY-----"}),
        help_text=_(
            "Instead of a secret: the public RSA key (PEM, 2,048 bits or more) of the private one that your site signs with "
            "(RS256)."
        ),
    )

    class Meta:
        model = Inbox
        fields: ClassVar = [*GENERAL, "identity_public_key"]

    def clean_hours(self) -> Any:
        value = self.cleaned_data["hours"] or {}
        try:
            check_hours(value)
        except BadHours as problem:
            raise forms.ValidationError(str(problem)) from None
        return value

    def clean_form(self) -> Any:
        value = self.cleaned_data["form"] or []
        try:
            check_form(value)
        except BadForm as problem:
            raise forms.ValidationError(str(problem)) from None
        return value

    def clean_identity_public_key(self) -> str:
        pem: str = self.cleaned_data["identity_public_key"].strip()
        if pem and not is_rsa_public_key(pem):
            raise forms.ValidationError(
                _("This is not a public RSA key of 2,048 bits or more: it begins with -----BEGIN PUBLIC KEY-----.")
            )
        return pem

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
        if self.cleaned_data.get("forget_identity_secret"):
            inbox.identity_secret = None
        if self.cleaned_data.get("new_identity_secret"):
            inbox.identity_secret = self.cleaned_data["new_identity_secret"]
        inbox.moderation = {
            category: self.cleaned_data[f"moderation_{category}"]
            for category, default in DEFAULTS.items()
            if self.cleaned_data[f"moderation_{category}"] != default
        }
        texts = {
            key: {language: self.cleaned_data[f"text_{key}_{language}"] for language, _name in LANGUAGES}
            for key in (*TEXTS, *WIDGET_TEXTS)
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
    for key, text in (TEXTS | WIDGET_TEXTS).items():
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
            (None, {"fields": [*GENERAL, *(shown if obj else ())]}),
            (_("Credentials"), {"fields": ["new_credentials"]}),
            (
                _("Signed-in visitors"),
                {"fields": ["new_identity_secret", "forget_identity_secret", "identity_public_key"]},
            ),
            (_("Moderation"), {"fields": [f"moderation_{category}" for category in DEFAULTS]}),
            (
                _("The bot's own sentences"),
                {"fields": [f"text_{key}_{language}" for key in TEXTS for language, _name in LANGUAGES]},
            ),
            (
                _("The widget's own sentences"),
                {"fields": [f"text_{key}_{language}" for key in WIDGET_TEXTS for language, _name in LANGUAGES]},
            ),
        ]

    @admin.display(description=_("for your site"))
    def snippet(self, obj: Inbox) -> str:
        look = f' data-accent="{obj.accent}"' + (' data-position="left"' if obj.position == "left" else "")
        return (
            f'<script src="{settings.PUBLIC_URL}/widget/loader.js" data-inbox="{obj.public_id}"{look} async></script>'
            f'<noscript><a href="{settings.PUBLIC_URL}/chat/{obj.public_id}/">{gettext("Leave a message")}</a></noscript>'
        )

    @admin.display(description=_("webhook address"))
    def webhook_address(self, obj: Inbox) -> str:
        return f"{settings.PUBLIC_URL}/webhooks/{obj.public_id}/"

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if corrected := getattr(form, "corrected", ""):
            words = gettext("White text could not be read on this accent: it was darkened to %s.") % corrected
            messages.warning(request, words)
