"""Links that sign one person in, once, for a while."""

import datetime as dt
import hashlib
import secrets

from django.utils import timezone

from workspace.models import LoginLink, User

MINUTES = 30


class BadLink(Exception):
    """The link is unknown, used or out of date."""


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
    if not good.update(used_at=now):
        raise BadLink
    user: User = LoginLink.objects.select_related("user").get(secret_hash=_hash(secret)).user
    if not user.is_active:
        raise BadLink
    return user


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
