"""Work for a language model that may wait: many requests, done once each."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chatbot.models.providers import Provider
from workspace.crypto import SealedJSONField
from workspace.ids import PublicIdField
from workspace.tenancy import OwnedByWorkspace


class Batch(OwnedByWorkspace):
    """Requests with one purpose. Progress is the state of its items. `key` tells work that was handed in before."""

    class Status(models.TextChoices):
        WAITING = "waiting", _("waiting")
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        CANCELLED = "cancelled", _("cancelled")

    public_id = PublicIdField("bat")
    key = models.CharField(max_length=64, blank=True, editable=False)
    purpose = models.CharField(_("purpose"), max_length=24)
    provider = models.ForeignKey(Provider, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.WAITING)
    off_peak = models.BooleanField(_("only off peak"), default=True)
    at_once = models.PositiveSmallIntegerField(_("requests at the same time"), default=8)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    ended_at = models.DateTimeField(_("ended at"), null=True)

    class Meta:
        verbose_name = _("batch")
        verbose_name_plural = _("batches")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["workspace", "key"],
                condition=~models.Q(key="") & ~models.Q(status="cancelled"),
                name="one_batch_per_key",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} {self.public_id}"


class BatchItem(OwnedByWorkspace):
    """One request of a batch and what came of it. `sent_at` is written before the provider is asked.

    `tries` counts askings that were the request's own; `lost` those whose worker died before it could keep the answer.
    """

    class Status(models.TextChoices):
        OPEN = "open", _("open")
        SENT = "sent", _("under way")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="items")
    name = models.CharField(_("name"), max_length=120)
    status = models.CharField(_("status"), max_length=6, choices=Status.choices, default=Status.OPEN)
    request = SealedJSONField(_("request"))
    answer = SealedJSONField(_("answer"), null=True)
    failure = models.CharField(_("failure"), max_length=24, blank=True)
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    lost = models.PositiveSmallIntegerField(default=0, editable=False)
    sent_at = models.DateTimeField(_("sent at"), null=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)

    class Meta:
        verbose_name = _("batch item")
        verbose_name_plural = _("batch items")
        ordering: ClassVar = ["pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["batch", "name"], name="one_item_per_name"),
            models.CheckConstraint(
                condition=~models.Q(status="done") | models.Q(ended_at__isnull=False), name="a_done_item_has_an_end"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["batch", "status"], name="batch_items_to_do")]

    def __str__(self) -> str:
        return self.name

    @property
    def public_id(self) -> str:
        """What binds the sealed texts to this row; items are known by their names only."""
        return f"{self.batch_id}/{self.name}"
