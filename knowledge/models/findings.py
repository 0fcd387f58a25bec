"""What is looked over by a person: pieces that say the same or contradict each other, questions that were set aside."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from knowledge.models.documents import Collection
from workspace.ids import PublicIdField
from workspace.tenancy import OwnedByWorkspace


class Finding(OwnedByWorkspace):
    """Two pieces of a version that say the same twice, or say different things of the same.

    `one` and `other` are public ids of chunks or entries; `key` is made of their words, so that what was set aside stays so.
    """

    class Kind(models.TextChoices):
        DUPLICATE = "duplicate", _("says the same twice")
        CONTRADICTION = "conflict", _("contradicts")

    public_id = PublicIdField("fnd")
    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="findings")
    version = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    one = models.CharField(max_length=40)
    other = models.CharField(max_length=40)
    key = models.CharField(max_length=64)
    cosine = models.FloatField()
    overlap = models.FloatField(help_text="the share of the words that both have, 0 to 1")
    set_aside_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["collection", "key"], name="one_finding_a_pair"),
        ]


class SetAside(OwnedByWorkspace):
    """A question nobody is going to write an answer for, by the hash of its folded words."""

    text_hash = models.CharField(max_length=64)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workspace", "text_hash"], name="a_question_is_set_aside_once"),
        ]
