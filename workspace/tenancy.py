"""The one place that keeps tenants apart: rows belong to a workspace and are only found through it.

``Model.objects`` refuses to answer until it is told whose rows are meant::

    Conversation.objects.of(workspace).waiting()
    Conversation.objects.all()          # raises ForgotWorkspace

``Model.every`` crosses workspaces. It is Django's own default manager (uniqueness checks, cascades, the admin after it
has been narrowed) and is otherwise only for sweepers and look-ups by an unguessable public id; a test lists its users.
"""

from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

from django.db import models

if TYPE_CHECKING:
    from workspace.models import Workspace

Row = TypeVar("Row", bound=models.Model)


class ForgotWorkspace(Exception):
    """Rows were asked for without saying of which workspace."""


class OwnedQuerySet(models.QuerySet[Row]):
    """Rows of one workspace; whatever is created through it belongs to that workspace too."""

    _owner: "Workspace | int | None" = None

    def of(self, workspace: "Workspace | int") -> Self:
        narrowed = self.filter(workspace=workspace)
        narrowed._owner = workspace
        return narrowed

    def create(self, **fields: Any) -> Row:
        if self._owner is not None:
            key = "workspace_id" if isinstance(self._owner, int) else "workspace"
            fields.setdefault(key, self._owner)
        return super().create(**fields)

    def _clone(self) -> Self:
        clone: Self = super()._clone()  # type: ignore[misc]  # Django's own hook; django-stubs does not list it
        clone._owner = self._owner
        return clone


class OwnedManager(models.Manager[Row]):
    """The manager called ``objects``: `of` is its only way in."""

    def of(self, workspace: "Workspace | int") -> "OwnedQuerySet[Row]":
        rows: OwnedQuerySet[Row] = self.model._default_manager.all()  # type: ignore[assignment]  # see OwnedByWorkspace
        return rows.of(workspace)

    def get_queryset(self) -> NoReturn:
        raise ForgotWorkspace(f"{self.model.__name__}.objects: say whose rows are meant, with .of(workspace).")


class OwnedByWorkspace(models.Model):
    """Base of every row that belongs to a tenant. Models with a query set of their own override both managers."""

    workspace = models.ForeignKey("workspace.Workspace", on_delete=models.CASCADE, related_name="+")

    every = models.Manager.from_queryset(OwnedQuerySet)()
    objects = OwnedManager()

    class Meta:
        abstract = True
