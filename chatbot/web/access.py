"""Who may see a page: signed in, a member of a workspace, with a role that allows it."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from workspace.models import Membership
from workspace.roles import Action

View = Callable[..., HttpResponse]


class NoWorkspace(PermissionDenied):
    """The person is signed in but belongs to no workspace."""


def member_page(action: Action) -> Callable[[View], View]:
    """The page of a member whose role allows `action`; the view gets ``request`` and the `Membership`."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            member = membership_of(request)
            if member is None:
                raise NoWorkspace
            if not member.may(action):
                raise PermissionDenied
            request.member = member  # type: ignore[attr-defined]  # for templates
            return view(request, member, *args, **kwargs)

        return guarded

    return decorate


def membership_of(request: HttpRequest) -> Membership | None:
    """The membership in the chosen workspace, or in the first one."""
    memberships = (
        Membership.every.filter(user_id=request.user.pk or 0).select_related("workspace", "user").order_by("pk")
    )
    chosen = request.session.get("workspace")
    return memberships.filter(workspace__public_id=chosen).first() or memberships.first()
