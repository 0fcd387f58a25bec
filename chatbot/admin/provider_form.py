"""The form of a provider: every field checked in words, credentials that can be replaced but not seen."""

import datetime as dt
import re
import ssl
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import SplitResult, urlsplit

from django import forms
from django.core.validators import RegexValidator
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _

from chatbot.llm.catalogue import known_models
from chatbot.models import Provider
from workspace.fetch import FetchRefused, check_url

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Provider]
else:
    ModelForm = forms.ModelForm

RETIRED = {"deepseek-chat", "deepseek-reasoner"}
OUR_OWN = {"messages", "prompt", "model", "stream"}  # of a request's fields
LANGUAGE = re.compile(r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})?$")
CREDENTIALS = {
    Provider.Dialect.OFFICIAL: ("key",),
    Provider.Dialect.COMPATIBLE: ("key",),
    Provider.Dialect.GATEWAY: ("client_id", "client_secret"),
}
PRINTABLE = RegexValidator(r"^[\x21-\x7e]+$", _("Letters, digits and signs without spaces, as the provider gave it."))


class KnownModels(forms.TextInput):
    """A text field that offers the models of the official API."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> Any:
        field = super().render(name, value, {**(attrs or {}), "list": "known-models"}, renderer)
        options = format_html_join("", '<option value="{}"></option>', ((model,) for model in known_models()))
        return format_html('{}<datalist id="known-models">{}</datalist>', field, options)


def _secret(label: Any) -> forms.CharField:
    widget = forms.PasswordInput(attrs={"autocomplete": "new-password", "size": 60})
    return forms.CharField(label=label, required=False, max_length=1000, widget=widget, validators=[PRINTABLE])


class ProviderForm(ModelForm):
    """`any_address`: whether this person may enter addresses of the server's own network."""

    any_address = False

    new_key = _secret(_("API key"))
    new_client_id = _secret(_("client id"))
    new_client_secret = _secret(_("client secret"))

    class Meta:
        model = Provider
        exclude: ClassVar = ["secret"]
        widgets: ClassVar = {
            "model": KnownModels(attrs={"size": 40}),
            "base_url": forms.TextInput(attrs={"size": 60, "inputmode": "url"}),
            "ca": forms.Textarea(attrs={"rows": 4, "cols": 70}),
            **{
                name: forms.Textarea(attrs={"rows": 2, "cols": 70})
                for name in ("model_by_language", "logit_bias", "extra", "holidays")
            },
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.held: dict[str, str] = dict(self.instance.secret or {}) if self.instance.pk else {}
        for name in ("key", "client_id", "client_secret"):
            known = _("One is stored. Leave empty to keep it.") if self.held.get(name) else _("None is stored yet.")
            self.fields[f"new_{name}"].help_text = known
        if self.instance.pk:
            self.fields["workspace"].disabled = True
            for name in ("model_by_language", "logit_bias", "extra", "holidays"):
                self.fields[name].show_hidden_initial = False  # what was stored is what counts as unchanged

    def clean_base_url(self) -> str:
        address: str = self.cleaned_data["base_url"].strip()
        try:
            parsed = urlsplit(address)
            sound = parsed.scheme in {"http", "https"} and bool(parsed.hostname) and (parsed.port or 1) > 0
        except ValueError:
            sound = False
        if not sound:
            raise forms.ValidationError(_("Write a whole address that begins with https:// or http://."))
        if parsed.username is not None or parsed.query or parsed.fragment:
            raise forms.ValidationError(
                _("The address must not hold a user name, a password, a question mark or a # sign.")
            )
        if not self.any_address:
            try:
                check_url(address)
            except FetchRefused:
                raise forms.ValidationError(
                    _(
                        "This address is in a private network, or on another port than 80 and 443. So that nobody reaches "
                        "into the server's own network, only a superuser of this server may enter it."
                    )
                ) from None
        return address

    def clean_model_by_language(self) -> dict[str, str]:
        value = self.cleaned_data["model_by_language"] or {}
        sound = isinstance(value, dict) and all(
            LANGUAGE.match(language) and isinstance(model, str) and 0 < len(model) <= 80
            for language, model in value.items()
        )
        if not sound:
            raise forms.ValidationError(
                _('Write an object of language codes and models, for example {"zh": "deepseek-zh-7b"}.')
            )
        return dict(value)

    def clean_logit_bias(self) -> dict[str, float]:
        value = self.cleaned_data["logit_bias"] or {}
        sound = isinstance(value, dict) and all(
            token and isinstance(weight, int | float) and not isinstance(weight, bool) and -100 <= weight <= 100
            for token, weight in value.items()
        )
        if not sound:
            raise forms.ValidationError(
                _('Write an object of tokens and weights from -100 to 100, for example {"1234": -100}.')
            )
        return dict(value)

    def clean_extra(self) -> dict[str, Any]:
        value = self.cleaned_data["extra"] or {}
        if not isinstance(value, dict):
            raise forms.ValidationError(_('Write an object, for example {"top_p": 0.9}.'))
        if taken := OUR_OWN & value.keys():
            raise forms.ValidationError(
                _("Baton sets these fields itself: %(fields)s."), params={"fields": ", ".join(sorted(taken))}
            )
        return value

    def clean_holidays(self) -> list[str]:
        value = self.cleaned_data["holidays"] or []
        try:
            if not isinstance(value, list):
                raise ValueError
            return [dt.date.fromisoformat(day).isoformat() for day in value]
        except (ValueError, TypeError):
            raise forms.ValidationError(_('Write a list of dates, for example ["2027-10-08"].')) from None

    def clean_ca(self) -> str:
        pem: str = self.cleaned_data["ca"].strip()
        if pem:
            try:
                ssl.create_default_context().load_verify_locations(cadata=pem)
            except (ssl.SSLError, ValueError, TypeError):
                raise forms.ValidationError(
                    _("This is not a certificate in PEM form: it begins with -----BEGIN CERTIFICATE-----.")
                ) from None
        return pem

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("dialect") == Provider.Dialect.OFFICIAL:
            self._refuse_retired("model", [data.get("model", "")])
            self._refuse_retired("model_by_language", data.get("model_by_language", {}).values())
        if "dialect" in data and "base_url" in data:
            self._gather_secret(data)
        return data

    def save(self, commit: bool = True) -> Provider:
        self.instance.secret = self.secret
        return super().save(commit)

    @property
    def short_secret(self) -> bool:
        """Whether a new client secret has fewer bytes than the signature of its tokens wants (RFC 7518, 3.2)."""
        return 0 < len(self.cleaned_data["new_client_secret"]) < 32

    @property
    def in_the_clear(self) -> bool:
        """Whether credentials travel unencrypted to another machine."""
        parsed = urlsplit(self.cleaned_data["base_url"])
        at_home = parsed.hostname in {"localhost", "127.0.0.1", "::1"}
        return parsed.scheme == "http" and not at_home and any(self.secret.values())

    def _refuse_retired(self, field: str, models: Any) -> None:
        for model in RETIRED.intersection(models):
            self.add_error(
                field,
                forms.ValidationError(
                    _("%(model)s was retired by the provider and is answered with an error. Choose deepseek-flash."),
                    params={"model": model},
                ),
            )

    def _gather_secret(self, data: dict[str, Any]) -> None:
        """What is stored is kept, but never sent to another server than it was entered for."""
        names = CREDENTIALS[data["dialect"]]
        moved = bool(self.held) and _origin(data["base_url"]) != _origin(self.initial.get("base_url", ""))
        self.secret = {name: data.get(f"new_{name}") or ("" if moved else self.held.get(name, "")) for name in names}
        optional = data["dialect"] == Provider.Dialect.COMPATIBLE
        for name, value in self.secret.items():
            if value or f"new_{name}" in self.errors:
                continue
            if moved and self.held.get(name):
                self.add_error(
                    f"new_{name}",
                    _(
                        "The address leads to another server than before: enter this again, so that it goes where you mean."
                    ),
                )
            elif not optional:
                self.add_error(f"new_{name}", _("This dialect needs it."))


def _origin(address: str) -> tuple[str, str | None, int | None]:
    parsed: SplitResult = urlsplit(address.strip())
    return parsed.scheme, parsed.hostname, parsed.port or {"http": 80, "https": 443}.get(parsed.scheme)
