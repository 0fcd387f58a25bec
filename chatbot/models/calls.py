"""What was asked of models, what it cost, what may be spent, and what the owner ought to know."""

from decimal import Decimal
from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chatbot.models.providers import Currency, Provider
from conversations.models import Contact, Conversation, Inbox
from workspace.ids import PublicIdField
from workspace.tenancy import OwnedByWorkspace


class ModelCall(OwnedByWorkspace):
    """One call to a provider, whole or not: never changed, never deleted with what it was for.

    `cost` in `currency`, null where no price is known; `saved` is what the provider's cache took off. `cached_tokens` and
    `missed_tokens` add up to the prompt's.
    """

    public_id = PublicIdField("mcl")
    provider = models.ForeignKey(Provider, on_delete=models.SET_NULL, null=True, related_name="+")
    provider_name = models.CharField(_("provider"), max_length=60)
    dialect = models.CharField(max_length=10)
    model = models.CharField(_("model"), max_length=80)
    purpose = models.CharField(_("purpose"), max_length=24)
    prompt_version = models.CharField(max_length=24, blank=True)
    inbox = models.ForeignKey(Inbox, on_delete=models.SET_NULL, null=True, related_name="+")
    contact = models.ForeignKey(Contact, on_delete=models.SET_NULL, null=True, related_name="+")
    conversation = models.ForeignKey(Conversation, on_delete=models.SET_NULL, null=True, related_name="model_calls")
    turn = models.CharField(max_length=40, blank=True, help_text=_("public id of the turn"))
    cached_tokens = models.PositiveIntegerField(_("prompt tokens from the cache"), default=0)
    missed_tokens = models.PositiveIntegerField(_("prompt tokens"), default=0)
    output_tokens = models.PositiveIntegerField(_("answer tokens"), default=0)
    reasoning_tokens = models.PositiveIntegerField(_("of these, reasoning"), default=0)
    estimated = models.BooleanField(_("tokens estimated"), default=False)
    peak = models.BooleanField(_("at peak"), default=False)
    currency = models.CharField(_("currency"), max_length=3, choices=Currency.choices)
    cost = models.DecimalField(_("cost"), max_digits=20, decimal_places=12, null=True)
    saved = models.DecimalField(_("saved by the cache"), max_digits=20, decimal_places=12, null=True)
    started_at = models.DateTimeField(_("started at"))
    ended_at = models.DateTimeField(_("ended at"))
    first_ms = models.PositiveIntegerField(_("to the first text (ms)"), null=True)
    total_ms = models.PositiveIntegerField(_("total (ms)"))
    tries = models.PositiveSmallIntegerField(_("tries"))
    finish = models.CharField(_("finish reason"), max_length=40, blank=True)
    failure = models.CharField(_("failure"), max_length=24, blank=True)
    trace = models.CharField(_("trace id"), max_length=100, blank=True)

    class Meta:
        verbose_name = _("model call")
        verbose_name_plural = _("model calls")
        indexes: ClassVar = [
            models.Index(fields=["workspace", "ended_at"], name="calls_by_time"),
            models.Index(fields=["inbox", "ended_at"], name="calls_by_inbox"),
            models.Index(fields=["contact", "ended_at"], name="calls_by_contact"),
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.public_id}"

    @property
    def prompt_tokens(self) -> int:
        return self.cached_tokens + self.missed_tokens


class Budget(OwnedByWorkspace):
    """What may be spent in a day or a month: altogether, in one inbox, or by each visitor.

    The ladder, in percent of the amount: shorter prompts, then quotations without a model, then (where set) a person.
    """

    class Period(models.TextChoices):
        DAY = "day", _("day")
        MONTH = "month", _("month")

    class Scope(models.TextChoices):
        WORKSPACE = "workspace", _("everything")
        INBOX = "inbox", _("one inbox")
        VISITOR = "visitor", _("each visitor")

    public_id = PublicIdField("bud")
    scope = models.CharField(_("counts"), max_length=10, choices=Scope.choices, default=Scope.WORKSPACE)
    inbox = models.ForeignKey(Inbox, on_delete=models.CASCADE, null=True, blank=True, verbose_name=_("inbox"))
    period = models.CharField(_("per"), max_length=6, choices=Period.choices, default=Period.MONTH)
    amount = models.DecimalField(
        _("amount"), max_digits=12, decimal_places=4, validators=[MinValueValidator(Decimal("0.0001"))]
    )
    currency = models.CharField(_("currency"), max_length=3, choices=Currency.choices, default=Currency.USD)
    shorten_at = models.PositiveSmallIntegerField(
        _("shorter prompts from (%)"),
        default=80,
        help_text=_("fewer sources, less history; at 80 % you are warned in any case"),
    )
    extractive_at = models.PositiveSmallIntegerField(
        _("quotations only from (%)"),
        default=100,
        help_text=_("answers quote your documents, without a model and at no cost"),
    )
    person_at = models.PositiveSmallIntegerField(
        _("hand over from (%)"), null=True, blank=True, help_text=_("empty: the bot goes on with quotations")
    )

    class Meta:
        verbose_name = _("budget")
        verbose_name_plural = _("budgets")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(scope="inbox", inbox__isnull=False)
                | (~models.Q(scope="inbox") & models.Q(inbox=None)),
                name="an_inbox_budget_names_its_inbox",
                violation_error_message=_("A budget for one inbox names the inbox; any other does not."),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} / {self.get_period_display()}"


class Notice(OwnedByWorkspace):
    """Something an administrator ought to know. `key` keeps the same thing from being said twice."""

    class Kind(models.TextChoices):
        BUDGET_WARNING = "budget_warning", _("A budget is nearly spent")
        BUDGET_SPENT = "budget_spent", _("A budget is spent")
        PROVIDER_FAILS = "provider_fails", _("A provider refuses to answer")

    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    key = models.CharField(max_length=160)
    detail = models.JSONField(_("detail"), default=dict)
    at = models.DateTimeField(_("at"), default=timezone.now)
    read_at = models.DateTimeField(_("read at"), null=True)

    class Meta:
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        ordering: ClassVar = ["-at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workspace", "key"], name="a_notice_is_given_once"),
        ]

    def __str__(self) -> str:
        return self.get_kind_display()
