"""Collections, documents as uploaded, chunks as indexed, what people changed in them, and the versions that are published."""

import datetime as dt
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
        RESTORED = "restored", _("an earlier version again")

    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField(_("number"))
    encoder = models.CharField(_("encoder"), max_length=80)
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


class GoldSet(OwnedByWorkspace):
    """Questions whose right source is known: how good the search is, told for every version."""

    public_id = PublicIdField("gld")
    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="gold_sets")
    name = models.CharField(_("name"), max_length=80)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["collection", "name"], name="gold_set_names_differ"),
        ]

    def __str__(self) -> str:
        return self.name


class GoldQuestion(OwnedByWorkspace):
    """`source` names the document that should be found, `expects` the FAQ question in it (empty: any piece will do)."""

    gold_set = models.ForeignKey(GoldSet, on_delete=models.CASCADE, related_name="questions")
    text = models.CharField(_("question"), max_length=1_000)
    source = models.CharField(_("document"), max_length=500)
    expects = models.TextField(_("FAQ question"), blank=True)

    class Meta:
        ordering: ClassVar = ["pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["gold_set", "text"], name="a_gold_question_is_asked_once"),
        ]


class GoldRun(OwnedByWorkspace):
    """What a version found of a gold set. `ranks`: by question's primary key, from 1; 0: not among the first ten."""

    gold_set = models.ForeignKey(GoldSet, on_delete=models.CASCADE, related_name="runs")
    version = models.PositiveIntegerField()
    encoder = models.CharField(max_length=80)
    questions = models.PositiveIntegerField()
    hits_1 = models.PositiveIntegerField()
    hits_5 = models.PositiveIntegerField()
    reciprocal_rank = models.FloatField(help_text="the mean over the questions, 0 to 1")
    ranks = models.JSONField(default=dict)
    ran_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["gold_set", "version"], name="one_gold_run_a_version"),
        ]


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


class Source(OwnedByWorkspace):
    """A web address that documents come from: one page, or a site by its sitemap, looked at again every so many hours.

    `run` is the number of the last run that was asked for; `error` is what kept it from looking at any page, `note` what the
    owner should know of it though it went well. `robots` is the site's robots.txt as the run found it.
    """

    class Kind(models.TextChoices):
        PAGE = "page", _("one page")
        SITE = "site", _("a whole site")

    public_id = PublicIdField("src")
    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="sources")
    kind = models.CharField(_("kind"), max_length=4, choices=Kind.choices)
    url = models.CharField(_("address"), max_length=500)
    every_hours = models.PositiveIntegerField(_("look again every … hours"), default=24)  # 0: only when asked
    run = models.PositiveIntegerField(default=0, editable=False)
    robots = models.TextField(blank=True, editable=False)
    error = models.CharField(max_length=40, blank=True)
    error_detail = models.CharField(max_length=200, blank=True)
    ran_at = models.DateTimeField(_("last looked at"), null=True, editable=False)
    created_at = models.DateTimeField(_("added"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("source")
        verbose_name_plural = _("sources")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["collection", "url"], name="a_source_is_there_once"),
        ]

    def __str__(self) -> str:
        return self.url


class SourcePage(OwnedByWorkspace):
    """A page of a source, and what became of it in its last run. `reason` is a code of `knowledge.ingest.verdicts`.

    `body_hash` is over what the server sent, `text_hash` over the words in it: either being the same means unchanged.
    """

    class Verdict(models.TextChoices):
        WAITING = "waiting", _("waiting")
        TAKEN = "taken", _("taken")
        UNCHANGED = "same", _("unchanged")
        SKIPPED = "skipped", _("skipped")
        FAILED = "failed", _("failed")
        GONE = "gone", _("gone, deleted here")

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="pages")
    document = models.ForeignKey(Document, on_delete=models.SET_NULL, related_name="+", null=True)
    url = models.CharField(max_length=500)
    run = models.PositiveIntegerField()
    verdict = models.CharField(max_length=8, choices=Verdict.choices, default=Verdict.WAITING)
    reason = models.CharField(max_length=40, blank=True)
    detail = models.CharField(max_length=200, blank=True)
    etag = models.CharField(max_length=200, blank=True)
    modified = models.CharField(max_length=100, blank=True)
    body_hash = models.CharField(max_length=64, blank=True)
    text_hash = models.CharField(max_length=64, blank=True)
    checked_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["source", "url"], name="a_page_of_a_source_is_there_once"),
        ]
