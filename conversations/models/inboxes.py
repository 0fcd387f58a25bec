"""The ways in, and the people outside."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from workspace.crypto import SealedJSONField, SealedTextField
from workspace.ids import PublicIdField
from workspace.tenancy import OwnedByWorkspace


class Inbox(OwnedByWorkspace):
    """One configured way in: a web widget, a Telegram bot, a signed webhook."""

    class Kind(models.TextChoices):
        WIDGET = "widget", _("Website widget")
        GENERIC = "generic", _("Signed webhook")
        TELEGRAM = "telegram", _("Telegram")

    public_id = PublicIdField("ibx")
    name = models.CharField(_("name"), max_length=80)
    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices, default=Kind.WIDGET)
    language = models.CharField(
        _("main language"), max_length=12, default="en", help_text=_("used until a visitor's own language is known")
    )
    active = models.BooleanField(_("active"), default=True)
    collections = models.JSONField(
        _("collections"),
        default=list,
        blank=True,
        help_text=_("public ids of the collections it answers from; empty: all"),
    )
    allowed_domains = models.JSONField(
        _("allowed sites"),
        default=list,
        blank=True,
        help_text=_("sites that may show the widget, for example shop.example.com; empty: only this server itself"),
    )
    accent = models.CharField(_("accent colour"), max_length=7, default="#4451D6")
    position = models.CharField(
        _("position"), max_length=5, choices=[("right", _("right")), ("left", _("left"))], default="right"
    )
    texts = models.JSONField(
        _("texts"),
        default=dict,
        blank=True,
        help_text=_('own wording by key and language: {"greeting": {"en": "Hello!"}}'),
    )
    moderation = models.JSONField(
        _("moderation"),
        default=dict,
        blank=True,
        help_text=_("category: off, note or block; the rest keeps its default"),
    )
    hours = models.JSONField(
        _("opening hours"),
        default=dict,
        blank=True,
        help_text=_(
            'when people are there; empty: always. {"time_zone": "Asia/Shanghai", "weekly": {"mon": [["09:00", "18:00"]]}, '
            '"holidays": ["2026-10-01"]}'
        ),
    )
    form = models.JSONField(
        _("form before the chat"),
        default=list,
        blank=True,
        help_text=_(
            'fields asked for before the first message; empty: none. [{"key": "email", "kind": "email", "required": true, '
            '"label": {"en": "E-mail", "zh": "邮箱"}}]'
        ),
    )
    strict = models.BooleanField(
        _("strict"),
        default=False,
        help_text=_("a sentence of a language model is shown only after it was held against its sources"),
    )
    takes_files = models.BooleanField(_("visitors may send files"), default=True)
    takes_speech = models.BooleanField(
        _("visitors may dictate"),
        default=False,
        help_text=_(
            "A microphone beside the text box, where the visitor's browser can turn speech into text. Most browsers send the "
            "sound to their maker for that; nothing of it comes here."
        ),
    )
    asks_rating = models.BooleanField(_("ask for a rating at the end"), default=True)
    identity_secret = SealedTextField(_("identity secret"), null=True, blank=True)
    identity_public_key = models.TextField(_("identity public key"), default="", blank=True)
    credentials = SealedJSONField(_("credentials"), default=dict, blank=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("inbox")
        verbose_name_plural = _("inboxes")

    def __str__(self) -> str:
        return self.name


class Contact(OwnedByWorkspace):
    """The outside person. On the wire of the widget this is the visitor."""

    public_id = PublicIdField("cnt")
    inbox = models.ForeignKey(Inbox, on_delete=models.CASCADE, related_name="contacts", verbose_name=_("inbox"))
    external_key = models.CharField(
        max_length=64, null=True, editable=False, help_text=_("keyed hash of the platform's own id of this person")
    )
    external_id = SealedTextField(_("id on the platform"), null=True, blank=True)
    name = SealedTextField(_("name"), null=True, blank=True)
    email = SealedTextField(_("e-mail"), null=True, blank=True)
    phone = SealedTextField(_("phone"), null=True, blank=True)
    details = SealedJSONField(_("what the form and the page said"), null=True, blank=True)
    language = models.CharField(_("language"), max_length=12, blank=True)
    remembered = models.PositiveIntegerField(default=0, editable=False)  # conversations that left recollections
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("contact")
        verbose_name_plural = _("contacts")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["inbox", "external_key"], name="one_contact_per_platform_id"),
        ]

    def __str__(self) -> str:
        return self.name or self.public_id
