"""Text that an owner pastes: a document of its own, or a FAQ when it was copied out of a spreadsheet."""

import re

from knowledge import services
from knowledge.ingest.readers.table import ANSWER_HEADERS, QUESTION_HEADERS
from knowledge.models import Collection, Document
from workspace import audit

MAX_TEXT = 200_000


def add_text(*, collection: Collection, title: str, text: str, actor: str = audit.SYSTEM) -> Document | None:
    """None: the same text stands there under this title. Cells copied out of a spreadsheet arrive separated by tabs."""
    name = re.sub(r"[\x00-\x1f/\\]+", " ", title).strip() or "…"
    suffix = ".tsv" if _is_faq(text) else ".md"
    body = text if suffix == ".tsv" or re.search(r"^#\s", text, re.MULTILINE) else f"# {name}\n\n{text}"
    return services.add_file(collection=collection, name=f"{name[:180]}{suffix}", data=body.encode(), actor=actor)


def _is_faq(text: str) -> bool:
    names = {cell.strip().lower() for cell in text.lstrip().partition("\n")[0].split("\t")}
    return bool(names & QUESTION_HEADERS) and bool(names & ANSWER_HEADERS)
