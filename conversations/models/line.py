"""A conversation, and who has held its line."""

from typing import TYPE_CHECKING, ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from conversations.models.inboxes import Contact, Inbox
from workspace.crypto import SealedJSONField, SealedTextField
from workspace.ids import PublicIdField
from workspace.models import User, Workspace
from workspace.tenancy import OwnedByWorkspace, OwnedManager, OwnedQuerySet

if TYPE_CHECKING:
    from conversations.models.record import Event, Message


class Status(models.TextChoices):
    """Who holds the line of a conversation."""

    BOT = "bot", _("Bot")
    QUEUED = "queued", _("Waiting for a person")
    AGENT = "agent", _("With a person")
    RESOLVED = "resolved", _("Resolved")


class ConversationQuerySet(OwnedQuerySet["Conversation"]):
    def waiting(self) -> "ConversationQuerySet":
        """Longest wait first: the clock starts with the first unanswered visitor message and survives a handoff."""
        return self.filter(status=Status.QUEUED).order_by("waiting_since", "pk")

    def running(self) -> "ConversationQuerySet":
        return self.filter(status__in=[Status.BOT, Status.AGENT]).order_by("-last_message_at", "-pk")

    def for_desk(self) -> "ConversationQuerySet":
        """With everything a row of the desk shows."""
        return self.select_related("inbox", "contact", "holder", "workspace")


class ConversationManager(OwnedManager["Conversation"]):
    def of(self, workspace: Workspace | int) -> ConversationQuerySet:
        return Conversation.every.all().of(workspace)


EveryConversation = models.Manager.from_queryset(ConversationQuerySet)


class Conversation(OwnedByWorkspace):
    """One thread with one contact. `status` and `epoch` together are the line: every handover raises `epoch`."""

    public_id = PublicIdField("cnv")
    inbox = models.ForeignKey(Inbox, on_delete=models.CASCADE, related_name="conversations", verbose_name=_("inbox"))
    contact = models.ForeignKey(
        Contact, on_delete=models.CASCADE, related_name="conversations", verbose_name=_("contact")
    )
    external_key = models.CharField(
        max_length=64, null=True, editable=False, help_text=_("keyed hash of the platform's own id of this thread")
    )
    external_id = SealedTextField(_("id on the platform"), null=True, blank=True)
    reply_context = SealedJSONField(_("what an answer on the platform needs"), null=True, blank=True)
    status = models.CharField(_("status"), max_length=8, choices=Status.choices, default=Status.BOT)
    epoch = models.PositiveIntegerField(_("epoch"), default=1)
    holder = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="held", verbose_name=_("held by")
    )
    language = models.CharField(_("language"), max_length=12, blank=True)
    last_seq = models.PositiveIntegerField(default=0, editable=False)
    remembered_seq = models.PositiveIntegerField(default=0, editable=False)
    mood = models.CharField(_("mood"), max_length=12, blank=True)
    waiting_since = models.DateTimeField(_("waiting since"), null=True, blank=True)
    last_message_at = models.DateTimeField(_("last message"), default=timezone.now)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    written: "list[tuple[Event, Message | None]] | None" = None  # by the transaction under way, see `events.written`

    every: ClassVar[EveryConversation["Conversation"]] = EveryConversation()
    objects: ClassVar[ConversationManager] = ConversationManager()

    class Meta:
        verbose_name = _("conversation")
        verbose_name_plural = _("conversations")
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(status__in=Status.values), name="conversation_status_known"),
            models.CheckConstraint(
                condition=~models.Q(status="agent") | models.Q(holder__isnull=False), name="an_agent_line_has_a_holder"
            ),
            models.UniqueConstraint(fields=["inbox", "external_key"], name="one_conversation_per_platform_thread"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["workspace", "status", "waiting_since"], name="desk_queue"),
            models.Index(fields=["workspace", "status", "-last_message_at"], name="desk_list"),
            models.Index(
                fields=["last_message_at"],
                condition=models.Q(last_seq__gt=models.F("remembered_seq")),
                name="conversations_to_remember",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id


class Episode(OwnedByWorkspace):
    """A stretch in which one party held the line; the unit of analytics."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="episodes")
    party = models.CharField(max_length=8, choices=Status.choices)
    agent = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    reason = models.CharField(max_length=24, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    started_seq = models.PositiveIntegerField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["conversation"], condition=models.Q(ended_at__isnull=True), name="one_open_episode"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["workspace", "started_at"], name="episodes_by_time")]
