"""Markdown and plain text."""

import re

from knowledge.ingest.decode import decode
from knowledge.ingest.found import Extracted


def read_markdown(title: str, data: bytes) -> Extracted:
    text = decode(data)
    heading = re.search(r"^#\s+(.+)$", text, re.MULTILINE)
    return Extracted(heading.group(1).strip() if heading else title, "text/markdown", markdown=text)


def read_text(title: str, data: bytes) -> Extracted:
    return Extracted(title, "text/plain", markdown=decode(data))
