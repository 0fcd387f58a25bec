"""Who signs in, with which role, and the workspaces themselves."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from chatbot.admin.owned import ModelAdmin, OwnedAdmin, administered
from workspace.models import Membership, User, Workspace


@admin.register(Membership)
class MembershipAdmin(OwnedAdmin):
    list_display = ("user", "role", "workspace", "seen_at")


@admin.register(Workspace)
class WorkspaceAdmin(ModelAdmin):
    list_display = ("name", "public_id", "created_at")
    fields = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Workspace]:
        return administered(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(User)
class PersonAdmin(ModelAdmin):
    """People who sign in. Passwords are set by the person, through a link."""

    list_display = ("username", "display_name", "is_active", "is_staff")
    fields = ("username", "display_name", "email", "language", "is_active", "is_staff")
