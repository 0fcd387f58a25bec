"""A PDF: its text page by page under headings that say the page, tables as Markdown where a page draws lines for them.

pypdf reads the text. pdfplumber, which is some twenty times slower, is asked for pages with ruled tables only, and for
those only as long as its time lasts.
"""

import io
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pdfplumber
from pypdf import PageObject, PdfReader
from pypdf.errors import PyPdfError

from knowledge.ingest.found import Extracted, Unreadable
from knowledge.ingest.readers.office import BROKEN, markdown_table

MAX_PAGES = 2_000
MAX_PAGE_BYTES = 20 * 1024 * 1024  # of one page's drawing instructions
TABLES_S = 20.0
RULES = 6  # lines or boxes that a page draws before it is looked at for tables
LEAST_TEXT = 12  # characters; less is a page number
MOST_JUNK = 0.3
_NO_TABLE = b"\nstartxref\n0\n%%EOF\n"  # an end that makes pypdf look for the objects of a file without a table of them
_BROKEN = (*BROKEN, PyPdfError, RecursionError)

for _chatty in ("pypdf", "pdfminer"):  # they warn about every flaw of a file
    logging.getLogger(_chatty).setLevel(logging.CRITICAL)


def read(title: str, data: bytes) -> Extracted:
    if b"%PDF-" not in data[:1024]:
        raise Unreadable("not_what_it_says", "not a PDF")
    try:
        reader = _open(data)
        texts, ruled, pictured = _read_pages(reader)
        title = _title(reader) or title
        sections = _sections(reader)
    except _BROKEN as problem:
        raise Unreadable("broken", type(problem).__name__) from None
    if ruled:
        texts |= _tables(data, ruled)
    blank = [number for number in pictured if len(texts[number].strip()) < LEAST_TEXT]
    words = "".join(texts.values())
    if len(words.strip()) < LEAST_TEXT:
        raise Unreadable("scanned" if pictured else "empty", f"{len(texts)} pages" if pictured else "")
    if _junk(words) > MOST_JUNK:
        raise Unreadable("unknown_encoding", "fonts without characters")
    parts = [f"## {_heading(number, sections, words)}\n\n{text}" for number, text in texts.items() if text.strip()]
    listed = ", ".join(map(str, blank))
    return Extracted(
        title,
        "application/pdf",
        markdown="\n\n".join(parts),
        note="pages_without_text" if blank else "",
        note_detail=listed if len(listed) <= 80 else f"{len(blank)}: {listed[:60]}…",
    )


def _open(data: bytes) -> PdfReader:
    try:
        reader = PdfReader(io.BytesIO(data))
    except _BROKEN:
        reader = PdfReader(io.BytesIO(data + _NO_TABLE))
    if reader.is_encrypted and not reader.decrypt(""):
        raise Unreadable("encrypted")
    if len(reader.pages) > MAX_PAGES:
        raise Unreadable("too_large", f"{len(reader.pages):,} > {MAX_PAGES:,} pages")
    return reader


def _read_pages(reader: PdfReader) -> tuple[dict[int, str], list[int], list[int]]:
    """Text by page number (from 1), the numbers of pages that draw lines as tables do, and of those with a picture."""
    texts: dict[int, str] = {}
    ruled, pictured = [], []
    for number, page in enumerate(reader.pages, 1):
        drawn = 0

        def count(operator: bytes, *_: Any) -> None:
            nonlocal drawn
            drawn += operator in {b"re", b"l"}

        texts[number] = _page_text(page, count)
        if drawn >= RULES:
            ruled.append(number)
        if len(texts[number].strip()) < LEAST_TEXT and _has_picture(page):
            pictured.append(number)
    return texts, ruled, pictured


def _page_text(page: PageObject, count: Any) -> str:
    contents = page.get_contents()
    if contents is not None and len(contents.get_data()) > MAX_PAGE_BYTES:
        return ""
    return _paragraphs(page.extract_text(visitor_operand_before=count))


