"""``manage.py login_link USER``: a fresh one-time sign-in link, the way back in for who has no password."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chatbot.management.sign_in import sign_in_address
from workspace.login_links import MINUTES
from workspace.models import User


class Command(BaseCommand):
    help = f"Print a link that signs a person in once, within {MINUTES} minutes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="user name")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["user"]).first()
        if user is None:
            known = ", ".join(
                User.objects.filter(is_active=True).order_by("username").values_list("username", flat=True)[:20]
            )
            raise CommandError(f"There is no user {options['user']!r}. Users: {known or 'none yet'}.")
        if not user.is_active:
            raise CommandError(f"{user.username} is not active: switch the account on in the admin first.")
        self.stdout.write(sign_in_address(user))
