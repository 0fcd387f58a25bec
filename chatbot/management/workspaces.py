"""Which workspace a command is about."""

from argparse import ArgumentParser

from django.core.management.base import CommandError
from django.db import DatabaseError

from workspace.models import Workspace


def add_workspace_argument(parser: ArgumentParser) -> None:
    parser.add_argument("--workspace", default="", help="name or public id; needed only when there are several")


def chosen_workspace(name: str) -> Workspace:
    """The named workspace, or the only one. Raises `CommandError` with what to do."""
    try:
        every = list(Workspace.objects.order_by("pk"))
    except DatabaseError:
        raise CommandError("The database is not set up yet: run make run, or manage.py migrate.") from None
    if name:
        for workspace in every:
            if name in {workspace.name, workspace.public_id}:
                return workspace
        raise CommandError(f"There is no workspace {name!r}. There is: {_names(every)}.")
    if len(every) == 1:
        return every[0]
    if not every:
        raise CommandError("There is no workspace yet: run make run, or manage.py create_workspace NAME.")
    raise CommandError(f"Which workspace? Use --workspace with one of: {_names(every)}.")


def _names(workspaces: list[Workspace]) -> str:
    return ", ".join(workspace.name for workspace in workspaces) or "none"
