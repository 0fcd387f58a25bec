"""Web addresses that documents come from, and their pages."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from knowledge.models.documents import Collection, Document
from workspace.ids import PublicIdField
from workspace.tenancy import OwnedByWorkspace


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