def _paragraphs(text: str) -> str:
    """Lines as they stand; what Markdown would take for a heading, a list or code is kept as text."""
    lines = (line.strip() for line in text.replace("\x00", "").splitlines())
    return "\n".join(f"\\{line}" if line.startswith(("#", "```", "~~~")) else line for line in lines)


def _has_picture(page: PageObject) -> bool:
    with suppress(*_BROKEN):
        resources = page.get("/Resources")
        held = resources.get_object().get("/XObject") if resources else None
        things = held.get_object() if held else {}
        return any(thing.get_object().get("/Subtype") in {"/Image", "/Form"} for thing in things.values())
    return False


def _tables(data: bytes, numbers: list[int]) -> dict[int, str]:
    """Pages that hold tables, read anew: the words between the tables and the tables, from top to bottom."""
    found: dict[int, str] = {}
    until = time.monotonic() + TABLES_S
    with suppress(*_BROKEN), pdfplumber.open(io.BytesIO(data), pages=numbers) as book:
        for page in book.pages:
            if time.monotonic() > until:
                break
            with suppress(*_BROKEN):
                text = "\n\n".join(_strips(page))
                if text:
                    found[page.page_number] = text
            page.close()
    return found


def _strips(page: Any) -> Iterator[str]:
    tables = [table for table in page.find_tables() if _is_table(table)]
    if not tables:
        return
    left, top, right, bottom = page.bbox
    at = top
    for table in sorted(tables, key=lambda table: float(table.bbox[1])):
        if table.bbox[1] > at + 1:
            yield _paragraphs(page.crop((left, at, right, table.bbox[1])).extract_text() or "")
        yield markdown_table([[cell or "" for cell in row] for row in table.extract()])
        at = max(at, min(table.bbox[3], bottom))
    if at < bottom - 1:
        yield _paragraphs(page.crop((left, at, right, bottom)).extract_text() or "")


def _is_table(table: Any) -> bool:
    rows = table.extract()
    filled = sum(1 for row in rows for cell in row if cell and cell.strip())
    return len(rows) > 1 and max(map(len, rows)) > 1 and filled >= 4


def _sections(reader: PdfReader) -> dict[int, str]:
    """The outline: by page number the last entry that points there."""
    found: dict[int, str] = {}
    with suppress(*_BROKEN):
        for entry in _flat(reader.outline):
            page = reader.get_destination_page_number(entry)
            if page is not None and page >= 0 and entry.title:
                found.setdefault(page + 1, " ".join(str(entry.title).split())[:120])
    return found


def _flat(outline: list[Any], depth: int = 0) -> Iterator[Any]:
    for entry in outline:
        if isinstance(entry, list):
            if depth < 3:
                yield from _flat(entry, depth + 1)
        else:
            yield entry


def _heading(number: int, sections: dict[int, str], words: str) -> str:
    """ "Returns · p. 12"; a section goes on until the next one begins."""
    page = f"第 {number} 页" if _is_chinese(words) else f"p. {number}"
    begun = [at for at in sections if at <= number]
    return f"{sections[max(begun)]} · {page}" if begun else page


def _is_chinese(words: str) -> bool:
    letters = [letter for letter in words[:20_000] if letter.isalpha()]
    return sum("\u4e00" <= letter <= "\u9fff" for letter in letters) > len(letters) * 0.3


def _title(reader: PdfReader) -> str:
    with suppress(*_BROKEN):
        title = " ".join(str(reader.metadata.title or "").split()) if reader.metadata else ""
        if title and _junk(title) == 0 and not title.lower().endswith((".doc", ".docx", ".dvi", ".indd", ".tex")):
            return title.removeprefix("Microsoft Word - ")
    return ""


def _junk(text: str) -> float:
    """The share of what no font has a character for."""
    visible = [letter for letter in text if not letter.isspace()]
    junk = sum(
        1 for letter in visible if not letter.isprintable() or letter == "\ufffd" or "\ue000" <= letter <= "\uf8ff"
    )
    return junk / max(1, len(visible))
