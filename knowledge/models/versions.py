"""The versions of a collection that are published, and the vectors they are made of."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from knowledge.models.documents import Collection
from workspace.tenancy import OwnedByWorkspace


class Vector(OwnedByWorkspace):
    """An embedding that is paid for: by encoder and text, so that rebuilding a version encodes only what changed."""

    encoder = models.CharField(max_length=80)
    text_hash = models.CharField(max_length=64)
    data = models.BinaryField(help_text="float16, little-endian, normalised to length 1")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workspace", "encoder", "text_hash"], name="one_vector_per_text"),
        ]


class Version(OwnedByWorkspace):
    """A state of a collection: its index is built beside the live one, then the collection points to it.

    `published_at` is None for a draft. `indexed`: its index is kept; without, it is built again from the chunks the roster
    names. `digest` is over their words, in order. `documents` are primary keys; `changes` is against the version that was
    live when it was built (see `knowledge.versions`).
    """

    class Reason(models.TextChoices):
        CHANGED = "changed", _("changed documents or edits")
        CLEANED = "cleaned", _("deleted documents taken out")
        ENCODER = "encoder", _("another encoder")
        CUT = "cut", _("texts are cut otherwise")
        RESTORED = "restored", _("an earlier version again")

    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField(_("number"))
    encoder = models.CharField(_("encoder"), max_length=80)
    cut_as = models.PositiveSmallIntegerField(default=0, editable=False)  # see knowledge.segment
    chunks = models.PositiveIntegerField(_("chunks"))
    lexicon = models.BinaryField(help_text="token ids and document frequencies, see knowledge.lexicon")
    roster = models.BinaryField(help_text="which chunk each point of the index is, see knowledge.roster")
    reason = models.CharField(_("reason"), max_length=8, choices=Reason.choices, default=Reason.CHANGED)
    restores = models.PositiveIntegerField(null=True)
    documents = models.JSONField(default=list)
    changes = models.JSONField(default=dict)
    digest = models.CharField(max_length=64, blank=True)
    indexed = models.BooleanField(default=True)
    created_at = models.DateTimeField(_("built at"), default=timezone.now)
    published_at = models.DateTimeField(_("published at"), null=True)

    class Meta:
        verbose_name = _("version")
        verbose_name_plural = _("versions")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["collection", "number"], name="versions_are_numbered"),
        ]

    def __str__(self) -> str:
        return f"{self.collection} v{self.number}"

    @property
    def index_name(self) -> str:
        return f"{self.collection.public_id}-{self.number}"
