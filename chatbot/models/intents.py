"""The intents of a workspace and their examples."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from workspace.ids import PublicIdField
from workspace.tenancy import OwnedByWorkspace


class Intent(OwnedByWorkspace):
    """What a message can be for."""

    class Action(models.TextChoices):
        ANSWER = "answer", _("answer from the knowledge")
        REPLY = "reply", _("send the fixed reply")
        HANDOFF = "handoff", _("ask for a person")

    public_id = PublicIdField("int")
    key = models.SlugField(_("key"), max_length=40)
    name_en = models.CharField(_("name (English)"), max_length=60)
    name_zh = models.CharField(_("name (Chinese)"), max_length=60, blank=True)
    action = models.CharField(_("action"), max_length=8, choices=Action.choices, default=Action.ANSWER)
    reply_en = models.TextField(_("reply (English)"), blank=True)
    reply_zh = models.TextField(_("reply (Chinese)"), blank=True)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("intent")
        verbose_name_plural = _("intents")
        ordering: ClassVar = ["key"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workspace", "key"], name="intent_keys_differ"),
            models.CheckConstraint(
                condition=~models.Q(action="reply") | ~models.Q(reply_en="") | ~models.Q(reply_zh=""),
                name="a_reply_intent_has_a_reply",
            ),
        ]

    def __str__(self) -> str:
        return self.key


class IntentExample(OwnedByWorkspace):
    """A message that has an intent; without one, a message that belongs to none."""

    intent = models.ForeignKey(
        Intent, on_delete=models.CASCADE, related_name="examples", null=True, blank=True, verbose_name=_("intent")
    )
    text = models.CharField(_("text"), max_length=400)
    language = models.CharField(_("language"), max_length=12)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("example")
        verbose_name_plural = _("examples")

    def __str__(self) -> str:
        return self.text[:60]
