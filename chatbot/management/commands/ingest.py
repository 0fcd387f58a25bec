"""``manage.py ingest PATH… --collection NAME``: take files in, read them, publish, with progress."""

from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chatbot.management.progress import ProgressLine, no_progress
from chatbot.management.work_off import work_off
from chatbot.management.workspaces import add_workspace_argument, chosen_workspace
from knowledge import services
from knowledge.ingest.found import MAX_BYTES
from knowledge.ingest.readers import TYPES
from knowledge.ingest.verdicts import WORDS
from knowledge.models import Collection, Document


class Command(BaseCommand):
    help = "Take files or folders into a collection (made when it is new) and publish it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("paths", nargs="+", type=Path)
        parser.add_argument("--collection", required=True)
        parser.add_argument("--no-progress", action="store_true")
        add_workspace_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        workspace = chosen_workspace(options["workspace"])
        files = [file for path in options["paths"] for file in self._files(path)]
        name = options["collection"].strip()
        if not name:
            raise CommandError("Give the collection a name.")
        collection = services.find_or_create_collection(workspace=workspace, name=name)
        small = [file for file in files if self._is_small_enough(file)]
        taken = [document for file in small if (document := self._take_in(collection, file))]
        work_off(workspace, progress=no_progress if options["no_progress"] else ProgressLine())
        self._report(collection, taken, given=len(files), too_large=len(files) - len(small))

    def _files(self, path: Path) -> Iterator[Path]:
        if path.is_dir():
            found = [file for file in sorted(path.rglob("*")) if file.is_file() and _is_readable(file)]
            if not found:
                raise CommandError(f"There is no file of a known type in {path}: {', '.join(TYPES)}.")
            yield from found
        elif path.is_file():
            yield path
        else:
            raise CommandError(f"There is no file {path}.")

    def _is_small_enough(self, file: Path) -> bool:
        size = file.stat().st_size
        if size > MAX_BYTES:
            self.stderr.write(f"{file}: {WORDS['too_large']} ({size:,} > {MAX_BYTES:,} bytes)")
        return size <= MAX_BYTES

    def _take_in(self, collection: Collection, file: Path) -> Document | None:
        """None: it is there already."""
        document = services.add_file(collection=collection, name=file.name, data=file.read_bytes())
        if document is None:
            self.stdout.write(f"{file.name}: unchanged")
        return document

    def _report(self, collection: Collection, taken: list[Document], *, given: int, too_large: int) -> None:
        failed, unchanged = too_large, given - too_large - len(taken)
        for document in taken:
            document.refresh_from_db()
            if document.status == Document.Status.FAILED:
                failed += 1
                detail = f" ({document.error_detail})" if document.error_detail else ""
                self.stderr.write(f"{document.source}: {WORDS.get(document.error, document.error)}{detail}")
        collection.refresh_from_db()
        version = collection.versions.order_by("-number").first()
        pieces = version.chunks if version else 0
        self.stdout.write(
            f"{collection.name}: {given - failed - unchanged} of {given} files taken in"
            f"{f', {unchanged} unchanged' if unchanged else ''}, version {collection.version} is live "
            f"with {pieces:,} pieces."
        )
        if failed:
            raise CommandError(f"{failed} of {given} files could not be read.")


def _is_readable(file: Path) -> bool:
    return any(file.name.lower().endswith(suffix) for suffix in TYPES)
