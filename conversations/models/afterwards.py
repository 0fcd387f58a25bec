"""What is kept of a conversation beside its words: opinions, and what it is remembered by."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from conversations.models.line import Conversation, Episode
from conversations.models.record import Message
from workspace.crypto import SealedJSONField, SealedTextField
from workspace.ids import PublicIdField
from workspace.models import User
from workspace.tenancy import OwnedByWorkspace


class Feedback(OwnedByWorkspace):
    """What a visitor thinks of one answer. The newest judgement counts."""

    public_id = PublicIdField("fbk")
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="feedback")
    message = models.OneToOneField(Message, on_delete=models.CASCADE, related_name="feedback")
    value = models.SmallIntegerField(choices=[(1, _("helpful")), (-1, _("not helpful"))])
    reason = SealedTextField(null=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(value__in=[1, -1]), name="feedback_is_for_or_against"),
        ]
        indexes: ClassVar = [models.Index(fields=["workspace", "at"], name="feedback_by_time")]


class Rating(OwnedByWorkspace):
    """How a visitor rates a conversation at its end, once. No score: the question was put aside."""

    public_id = PublicIdField("rat")
    conversation = models.OneToOneField(Conversation, on_delete=models.CASCADE, related_name="rating")
    score = models.PositiveSmallIntegerField(null=True)
    comment = SealedTextField(null=True)
    agent = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(score__isnull=True) | models.Q(score__gte=1, score__lte=5), name="scores_are_1_to_5"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["workspace", "at"], name="ratings_by_time")]


class Recollection(OwnedByWorkspace):
    """By what an exchange is found again: what a visitor said, up to what the next one says. Words live in `Message`.

    `trace` is whatever the one who searches needs, made under `made_by`; as telling as the words, hence sealed like them.
    """

    public_id = PublicIdField("rec")
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="recollections")
    question = models.OneToOneField(Message, on_delete=models.CASCADE, related_name="recollection")
    seq = models.PositiveIntegerField()
    through_seq = models.PositiveIntegerField()
    made_by = models.CharField(max_length=160)
    trace = SealedJSONField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["conversation", "seq"], name="one_recollection_per_exchange"),
        ]


class Summary(OwnedByWorkspace):
    """What an episode came to so far, for whoever goes on with it. Holds only while its messages are what they were."""

    class Source(models.TextChoices):
        MODEL = "model"
        EXTRACTIVE = "extractive"

    public_id = PublicIdField("sum")
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="summaries")
    episode = models.OneToOneField(Episode, on_delete=models.CASCADE, related_name="summary")
    text = SealedTextField()
    source = models.CharField(max_length=12, choices=Source.choices)
    through_seq = models.PositiveIntegerField()
    basis = models.CharField(max_length=40)  # of which messages it was made; with others it is void
    updated_at = models.DateTimeField(default=timezone.now)
