"""Links that sign one person in, once, for a while."""

import datetime as dt
import hashlib
import secrets

from django.utils import timezone

from workspace.models import LoginLink, User

MINUTES = 30


class BadLink(Exception):
    """The link is unknown, used or out of date. `has_password`: the person it was for can sign in without one."""

    def __init__(self, *, has_password: bool) -> None:
        self.has_password = has_password
        super().__init__()


def make_login_link(user: User, *, minutes: int = MINUTES) -> str:
    """The secret of a new link. Only its hash is kept."""
    secret = secrets.token_urlsafe(32)
    LoginLink.objects.create(
        user=user, secret_hash=_hash(secret), expires_at=timezone.now() + dt.timedelta(minutes=minutes)
    )
    return secret


def use_login_link(secret: str) -> User:
    """The person of a link, which is used up by this. Raises `BadLink`."""
    now = timezone.now()
    good = LoginLink.objects.filter(secret_hash=_hash(secret), used_at__isnull=True, expires_at__gt=now)
    used = good.update(used_at=now)
    link = LoginLink.objects.select_related("user").filter(secret_hash=_hash(secret)).first()
    if link is None:
        raise BadLink(has_password=True)  # whoever it is, the page offers both ways
    user: User = link.user
    if not used or not user.is_active:
        raise BadLink(has_password=user.has_usable_password())
    return user


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
