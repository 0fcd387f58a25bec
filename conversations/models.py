"""Inboxes, contacts, conversations and everything that happens in them.

The truth about a conversation is its row (`status` and `epoch` say who holds the line), its messages, and its numbered
events. Turns are the bot's work on one question.
"""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from workspace.crypto import SealedJSONField, SealedTextField
from workspace.ids import PublicIdField
from workspace.models import User, Workspace
from workspace.tenancy import OwnedByWorkspace, OwnedManager, OwnedQuerySet


class Inbox(OwnedByWorkspace):
    """One configured way in: a web widget, a Telegram bot, a signed webhook."""

    class Kind(models.TextChoices):
        WIDGET = "widget", _("Website widget")
        GENERIC = "generic", _("Signed webhook")
        TELEGRAM = "telegram", _("Telegram")

    public_id = PublicIdField("ibx")
    name = models.CharField(_("name"), max_length=80)
    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices, default=Kind.WIDGET)
    language = models.CharField(
        _("main language"), max_length=12, default="en", help_text=_("used until a visitor's own language is known")
    )
    active = models.BooleanField(_("active"), default=True)
    collections = models.JSONField(
        _("collections"),
        default=list,
        blank=True,
        help_text=_("public ids of the collections it answers from; empty: all"),
    )
    allowed_domains = models.JSONField(
        _("allowed sites"),
        default=list,
        blank=True,
        help_text=_("sites that may show the widget, for example shop.example.com; empty: only this server itself"),
    )
    accent = models.CharField(_("accent colour"), max_length=7, default="#4451D6")
    position = models.CharField(
        _("position"), max_length=5, choices=[("right", _("right")), ("left", _("left"))], default="right"
    )
    texts = models.JSONField(
        _("texts"),
        default=dict,
        blank=True,
        help_text=_('own wording by key and language: {"greeting": {"en": "Hello!"}}'),
    )
    moderation = models.JSONField(
        _("moderation"),
        default=dict,
        blank=True,
        help_text=_("category: off, note or block; the rest keeps its default"),
    )
    hours = models.JSONField(
        _("opening hours"),
        default=dict,
        blank=True,
        help_text=_(
            'when people are there; empty: always. {"time_zone": "Asia/Shanghai", "weekly": {"mon": [["09:00", "18:00"]]}, '
            '"holidays": ["2026-10-01"]}'
        ),
    )
    form = models.JSONField(
        _("form before the chat"),
        default=list,
        blank=True,
        help_text=_(
            'fields asked for before the first message; empty: none. [{"key": "email", "kind": "email", "required": true, '
            '"label": {"en": "E-mail", "zh": "邮箱"}}]'
        ),
    )
    strict = models.BooleanField(
        _("strict"),
        default=False,
        help_text=_("a sentence of a language model is shown only after it was held against its sources"),
    )
    takes_files = models.BooleanField(_("visitors may send files"), default=True)
    asks_rating = models.BooleanField(_("ask for a rating at the end"), default=True)
    identity_secret = SealedTextField(_("identity secret"), null=True, blank=True)
    credentials = SealedJSONField(_("credentials"), default=dict, blank=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("inbox")
        verbose_name_plural = _("inboxes")

    def __str__(self) -> str:
        return self.name


class Contact(OwnedByWorkspace):
    """The outside person. On the wire of the widget this is the visitor."""

    public_id = PublicIdField("cnt")
    inbox = models.ForeignKey(Inbox, on_delete=models.CASCADE, related_name="contacts", verbose_name=_("inbox"))
    external_key = models.CharField(
        max_length=64, null=True, editable=False, help_text=_("keyed hash of the platform's own id of this person")
    )
    external_id = SealedTextField(_("id on the platform"), null=True, blank=True)
    name = SealedTextField(_("name"), null=True, blank=True)
    email = SealedTextField(_("e-mail"), null=True, blank=True)
    phone = SealedTextField(_("phone"), null=True, blank=True)
    details = SealedJSONField(_("what the form and the page said"), null=True, blank=True)
    language = models.CharField(_("language"), max_length=12, blank=True)
    remembered = models.PositiveIntegerField(default=0, editable=False)  # conversations that left recollections
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("contact")
        verbose_name_plural = _("contacts")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["inbox", "external_key"], name="one_contact_per_platform_id"),
        ]

    def __str__(self) -> str:
        return self.name or self.public_id


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
