"""What is in a file: a document with headings (as Markdown), or FAQ entries.

Files are known by their content first and their name second; a file that is not what its name says is refused in words,
never guessed at.
"""

import csv
import gzip
import io
import json
import re
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

import openpyxl
import trafilatura
from charset_normalizer import from_bytes
from django.utils.translation import gettext_lazy as _

MAX_BYTES = 20 * 1024 * 1024
MAX_UNPACKED_BYTES = 200 * 1024 * 1024
MAX_ENTRIES = 50_000
MAX_COLUMNS = 100  # of a spreadsheet, whose cells may stand anywhere in 16,384 columns and a million rows

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
BROKEN_BOOK = (  # what openpyxl, two XML parsers (SyntaxError) and zipfile (RuntimeError: encrypted) raise
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    SyntaxError,
    EOFError,
    OSError,
    zipfile.BadZipFile,
    zlib.error,
)
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_SEPARATOR = re.compile(r"\s*(?:\r?\n|\|)\s*")


class Unreadable(Exception):
    """A file that cannot be taken in. `code` is for machines, `words` (translatable) and `detail` for people."""

    def __init__(self, code: str, detail: str = "") -> None:
        self.code, self.detail = code, detail[:200]
        super().__init__(f"{code} {detail}".strip())


WORDS = {
    "unsupported_type": _("This type of file cannot be read. Use Markdown, text, HTML, CSV, XLSX or JSON lines."),
    "not_what_it_says": _("The content is not what the file's name says."),
    "empty": _("There is no text in this file."),
    "too_large": _("This file is too large."),
    "unknown_encoding": _("The characters of this file cannot be read. Save it as UTF-8 and try again."),
    "no_faq_header": _(
        "The first row must name a column of questions and one of answers, for example: question, answer (问题, 答案)."
    ),
    "broken": _("This file is damaged."),
    "encoder_unavailable": _("The encoder could not be loaded; the file is kept and can be tried again."),
    "internal": _("Something went wrong while reading this file; it is kept and can be tried again."),
}


@dataclass(frozen=True)
class FaqEntry:
    """A question, its other phrasings, and its answers (Markdown)."""

    question: str
    answers: tuple[str, ...]
    phrasings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Extracted:
    """What a file holds. One of `markdown` and `entries` is filled; `parts` holds further documents of a collection file."""

    title: str
    media_type: str
    markdown: str = ""
    entries: tuple[FaqEntry, ...] = ()
    parts: tuple["Extracted", ...] = field(default=())


def extract(name: str, data: bytes) -> Extracted:
    """Read a file by its bytes and name. Raises `Unreadable`."""
    if len(data) > MAX_BYTES:
        raise Unreadable("too_large", f"{len(data):,} > {MAX_BYTES:,} bytes")
    suffix = (
        "".join(PurePath(name.lower()).suffixes[-2:]) if name.lower().endswith(".gz") else PurePath(name.lower()).suffix
    )
    reader = READERS.get(suffix)
    if reader is None:
        raise Unreadable("unsupported_type", suffix or name)
    if not data.strip():
        raise Unreadable("empty")
    found = reader(PurePath(name).name.removesuffix(suffix), data)
    if not (found.markdown.strip() or found.entries or found.parts):
        raise Unreadable("empty")
    return found


def _markdown(title: str, data: bytes) -> Extracted:
    text = _decode(data)
    heading = re.search(r"^#\s+(.+)$", text, re.MULTILINE)
    return Extracted(heading.group(1).strip() if heading else title, "text/markdown", markdown=text)


def _text(title: str, data: bytes) -> Extracted:
    return Extracted(title, "text/plain", markdown=_decode(data))


def _html(title: str, data: bytes) -> Extracted:
    page = _decode(data)
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


def _csv(title: str, data: bytes) -> Extracted:
    text = _decode(data)
    try:  # of the sniffer only the delimiter: from a header it cannot tell how quotes are written
        delimiter = csv.Sniffer().sniff(text[:4096].split("\n", 1)[0], delimiters=",;\t").delimiter
    except csv.Error:
        delimiter = ","
    csv.field_size_limit(1_000_000)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, doublequote=True))
    except csv.Error as problem:
        raise Unreadable("broken", str(problem)) from None
    return Extracted(title, "text/csv", entries=_faq(rows))


