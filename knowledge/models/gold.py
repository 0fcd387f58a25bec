"""Questions whose right source is known, and what each version found of them."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from knowledge.models.documents import Collection
from workspace.ids import PublicIdField
from workspace.tenancy import OwnedByWorkspace


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
