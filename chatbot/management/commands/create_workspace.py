"""``manage.py create_workspace NAME --admin USER``: a business with a widget, the starter intents and one administrator."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from chatbot.management.sign_in import sign_in_address
from chatbot.management.starter_intents import load_starter_intents
from conversations.models import Inbox
from workspace.models import Membership, User, Workspace
from workspace.roles import Role


class Command(BaseCommand):
    help = "Make a workspace with a website widget and an administrator, and print a one-time sign-in link."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--admin", required=True, help="user name; made when it is new")
        parser.add_argument("--language", default="en", choices=["en", "zh"])

    def handle(self, *args: Any, **options: Any) -> None:
        if Workspace.objects.filter(name=options["name"]).exists():
            raise CommandError(f"There is a workspace {options['name']!r} already.")
        with transaction.atomic():
            workspace = Workspace.objects.create(name=options["name"])
            user, _ = User.objects.get_or_create(username=options["admin"], defaults={"is_staff": True})
            Membership.objects.of(workspace).create(user=user, role=Role.ADMIN)
            inbox = Inbox.objects.of(workspace).create(name=options["name"], language=options["language"])
            load_starter_intents(workspace)
        self.stdout.write(f"Workspace {workspace.public_id}, inbox {inbox.public_id}")
        self.stdout.write(f"Sign-in link (once, within half an hour): {sign_in_address(user)}")
