"""Tables from spreadsheets: a FAQ when the header names questions and answers, otherwise one paragraph a row."""

import csv
import io
import re
from collections.abc import Iterable, Sequence

import openpyxl

from knowledge.ingest.decode import decode
from knowledge.ingest.found import MAX_ENTRIES, Extracted, FaqEntry, Unreadable
from knowledge.ingest.readers.office import BROKEN, check_package

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MAX_COLUMNS = 100  # cells may stand anywhere in 16,384 columns and a million rows
HEADER_WITHIN = 10  # rows; people put a title or a logo above their tables

QUESTION_HEADERS = {"question", "questions", "q", "faq", "问题", "问", "标准问题", "标准问", "問題"}
PHRASING_HEADERS = {
    "similar questions",
    "similar question",
    "phrasings",
    "相似问法",
    "相似问题",
    "其他问法",
    "相似問法",
}
ANSWER_HEADERS = {"answer", "answers", "a", "reply", "答案", "回答", "答", "回复", "答覆"}
LETTERS = {"q", "a"}  # which name many a column that has nothing to do with questions
_SEPARATOR = re.compile(r"\s*(?:\r?\n|\|)\s*")

Rows = Sequence[Sequence[str]]


def read_csv(title: str, data: bytes) -> Extracted:
    text = decode(data)
    try:  # of the sniffer only the delimiter: from a header it cannot tell how quotes are written
        delimiter = csv.Sniffer().sniff(text[:4096].split("\n", 1)[0], delimiters=",;\t").delimiter
    except csv.Error:
        delimiter = ","
    csv.field_size_limit(1_000_000)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, doublequote=True))
    except csv.Error as problem:
        raise Unreadable("broken", str(problem)) from None
    entries = faq(rows)
    return Extracted(title, "text/csv", entries=entries, markdown="" if entries else paragraphs(rows))


def read_workbook(title: str, data: bytes) -> Extracted:
    """The FAQ of all its sheets, passing over sheets of notes; without any, every sheet as a table under its name."""
    check_package(data, must_hold="xl/workbook.xml", kind="spreadsheet")
    entries: list[FaqEntry] = []
    sections: list[str] = []
    problem: Unreadable | None = None
    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        for sheet in book.worksheets:
            table = sheet.iter_rows(max_row=MAX_ENTRIES + 1, max_col=MAX_COLUMNS, values_only=True)
            rows = [["" if cell is None else str(cell) for cell in row] for row in table]
            try:
                found = faq(rows)
                entries += found
                sections += [] if found else [f"## {sheet.title}\n\n{_paragraphs_or_lines(rows)}"]
            except Unreadable as missing:
                problem = missing
        book.close()
    except BROKEN as broken:
        raise Unreadable("broken", type(broken).__name__) from None
    if not entries and not sections:
        raise problem or Unreadable("empty")
    return Extracted(title, XLSX, entries=tuple(entries), markdown="" if entries else "\n\n".join(sections))


def faq(rows: Rows) -> tuple[FaqEntry, ...]:
    """The entries of a FAQ; none when the table is something else. Raises `Unreadable`: it has one of the two columns only."""
    at, header = _header(rows)
    question, answer = _column(header, QUESTION_HEADERS), _column(header, ANSWER_HEADERS)
    if question is None or answer is None:
        found = [header[at] for at in (question, answer) if at is not None]
        if all(name in LETTERS for name in found):  # neither, or a column that is just called "a"
            return ()
        raise Unreadable("no_faq_header", ", ".join(filter(None, header))[:120])
    phrasing = _column(header, PHRASING_HEADERS)
    entries = []
    for row in rows[at + 1 : at + 1 + MAX_ENTRIES]:
        cells = [cell.strip() for cell in row] + [""] * len(header)
        if cells[question] and cells[answer]:
            others = _SEPARATOR.split(cells[phrasing]) if phrasing is not None else []
            first, *more = _SEPARATOR.split(cells[question])
            entries.append(FaqEntry(first, (cells[answer],), tuple(filter(None, [*more, *others]))))
    if not entries:
        raise Unreadable("empty")
    return tuple(entries)


def paragraphs(rows: Rows) -> str:
    """A paragraph a row, a line a cell ("header: value"), with what stands above the table before them. Raises `Unreadable`."""
    at = next((at for at, row in enumerate(rows[:HEADER_WITHIN]) if _filled(row) > 1), None)
    if at is None:
        raise Unreadable("no_faq_header" if any(_filled(row) for row in rows) else "empty")
    above = [" ".join(filter(None, map(_flat, row))) for row in rows[:at]]
    names = [_flat(cell) for cell in rows[at]]
    blocks = []
    for row in rows[at + 1 : at + 1 + MAX_ENTRIES]:
        cells = zip(names + [""] * (len(row) - len(names)), map(_flat, row), strict=False)
        lines = [f"{name}: {cell}" if name else cell for name, cell in cells if cell]
        if lines:
            blocks.append("  \n".join(lines))
    if not blocks:
        raise Unreadable("empty")
    return "\n\n".join([*filter(None, above), *blocks])


def _paragraphs_or_lines(rows: Rows) -> str:
    """A sheet of one column or one row is a text. Raises `Unreadable`: there is nothing on it."""
    try:
        return paragraphs(rows)
    except Unreadable:
        lines = [" ".join(filter(None, map(_flat, row))) for row in rows]
        if not any(lines):
            raise
        return "\n\n".join(filter(None, lines))


def _header(rows: Rows) -> tuple[int, list[str]]:
    """Where the header is and what it says, in lower case: the first row, or one below a title that names both columns."""
    if not rows:
        raise Unreadable("empty")
    for at, row in enumerate(rows[:HEADER_WITHIN]):
        header = [cell.strip().lower().lstrip("\ufeff") for cell in row]
        if _column(header, QUESTION_HEADERS) is not None and _column(header, ANSWER_HEADERS) is not None:
            return at, header
    return 0, [cell.strip().lower().lstrip("\ufeff") for cell in rows[0]]


def _column(header: Iterable[str], names: set[str]) -> int | None:
    return next((at for at, name in enumerate(header) if name in names), None)


def _filled(row: Sequence[str]) -> int:
    return sum(1 for cell in row if cell.strip())


def _flat(text: str) -> str:
    return re.sub(r"\s+", " ", text.lstrip("\ufeff")).strip()
