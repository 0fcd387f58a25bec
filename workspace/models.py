"""Tenants, people, the leased job and the audit row."""

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from workspace.ids import PublicIdField
from workspace.roles import Action, Role, may
from workspace.tenancy import OwnedByWorkspace, OwnedQuerySet


class User(AbstractUser):
    """A person of ours who can sign in."""

    public_id = PublicIdField("usr")
    display_name = models.CharField(_("display name"), max_length=80, blank=True)
    language = models.CharField(_("language"), max_length=12, blank=True)

    def __str__(self) -> str:
        return self.display_name or self.username


class Workspace(models.Model):
    """A tenant: one business with its inboxes, knowledge and people."""

    public_id = PublicIdField("wsp")
    name = models.CharField(_("name"), max_length=80)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    audit_seq = models.PositiveBigIntegerField(default=0, editable=False)
    audit_hash = models.CharField(max_length=64, blank=True, editable=False)
    members: "models.ManyToManyField[User, Membership]" = models.ManyToManyField(
        User, through="Membership", related_name="workspaces"
    )

    class Meta:
        verbose_name = _("workspace")
        verbose_name_plural = _("workspaces")

    def __str__(self) -> str:
        return self.name


class Membership(OwnedByWorkspace):
    """A person's role in a workspace, and when they were last seen at the desk."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships", verbose_name=_("user"))
    role = models.CharField(_("role"), max_length=12, choices=Role.choices, default=Role.AGENT)
    seen_at = models.DateTimeField(_("last seen at the desk"), null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workspace", "user"], name="one_membership_per_workspace"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.get_role_display()}"

    def may(self, action: Action) -> bool:
        return may(self.role, action)


class LoginLink(models.Model):
    """A link that signs one person in, once. Only the hash of its secret is kept."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    secret_hash = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)


class ApiKey(OwnedByWorkspace):
    """A key for the REST API. Only the hash of its secret is kept."""

    public_id = PublicIdField("key")
    name = models.CharField(_("name"), max_length=80)
    secret_hash = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(_("ends in"), max_length=4, editable=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    used_at = models.DateTimeField(_("last used"), null=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")

    def __str__(self) -> str:
        return f"{self.name} (…{self.hint})"


class JobQuerySet(OwnedQuerySet["Job"]):
    def claimable(self, at: Any) -> "JobQuerySet":
        """Due and free, or held by a worker whose lease ran out."""
        due = models.Q(status=Job.Status.QUEUED, run_at__lte=at)
        abandoned = models.Q(status=Job.Status.RUNNING, lease_until__lt=at)
        return self.filter(due | abandoned).order_by("run_at", "pk")


EveryJob = models.Manager.from_queryset(JobQuerySet)


class Job(OwnedByWorkspace):
    """A piece of work that must happen: written in the transaction that needs it, done by whoever holds its lease."""

    class Status(models.TextChoices):
        QUEUED = "queued", _("queued")
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        DEAD = "dead", _("given up")

    public_id = PublicIdField("job")
    kind = models.CharField(_("kind"), max_length=40)
    payload = models.JSONField(_("payload"), default=dict)
    key = models.CharField(_("idempotency key"), max_length=120, null=True, blank=True)
    status = models.CharField(_("status"), max_length=8, choices=Status.choices, default=Status.QUEUED)
    run_at = models.DateTimeField(_("not before"), default=timezone.now)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    failures = models.PositiveSmallIntegerField(_("failures"), default=0)
    lease_until = models.DateTimeField(_("lease until"), null=True)
    leased_by = models.CharField(_("leased by"), max_length=80, blank=True)
    progress = models.JSONField(_("progress"), default=dict)
    error = models.TextField(_("error"), blank=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    ended_at = models.DateTimeField(_("ended at"), null=True)

    every: ClassVar[EveryJob["Job"]] = EveryJob()

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workspace", "kind", "key"], name="one_job_per_key"),
            models.CheckConstraint(
                condition=~models.Q(status="running") | models.Q(lease_until__isnull=False),
                name="a_running_job_has_a_lease",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["status", "run_at"], name="job_queue")]

    def __str__(self) -> str:
        return f"{self.kind} {self.public_id}"


class AuditRow(OwnedByWorkspace):
    """Who did what, when. Each row carries the hash of the one before it, so that a missing or altered row shows."""

    seq = models.PositiveBigIntegerField(_("number"))
    at = models.DateTimeField(_("at"))
    actor = models.CharField(_("actor"), max_length=40, help_text=_("public id of a person or key, or 'system'"))
    action = models.CharField(_("action"), max_length=60)
    target = models.CharField(_("target"), max_length=40, blank=True)
    detail = models.JSONField(_("detail"), default=dict)
    previous_hash = models.CharField(max_length=64, blank=True)
    hash = models.CharField(max_length=64)

    class Meta:
        verbose_name = _("audit row")
        verbose_name_plural = _("audit trail")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workspace", "seq"], name="audit_rows_are_numbered"),
        ]
        ordering: ClassVar = ["workspace", "seq"]

    def __str__(self) -> str:
        return f"#{self.seq} {self.action}"
