"""``manage.py verify_audit``: prove that no audit row was altered or removed."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from workspace import audit
from workspace.models import Workspace


class Command(BaseCommand):
    help = "Walk every workspace's audit trail and check its chain."

    def handle(self, *args: Any, **options: Any) -> None:
        for workspace in Workspace.objects.order_by("pk"):
            try:
                rows = audit.verify(workspace)
            except audit.BrokenChain as broken:
                raise CommandError(f"{workspace.name}: row {broken.seq} was altered or removed.") from broken
            self.stdout.write(f"{workspace.name}: {rows} rows, unbroken")
