"""A web page: its main text without menus, banners and footers, its tables kept."""

import re

import trafilatura

from knowledge.ingest.decode import decode
from knowledge.ingest.found import Extracted, Unreadable


def read(title: str, data: bytes) -> Extracted:
    page = decode(data)
    if not re.search(r"<[a-zA-Z!/]", page):
        raise Unreadable("not_what_it_says", "no HTML tag in it")
    try:
        text = trafilatura.extract(
            page, output_format="markdown", include_tables=True, include_links=False, favor_recall=True
        )
        about = trafilatura.extract_metadata(page)
    except (ValueError, RecursionError):
        raise Unreadable("broken") from None
    return Extracted((about.title if about and about.title else "") or title, "text/html", markdown=text or "")
