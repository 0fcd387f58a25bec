"""The address that signs one person in, as a command prints it."""

from django.conf import settings
from django.urls import reverse

from workspace.login_links import make_login_link
from workspace.models import User


def sign_in_address(user: User) -> str:
    """A fresh one-time link; without ``BATON_PUBLIC_URL`` only its path is known."""
    return settings.PUBLIC_URL.rstrip("/") + reverse("login-link", args=[make_login_link(user)])
