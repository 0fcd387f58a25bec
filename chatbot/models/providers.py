"""Where language models are reached, and what they charge."""

from decimal import Decimal
from typing import Any, ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from workspace.crypto import SealedJSONField
from workspace.ids import PublicIdField
from workspace.tenancy import OwnedByWorkspace


class Currency(models.TextChoices):
    """What an account is billed in."""

    USD = "USD", _("US dollar")
    CNY = "CNY", _("Chinese yuan")
    EUR = "EUR", _("euro")


class Provider(OwnedByWorkspace):
    """An account at a language-model provider. Those that are active are asked in order of `position`."""

    class Dialect(models.TextChoices):
        OFFICIAL = "deepseek", _("DeepSeek, official API")
        COMPATIBLE = "openai", _("OpenAI-compatible server")
        GATEWAY = "gateway", _("Gateway with client credentials")

    class UserIds(models.TextChoices):
        OFF = "off", _("none")
        INBOX = "inbox", _("one per inbox")
        VISITOR = "visitor", _("one per visitor")

    class Chunks(models.TextChoices):
        AUTO = "auto", _("find out")
        DELTA = "delta", _("pieces")
        CUMULATIVE = "cumulative", _("the whole text so far")

    public_id = PublicIdField("prv")
    name = models.CharField(_("name"), max_length=60)
    dialect = models.CharField(_("dialect"), max_length=10, choices=Dialect.choices, default=Dialect.OFFICIAL)
    base_url = models.CharField(_("address"), max_length=300, default="https://api.deepseek.com")
    secret = SealedJSONField(_("secret"), default=dict, blank=True)
    model = models.CharField(_("model"), max_length=80, default="deepseek-flash")
    model_by_language = models.JSONField(
        _("model by language"),
        default=dict,
        blank=True,
        help_text=_('for questions in a language, for example {"zh": "deepseek-zh-7b"}'),
    )
    position = models.PositiveSmallIntegerField(_("position"), default=1, help_text=_("the lowest is asked first"))
    active = models.BooleanField(_("active"), default=True)
    currency = models.CharField(_("billed in"), max_length=3, choices=Currency.choices, default=Currency.USD)
    max_tokens = models.PositiveIntegerField(
        _("longest answer (tokens)"), default=1024, validators=[MinValueValidator(16), MaxValueValidator(393_216)]
    )
    temperature = models.FloatField(
        _("temperature"), default=0.5, validators=[MinValueValidator(0.0), MaxValueValidator(2.0)]
    )
    context_window = models.PositiveIntegerField(
        _("context window (tokens)"), default=0, help_text=_("0: as the model allows; longer prompts are shortened")
    )
    first_token_s = models.FloatField(
        _("wait for the first text (s)"), default=25, validators=[MinValueValidator(0.5), MaxValueValidator(600)]
    )
    idle_s = models.FloatField(
        _("longest silence (s)"), default=20, validators=[MinValueValidator(0.5), MaxValueValidator(600)]
    )
    total_s = models.FloatField(
        _("longest answer (s)"), default=120, validators=[MinValueValidator(1), MaxValueValidator(3600)]
    )
    max_streams = models.PositiveIntegerField(
        _("answers at the same time"),
        default=200,
        validators=[MinValueValidator(1), MaxValueValidator(5000)],
        help_text=_("in each server process; beyond it the next provider is asked"),
    )
    user_ids = models.CharField(
        _("user ids towards the provider"),
        max_length=8,
        choices=UserIds.choices,
        default=UserIds.INBOX,
        help_text=_("hashed; one per visitor keeps visitors apart, but shares less of the provider's cache"),
    )
    api_version = models.CharField(_("API version"), max_length=8, default="v1", blank=True)
    text_path = models.CharField(
        _("where the text is"),
        max_length=80,
        blank=True,
        help_text=_("in an answer, for example data.text; empty: find out"),
    )
    chunks = models.CharField(_("what a chunk holds"), max_length=10, choices=Chunks.choices, default=Chunks.AUTO)
    logit_bias = models.JSONField(
        _("logit bias"), default=dict, blank=True, help_text=_('token to weight, for example {"1234": -100}')
    )
    extra = models.JSONField(
        _("further fields"), default=dict, blank=True, help_text=_("sent with each request as they are")
    )
    ca = models.TextField(
        _("own certificate authority (PEM)"), blank=True, help_text=_("certificates are always verified")
    )
    holidays = models.JSONField(
        _("further holidays"),
        default=list,
        blank=True,
        help_text=_('days without peak prices, for example ["2027-10-08"]'),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("model provider")
        verbose_name_plural = _("model providers")
        ordering: ClassVar = ["position", "pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workspace", "name"], name="provider_names_differ"),
            models.CheckConstraint(condition=models.Q(max_streams__gte=1), name="a_provider_has_a_place"),
        ]

    def __str__(self) -> str:
        return self.name


def _price(label: Any, *, may_be_empty: bool = False) -> "models.DecimalField[Any, Any]":
    zero_or_more = [MinValueValidator(Decimal(0))]
    return models.DecimalField(
        label, max_digits=14, decimal_places=6, validators=zero_or_more, null=may_be_empty, blank=may_be_empty
    )


class Price(OwnedByWorkspace):
    """What a million tokens of a model cost from a moment on. Goes before the list prices that ship."""

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="prices", verbose_name=_("provider"))
    model = models.CharField(_("model"), max_length=80)
    since = models.DateTimeField(_("valid from"), default=timezone.now)
    miss = _price(_("prompt"))
    hit = _price(_("prompt, from the provider's cache"))
    output = _price(_("answer"))
    peak_miss = _price(_("prompt, at peak"), may_be_empty=True)
    peak_hit = _price(_("prompt from the cache, at peak"), may_be_empty=True)
    peak_output = _price(_("answer, at peak"), may_be_empty=True)

    class Meta:
        verbose_name = _("price per million tokens")
        verbose_name_plural = _("prices per million tokens")
        ordering: ClassVar = ["model", "-since"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["provider", "model", "since"], name="one_price_at_a_time"),
        ]

    def __str__(self) -> str:
        return f"{self.model} · {self.since:%Y-%m-%d}"
