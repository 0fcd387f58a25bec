"""What is said and what comes of it: messages, events, turns, files, receipts."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from conversations.models.inboxes import Inbox
from conversations.models.line import Conversation
from workspace.crypto import SealedTextField
from workspace.ids import PublicIdField
from workspace.models import User
from workspace.tenancy import OwnedByWorkspace


class Author(models.TextChoices):
    """Who said it."""

    VISITOR = "visitor", _("Visitor")
    BOT = "bot", _("Bot")
    AGENT = "agent", _("Agent")


class Message(OwnedByWorkspace):
    """One utterance. The text is Markdown for the bot and plain text for people."""

    class State(models.TextChoices):
        COMPLETE = "complete", _("complete")
        INTERRUPTED = "interrupted", _("interrupted")
        STOPPED = "stopped", _("stopped by the visitor")

    class Delivery(models.TextChoices):
        NONE = "", _("not needed")
        PENDING = "pending", _("on its way")
        SENT = "sent", _("delivered to the platform")
        FAILED = "failed", _("could not be delivered")

    public_id = PublicIdField("msg")
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages")
    turn = models.ForeignKey("conversations.Turn", on_delete=models.SET_NULL, null=True, related_name="messages")
    seq = models.PositiveIntegerField()
    epoch = models.PositiveIntegerField()
    author = models.CharField(max_length=8, choices=Author.choices)
    agent = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    client_id = models.CharField(max_length=64, null=True)
    text = SealedTextField()
    revises = models.OneToOneField(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        related_name="revised_by",
        help_text=_("the visitor's earlier words that this message replaces"),
    )
    state = models.CharField(max_length=12, choices=State.choices, default=State.COMPLETE)
    kind = models.CharField(max_length=12, blank=True, help_text=_("how the bot came by it; empty for people"))
    citations = models.JSONField(default=list)
    delivery = models.CharField(max_length=8, choices=Delivery.choices, blank=True, default=Delivery.NONE)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["seq"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["conversation", "seq"], name="messages_are_numbered"),
            models.UniqueConstraint(fields=["conversation", "author", "client_id"], name="one_message_per_client_id"),
        ]
        indexes: ClassVar = [models.Index(fields=["workspace", "created_at"], name="messages_by_time")]


class Event(OwnedByWorkspace):
    """A line of a conversation's append-only log. Holds ids and codes only; words live in `Message`."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveIntegerField()
    type = models.CharField(max_length=32)
    data = models.JSONField(default=dict)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["seq"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["conversation", "seq"], name="events_are_numbered"),
        ]


class Turn(OwnedByWorkspace):
    """One question and everything that came of it."""

    class Outcome(models.TextChoices):
        RUNNING = "running", _("running")
        ANSWERED = "answered", _("answered")
        ASKED_BACK = "asked_back", _("asked back")
        NO_ANSWER = "no_answer", _("no source")
        REFUSED = "refused", _("refused")
        HANDED_OFF = "handed_off", _("handed over")
        INTERRUPTED = "interrupted", _("interrupted")
        STOPPED = "stopped", _("stopped by the visitor")
        MERGED = "merged", _("answered with the next question")
        FAILED = "failed", _("failed")
        SUPERSEDED = "superseded", _("superseded by an edit")

    public_id = PublicIdField("trn")
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="turns")
    question = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="+")
    repeats = models.OneToOneField("self", on_delete=models.SET_NULL, null=True, related_name="repeated_by")
    variant = models.PositiveSmallIntegerField(_("variant"), default=1)
    epoch = models.PositiveIntegerField()
    outcome = models.CharField(_("outcome"), max_length=12, choices=Outcome.choices, default=Outcome.RUNNING)
    shown = SealedTextField(default="")
    lease_until = models.DateTimeField()
    language = models.CharField(_("language"), max_length=12, blank=True)
    intent = models.CharField(_("intent"), max_length=40, blank=True)
    confidence = models.FloatField(_("confidence"), null=True)
    query = SealedTextField(null=True)
    passages = models.JSONField(_("passages"), default=list)
    evidence = models.FloatField(_("evidence"), null=True)
    flags = models.JSONField(_("flags"), default=dict)
    source = models.CharField(_("answered by"), max_length=12, blank=True)
    model = models.CharField(_("model"), max_length=80, blank=True)
    versions = models.JSONField(_("versions"), default=dict)
    prompt_tokens = models.PositiveIntegerField(_("prompt tokens"), null=True)
    cached_tokens = models.PositiveIntegerField(_("cached prompt tokens"), null=True)
    completion_tokens = models.PositiveIntegerField(_("completion tokens"), null=True)
    timings_ms = models.JSONField(_("timings (ms)"), default=dict)
    first_text_ms = models.PositiveIntegerField(_("time to first text (ms)"), null=True)
    total_ms = models.PositiveIntegerField(_("total time (ms)"), null=True)
    error = models.CharField(_("error code"), max_length=32, blank=True)
    started_at = models.DateTimeField(_("started at"), default=timezone.now)
    ended_at = models.DateTimeField(_("ended at"), null=True)

    class Meta:
        verbose_name = _("turn")
        verbose_name_plural = _("turns")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(outcome="running", ended_at__isnull=True)
                | (~models.Q(outcome="running") & models.Q(ended_at__isnull=False)),
                name="an_ended_turn_has_an_end",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["workspace", "started_at"], name="turns_by_time"),
            models.Index(fields=["outcome", "lease_until"], name="turns_to_sweep"),
        ]

    def __str__(self) -> str:
        return self.public_id


class InboundReceipt(OwnedByWorkspace):
    """A delivery or message a platform sent us: the durable memory that makes a retry harmless."""

    inbox = models.ForeignKey(Inbox, on_delete=models.CASCADE, related_name="receipts")
    dedupe_key = models.CharField(max_length=200)
    received_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["inbox", "dedupe_key"], name="one_receipt_per_delivery"),
        ]


class Attachment(OwnedByWorkspace):
    """A file somebody sent. Its bytes are sealed and stored under a random name; the event log says where it belongs."""

    public_id = PublicIdField("fil")
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="attachments")
    seq = models.PositiveIntegerField()
    author = models.CharField(max_length=8, choices=Author.choices)
    client_id = models.CharField(max_length=64)
    name = SealedTextField()
    mime = models.CharField(max_length=40)
    size = models.PositiveIntegerField()
    width = models.PositiveIntegerField(null=True)
    height = models.PositiveIntegerField(null=True)
    path = models.CharField(max_length=120)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["conversation", "seq"], name="attachments_are_numbered"),
            models.UniqueConstraint(fields=["conversation", "client_id"], name="one_attachment_per_client_id"),
        ]
