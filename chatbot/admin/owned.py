"""What every page of the back office stands on: one sees and changes only the rows of workspaces one administers."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from workspace import audit
from workspace.models import Membership, Workspace
from workspace.roles import Action
from workspace.tenancy import OwnedByWorkspace

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
else:
    ModelAdmin, TabularInline = admin.ModelAdmin, admin.TabularInline


def administered(request: HttpRequest) -> QuerySet[Workspace]:
    """The workspaces this person may configure."""
    if request.user.is_superuser:
        return Workspace.objects.all()
    memberships = Membership.every.filter(user_id=request.user.pk or 0)
    mine = [membership.workspace_id for membership in memberships if membership.may(Action.CONFIGURE)]
    return Workspace.objects.filter(pk__in=mine)


class OwnedAdmin(ModelAdmin):
    """Rows of the workspaces one administers; new ones go to the chosen or the only one."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(workspace__in=administered(request))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_staff and administered(request).exists())

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    has_add_permission = has_view_permission
    has_change_permission = has_view_permission
    has_delete_permission = has_view_permission

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "workspace":
            kwargs["queryset"] = administered(request)
            kwargs["initial"] = administered(request).first()
            kwargs["label"] = _("workspace")
        elif issubclass(db_field.related_model, OwnedByWorkspace):
            kwargs["queryset"] = db_field.related_model.every.filter(workspace__in=administered(request))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class ReadOnlyAdmin(OwnedAdmin):
    """Rows that are there to be looked at."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_add_permission
    has_delete_permission = has_add_permission


class AuditedAdmin(OwnedAdmin):
    """Rows whose every change is written to the audit trail: who, which fields, never what was in them."""

    noun = ""

    def on_change(self) -> None:
        """What must follow once a change is stored."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        fields = [name.removeprefix("new_") for name in form.changed_data]
        fields += [formset.prefix for formset in formsets if formset.has_changed()]
        if fields:
            self._record(request, form.instance, "change" if change else "add", {"fields": sorted(fields)})

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self._record(request, obj, "delete", {"name": str(obj)})
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        with transaction.atomic():
            for row in queryset:
                self._record(request, row, "delete", {"name": str(row)})
            super().delete_queryset(request, queryset)

    def _record(self, request: HttpRequest, row: Any, verb: str, detail: Mapping[str, Any]) -> None:
        actor = getattr(request.user, "public_id", audit.SYSTEM)
        audit.record(
            workspace_id=row.workspace_id,
            actor=actor,
            action=f"{self.noun}.{verb}",
            target=row.public_id,
            detail=detail,
        )
        transaction.on_commit(self.on_change)


class OwnedInline(TabularInline):
    """Rows that come and go with the row above them: whoever may change that one may change these."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_staff)

    has_add_permission = has_view_permission
    has_change_permission = has_view_permission
    has_delete_permission = has_view_permission
