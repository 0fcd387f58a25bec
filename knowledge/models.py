"""Collections, documents as uploaded, chunks as indexed, and the versions that are published."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from workspace.ids import PublicIdField
from workspace.models import Workspace
from workspace.tenancy import OwnedByWorkspace, OwnedManager, OwnedQuerySet


class Collection(OwnedByWorkspace):
    """A body of knowledge that is published as a whole. `version` is the number of the live one; 0: nothing published."""

    public_id = PublicIdField("col")
    name = models.CharField(_("name"), max_length=80)
    version = models.PositiveIntegerField(_("live version"), default=0, editable=False)
    builder = models.CharField(max_length=40, blank=True, editable=False)
    builder_until = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("collection")
        verbose_name_plural = _("collections")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workspace", "name"], name="collection_names_differ"),
        ]

    def __str__(self) -> str:
        return self.name


class DocumentQuerySet(OwnedQuerySet["Document"]):
    def kept(self) -> "DocumentQuerySet":
        """Not deleted."""
        return self.filter(deleted_at__isnull=True)

    def readable(self) -> "DocumentQuerySet":
        """What the next version is built from."""
        return self.kept().filter(status__in=[Document.Status.READ, Document.Status.LIVE])


class DocumentManager(OwnedManager["Document"]):
    def of(self, workspace: Workspace | int) -> DocumentQuerySet:
        return Document.every.all().of(workspace)


EveryDocument = models.Manager.from_queryset(DocumentQuerySet)


class Document(OwnedByWorkspace):
    """A file or text as it was given to us. A changed file is a new document that takes the old one's place when published."""

    class Status(models.TextChoices):
        QUEUED = "queued", _("waiting")
        READ = "read", _("read, not yet published")
        LIVE = "live", _("live")
        FAILED = "failed", _("failed")

    public_id = PublicIdField("doc")
    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="documents")
    title = models.CharField(_("title"), max_length=200)
    source = models.CharField(_("source"), max_length=500)
    url = models.URLField(_("public address"), max_length=500, blank=True)
    media_type = models.CharField(_("type"), max_length=100)
    content_hash = models.CharField(max_length=64)
    size_bytes = models.PositiveBigIntegerField(_("size"))
    content = models.BinaryField(help_text=_("the file itself, until it has been read"), null=True)
    status = models.CharField(_("status"), max_length=8, choices=Status.choices, default=Status.QUEUED)
    error = models.CharField(_("error code"), max_length=40, blank=True)
    error_detail = models.CharField(max_length=200, blank=True)
    replaces = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(_("added"), default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(null=True)

    every: ClassVar[EveryDocument["Document"]] = EveryDocument()
    objects: ClassVar[DocumentManager] = DocumentManager()

    class Meta:
        verbose_name = _("document")
        verbose_name_plural = _("documents")
        indexes: ClassVar = [models.Index(fields=["collection", "source"], name="documents_by_source")]

    def __str__(self) -> str:
        return self.title


class Entry(OwnedByWorkspace):
    """A FAQ entry: a question, its other phrasings, and its answers. Found by the best of its chunks."""

    public_id = PublicIdField("ent")
    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="entries")
    position = models.PositiveIntegerField()
    question = models.TextField(_("question"))
    answers = models.JSONField(_("answers"))

    class Meta:
        verbose_name = _("FAQ entry")
        verbose_name_plural = _("FAQ entries")
        ordering: ClassVar = ["document", "position"]

    def __str__(self) -> str:
        return self.question[:80]

    @property
    def answer(self) -> str:
        return "\n\n".join(self.answers)


class Chunk(OwnedByWorkspace):
    """A piece of a document as it is indexed. `heading` is the path of headings above it."""

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
    """A published state of a collection: its index is built beside the live one, then the collection points to it."""

    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField(_("number"))
    encoder = models.CharField(_("encoder"), max_length=80)
    chunks = models.PositiveIntegerField(_("chunks"))
    lexicon = models.BinaryField(help_text="token ids and document frequencies, see knowledge.lexicon")
    roster = models.BinaryField(help_text="which chunk each point of the index is, see knowledge.roster")
    published_at = models.DateTimeField(_("published at"), default=timezone.now)

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