def _xlsx(title: str, data: bytes) -> Extracted:
    _check_zip(data, must_hold="xl/workbook.xml")
    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        entries: list[FaqEntry] = []
        problem: Unreadable | None = None
        for sheet in book.worksheets:
            table = sheet.iter_rows(max_row=MAX_ENTRIES + 1, max_col=MAX_COLUMNS, values_only=True)
            rows = [["" if cell is None else str(cell) for cell in row] for row in table]
            try:
                entries += _faq(rows)
            except Unreadable as missing:  # a sheet of notes beside the FAQ is fine, a book without any FAQ is not
                problem = missing
        book.close()
    except BROKEN_BOOK as broken:
        raise Unreadable("broken", type(broken).__name__) from None
    if not entries:
        raise problem or Unreadable("empty")
    return Extracted(title, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", entries=tuple(entries))


def _json_lines(title: str, data: bytes) -> Extracted:
    """A corpus: rows with `question` and `answers` are FAQ entries, rows with `text` are documents of their own."""
    entries: list[FaqEntry] = []
    parts: list[Extracted] = []
    for number, line in enumerate(_decode(data).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            json.dumps(row, ensure_ascii=False).encode()  # half a surrogate pair: JSON can spell it, UTF-8 cannot
            if _NUL.search(line):  # nor does PostgreSQL keep this one
                raise ValueError
            if "question" in row:
                answers = row.get("answers") or [row["answer"]]
                answers = [answers] if isinstance(answers, str) else answers
                phrasings = tuple(map(str, row.get("phrasings", ())))
                entries.append(FaqEntry(str(row["question"]), tuple(map(str, answers)), phrasings))
            else:
                heading = str(row.get("title") or "")
                name = heading or str(row.get("id") or f"{title} {number}")
                body = f"# {heading}\n\n{row['text']}" if heading else str(row["text"])
                parts.append(Extracted(name[:200], "text/markdown", markdown=body))
        except (ValueError, KeyError, TypeError, RecursionError, AttributeError):
            raise Unreadable("broken", f"line {number}") from None
    return Extracted(title, "application/jsonl", entries=tuple(entries), parts=tuple(parts))


def _json_lines_gz(title: str, data: bytes) -> Extracted:
    if not data.startswith(b"\x1f\x8b"):
        raise Unreadable("not_what_it_says", "not a gzip file")
    try:
        with gzip.open(io.BytesIO(data)) as file:
            unpacked = file.read(MAX_UNPACKED_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise Unreadable("broken", "gzip") from None
    if len(unpacked) > MAX_UNPACKED_BYTES:
        raise Unreadable("too_large", "unpacked")
    return _json_lines(title, unpacked)


READERS: dict[str, Callable[[str, bytes], Extracted]] = {
    ".md": _markdown,
    ".markdown": _markdown,
    ".txt": _text,
    ".html": _html,
    ".htm": _html,
    ".csv": _csv,
    ".tsv": _csv,
    ".xlsx": _xlsx,
    ".jsonl": _json_lines,
    ".jsonl.gz": _json_lines_gz,
}


def _faq(rows: Sequence[Sequence[str]]) -> tuple[FaqEntry, ...]:
    if not rows:
        raise Unreadable("empty")
    header = [cell.strip().lower().lstrip("\ufeff") for cell in rows[0]]
    question, answer = _column(header, QUESTION_HEADERS), _column(header, ANSWER_HEADERS)
    if question is None or answer is None:
        raise Unreadable("no_faq_header", ", ".join(filter(None, header))[:120])
    phrasing = _column(header, PHRASING_HEADERS)
    entries = []
    for row in rows[1 : MAX_ENTRIES + 1]:
        cells = [cell.strip() for cell in row] + [""] * len(header)
        if cells[question] and cells[answer]:
            others = _SEPARATOR.split(cells[phrasing]) if phrasing is not None else []
            first, *more = _SEPARATOR.split(cells[question])
            entries.append(FaqEntry(first, (cells[answer],), tuple(filter(None, [*more, *others]))))
    return tuple(entries)


def _column(header: Iterable[str], names: set[str]) -> int | None:
    return next((at for at, name in enumerate(header) if name in names), None)


def _decode(data: bytes) -> str:
    """The text of a file in whatever encoding it has; a binary file is not text, whatever its bytes can be read as."""
    text = _decoded(data)
    if not _is_printable(text) or (data.startswith(_UTF_16_MARKS) and not _is_in_few_scripts(text)):
        raise Unreadable("not_what_it_says", "binary")
    return text


def _is_printable(text: str) -> bool:
    return sum(1 for character in text if not (character.isprintable() or character.isspace())) <= len(text) / 5


def _is_in_few_scripts(text: str) -> bool:
    """Chance bytes read as UTF-16 give letters of many scripts, and rare ones; what people write has one or two of them."""
    letters = [character for character in text if ord(character) > 127 and unicodedata.category(character)[0] in "LM"]
    scripts = Counter(_script(character) for character in letters if not "\ufe00" <= character <= "\ufe0f")
    rare = scripts.pop("rare", 0)
    return sum(count for _, count in scripts.most_common(2)) >= (scripts.total() + rare) * 0.8


def _script(letter: str) -> str:
    if "\u3400" <= letter <= "\u4dbf":
        return "rare"
    name = unicodedata.name(letter, "rare").split()[0].split("-")[0]
    return "CJK" if name in {"HIRAGANA", "KATAKANA", "HALFWIDTH", "FULLWIDTH"} else name


def _decoded(data: bytes) -> str:
    if b"\x00" in data and not data.startswith(_UTF_16_MARKS):
        raise Unreadable("not_what_it_says", "binary")
    if data.startswith((b"%PDF-", b"PK\x03\x04")):
        raise Unreadable("not_what_it_says", "PDF" if data.startswith(b"%") else "ZIP")
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding == "utf-8-sig" or _reads_as_chinese(text):
            return text
    best = from_bytes(data).best()
    if best is None:
        raise Unreadable("unknown_encoding")
    return str(best)


def _reads_as_chinese(text: str) -> bool:
    """Whether GB18030, which decodes nearly anything, decoded something: mostly common characters and ASCII."""
    outside = [character for character in text if ord(character) > 127]
    common = sum(
        1 for character in outside if "\u4e00" <= character <= "\u9fa5" or character in "，。？！：；、“”（）《》￥…—　"
    )
    return bool(outside) and common / len(outside) > 0.9


def _check_zip(data: bytes, must_hold: str) -> None:
    """Refuse what is not a zip of the expected kind, or would unpack to more than a server should hold."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, RuntimeError, OSError):
        raise Unreadable("not_what_it_says", "not a spreadsheet") from None
    if must_hold not in {member.filename for member in members}:
        raise Unreadable("not_what_it_says", "a ZIP without a spreadsheet")
    if sum(member.file_size for member in members) > MAX_UNPACKED_BYTES or len(members) > 5_000:
        raise Unreadable("too_large", "unpacked")
