"""What a document is cut into, and what people changed in it: chunks, FAQ entries, edits."""

import datetime as dt
from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from knowledge.models.documents import Collection, Document
from workspace.ids import PublicIdField
from workspace.models import Workspace
from workspace.tenancy import OwnedByWorkspace, OwnedManager, OwnedQuerySet


class Layer(models.TextChoices):
    """Who made a piece: the machine from the source, a person, or the machine from what a person's piece left over."""

    MACHINE = "machine", _("from the source")
    WRITTEN = "written", _("written by a person")
    REST = "rest", _("the rest of a piece")


class Edit(OwnedByWorkspace):
    """The third layer: what a person wants of one piece of a source, whatever becomes of the source.

    `base` is the piece as the source had it (None: added by the person), `content` what it shall say instead (None: as the
    source says), `theirs` what the source says now, where that clashes (with `state` clash; None: nothing any more). All three
    are ``{"heading", "text"}`` for passages, ``{"question", "phrasings", "answers"}`` for FAQ entries. See `knowledge.layers`.
    """

    class Kind(models.TextChoices):
        PASSAGE = "passage", _("passage")
        ENTRY = "entry", _("FAQ entry")

    class State(models.TextChoices):
        ACTIVE = "active", _("in use")
        CLASH = "clash", _("clashes with the source")
        ENDED = "ended", _("ended")

    public_id = PublicIdField("edt")
    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="edits")
    source = models.CharField(max_length=500)
    kind = models.CharField(max_length=8, choices=Kind.choices)
    base = models.JSONField(null=True)
    content = models.JSONField(null=True)
    theirs = models.JSONField(null=True)
    off = models.BooleanField(_("switched off"), default=False)
    valid_from = models.DateTimeField(_("valid from"), null=True, blank=True)
    valid_until = models.DateTimeField(_("valid until"), null=True, blank=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.ACTIVE)
    author = models.CharField(max_length=40)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["collection", "source", "state"], name="edits_by_source")]


class Entry(OwnedByWorkspace):
    """A FAQ entry: a question, its other phrasings, and its answers. Found by the best of its chunks.

    Its words never change: an edited entry is a new row, `current` when the next version is to hold it. `off` and the dates
    count at once, in every version.
    """

    public_id = PublicIdField("ent")
    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="entries")
    position = models.PositiveIntegerField()
    question = models.TextField(_("question"))
    answers = models.JSONField(_("answers"))
    layer = models.CharField(max_length=8, choices=Layer.choices, default=Layer.MACHINE)
    edit = models.ForeignKey(Edit, on_delete=models.SET_NULL, null=True, related_name="entries")
    current = models.BooleanField(default=True)
    off = models.BooleanField(_("switched off"), default=False)
    valid_from = models.DateTimeField(_("valid from"), null=True, blank=True)
    valid_until = models.DateTimeField(_("valid until"), null=True, blank=True)

    class Meta:
        verbose_name = _("FAQ entry")
        verbose_name_plural = _("FAQ entries")
        ordering: ClassVar = ["document", "position"]

    def __str__(self) -> str:
        return self.question[:80]

    @property
    def answer(self) -> str:
        return "\n\n".join(self.answers)


class ChunkQuerySet(OwnedQuerySet["Chunk"]):
    def retrievable(self, at: dt.datetime) -> "ChunkQuerySet":
        """What may be found at that moment, whichever version's index still holds it: the last word is the database's."""
        rows = self.filter(document__deleted_at__isnull=True, off=False)
        for row in ("document", "entry"):
            rows = rows.filter(
                models.Q(**{f"{row}__valid_from__isnull": True}) | models.Q(**{f"{row}__valid_from__lte": at}),
                models.Q(**{f"{row}__valid_until__isnull": True}) | models.Q(**{f"{row}__valid_until__gt": at}),
            )
        return rows.filter(models.Q(entry__isnull=True) | models.Q(entry__off=False))


class ChunkManager(OwnedManager["Chunk"]):
    def of(self, workspace: Workspace | int) -> ChunkQuerySet:
        return Chunk.every.all().of(workspace)


EveryChunk = models.Manager.from_queryset(ChunkQuerySet)


class Chunk(OwnedByWorkspace):
    """A piece of a document as it is indexed. `heading` is the path of headings above it.

    Its words never change (see `Entry`), so that a version can be built again exactly from the rows its roster names.
    """

    class Kind(models.TextChoices):
        PASSAGE = "passage", _("passage")
        QUESTION = "question", _("question")
        ANSWER = "answer", _("answer")

    public_id = PublicIdField("chk")
    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="chunks")
    entry = models.ForeignKey(Entry, on_delete=models.CASCADE, related_name="chunks", null=True)
    kind = models.CharField(max_length=8, choices=Kind.choices)
    position = models.PositiveIntegerField()
    heading = models.CharField(max_length=300, blank=True)
    text = models.TextField()
    layer = models.CharField(max_length=8, choices=Layer.choices, default=Layer.MACHINE)
    edit = models.ForeignKey(Edit, on_delete=models.SET_NULL, null=True, related_name="chunks")
    current = models.BooleanField(default=True)
    off = models.BooleanField(_("switched off"), default=False)

    every: ClassVar[EveryChunk["Chunk"]] = EveryChunk()
    objects: ClassVar[ChunkManager] = ChunkManager()

    class Meta:
        ordering: ClassVar = ["document", "position"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(kind="passage", entry__isnull=True)
                | (~models.Q(kind="passage") & models.Q(entry__isnull=False)),
                name="only_entries_have_questions_and_answers",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.public_id} {self.heading}"

    @property
    def indexed_text(self) -> str:
        """What is embedded and segmented: the words with the headings they stand under."""
        return f"{self.heading}\n{self.text}" if self.heading else self.text
