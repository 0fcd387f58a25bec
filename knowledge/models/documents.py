"""Collections, and the documents in them as they were uploaded."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from workspace.ids import PublicIdField
from workspace.models import Workspace
from workspace.tenancy import OwnedByWorkspace, OwnedManager, OwnedQuerySet


class Collection(OwnedByWorkspace):
    """A body of knowledge that is published as a whole. `version` is the number of the live one; 0: nothing published.

    `draft` is the number of a version that was built but is not yet live (0: none); `revision` rises with everything that
    changes what may be found. `report` is what the last `knowledge.reconcile` saw.
    """

    public_id = PublicIdField("col")
    name = models.CharField(_("name"), max_length=80)
    version = models.PositiveIntegerField(_("live version"), default=0, editable=False)
    draft = models.PositiveIntegerField(_("draft"), default=0, editable=False)
    automatic = models.BooleanField(_("publish changes by themselves"), default=True)
    revision = models.PositiveIntegerField(default=0, editable=False)
    dated = models.BooleanField(default=False, editable=False)  # something in it is valid for a time only
    report = models.JSONField(default=dict, editable=False)
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
        """Neither deleted nor replaced by a newer one that is live."""
        return self.filter(deleted_at__isnull=True).exclude(status=Document.Status.REPLACED)

    def named(self, collection: "Collection | int", source: str) -> "DocumentQuerySet":
        """Every reading of one source, oldest first."""
        return self.filter(collection=collection, source=source, deleted_at__isnull=True).order_by("pk")

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
        REPLACED = "replaced", _("replaced")

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
    valid_from = models.DateTimeField(_("valid from"), null=True, blank=True)
    valid_until = models.DateTimeField(_("valid until"), null=True, blank=True)
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


class SourceText(OwnedByWorkspace):
    """The first layer: what a document said when it was read, before it was cut. `entries`: see `Edit.content`."""

    document = models.OneToOneField(Document, on_delete=models.CASCADE, related_name="text")
    parts = models.JSONField(default=list)
    entries = models.JSONField(default=list)
