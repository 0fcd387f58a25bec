"""A PDF: its text page by page under headings that say the page, tables as Markdown where a page draws lines for them.

pypdf reads the text. pdfplumber, which is some twenty times slower, is asked for pages with ruled tables only, and for
those only as long as its time lasts.
"""

import io
import logging
import re
import time
from collections import Counter
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
TABLES_S = 15.0  # of processor time
THIN = 4.0  # points; a box that is thinner is a line
LEAST_TEXT = 12  # characters; less is a page number
MOST_JUNK = 0.3
_NO_TABLE = b"\nstartxref\n0\n%%EOF\n"  # an end that makes pypdf look for the objects of a file without a table of them
_LEADERS = re.compile(r"(?:\s?\.){5,}\s?")
_NUMBER = re.compile(r"\d+|\b[ivxlc]+\b")
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
    """Text by page number (from 1), the numbers of pages that draw a grid as tables do, and of those with a picture."""
    texts: dict[int, str] = {}
    ruled, pictured = [], []
    for number, page in enumerate(reader.pages, 1):
        lines = _Lines()
        texts[number] = _page_text(page, lines)
        if lines.are_a_grid:
            ruled.append(number)
        if len(texts[number].strip()) < LEAST_TEXT and _has_picture(page):
            pictured.append(number)
    return _without_running_heads(texts), ruled, pictured


class _Lines:
    """Counts the lines and boxes that a page draws, as pypdf meets their operators."""

    def __init__(self) -> None:
        self._across = self._down = self._boxes = 0
        self._at = (0.0, 0.0)

    def __call__(self, operator: bytes, operands: Any, *_: Any) -> None:
        if operator not in {b"m", b"l", b"re"}:
            return
        with suppress(*_BROKEN):
            numbers = [float(operand) for operand in operands]
            if operator == b"re":
                wide, high = abs(numbers[2]), abs(numbers[3])
                self._across += wide > high and high < THIN
                self._down += high >= wide and wide < THIN
                self._boxes += min(wide, high) >= THIN
                return
            if operator == b"l":
                self._across += abs(numbers[1] - self._at[1]) < THIN < abs(numbers[0] - self._at[0])
                self._down += abs(numbers[0] - self._at[0]) < THIN < abs(numbers[1] - self._at[1])
            self._at = (numbers[0], numbers[1])

    @property
    def are_a_grid(self) -> bool:
        return (self._across > 1 and self._down > 1) or self._boxes > 3


def _without_running_heads(texts: dict[int, str]) -> dict[int, str]:
    """Pages without the line at their top or bottom that most pages have, but for its number."""
    pages = {number: text.splitlines() for number, text in texts.items()}
    for place in (0, -1):
        seen = Counter(_NUMBER.sub("", lines[place]) for lines in pages.values() if lines)
        for lines in pages.values():
            if len(lines) > 3 and seen[_NUMBER.sub("", lines[place])] > max(3, len(pages) * 0.3):
                del lines[place]
    return {number: "\n".join(lines).strip("\n") for number, lines in pages.items()}


def _page_text(page: PageObject, count: Any) -> str:
    contents = page.get_contents()
    if contents is not None and len(contents.get_data()) > MAX_PAGE_BYTES:
        return ""
    return _paragraphs(page.extract_text(visitor_operand_before=count))


def _paragraphs(text: str) -> str:
    """Lines as they stand; what Markdown would take for a heading, a list or code is kept as text."""
    lines = (_LEADERS.sub(" … ", line).strip() for line in text.replace("\x00", "").splitlines())
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
    until = time.process_time() + TABLES_S
    with suppress(*_BROKEN), pdfplumber.open(io.BytesIO(data), pages=numbers) as book:
        for page in book.pages:
            if time.process_time() > until:
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
