"""The readers, one module a family of formats, each loaded when a file of its kind comes.

They run in a process of their own (`knowledge.ingest.extract`), so they import neither Django nor anything of ours but
`knowledge.ingest`'s plain parts.
"""

from importlib import import_module
from pathlib import PurePath

from knowledge.ingest.found import MAX_BYTES, MAX_TEXT, Extracted, Unreadable

READERS: dict[str, tuple[str, str]] = {
    ".md": ("text", "read_markdown"),
    ".markdown": ("text", "read_markdown"),
    ".txt": ("text", "read_text"),
    ".html": ("page", "read"),
    ".htm": ("page", "read"),
    ".csv": ("table", "read_csv"),
    ".tsv": ("table", "read_csv"),
    ".xlsx": ("table", "read_workbook"),
    ".pdf": ("pdf", "read"),
    ".docx": ("word", "read"),
    ".pptx": ("slides", "read"),
    ".jsonl": ("corpus", "read"),
    ".jsonl.gz": ("corpus", "read_packed"),
}
ARCHIVE = ".zip"
TYPES = (*READERS, ARCHIVE)
OLD_OFFICE = {".doc": "DOCX", ".xls": "XLSX", ".ppt": "PPTX"}


def suffix_of(name: str) -> str:
    """The end of a file's name that says its type; of ``faq.jsonl.gz`` both."""
    path = PurePath(name.lower())
    return "".join(path.suffixes[-2:]) if name.lower().endswith(".gz") else path.suffix


def check(name: str, data: bytes) -> None:
    """What can be told without reading the file. Raises `Unreadable`."""
    if len(data) > MAX_BYTES:
        raise Unreadable("too_large", f"{len(data):,} > {MAX_BYTES:,} bytes")
    suffix = suffix_of(name)
    if suffix in OLD_OFFICE:
        raise Unreadable("old_office", f"{suffix[1:].upper()} → {OLD_OFFICE[suffix]}")
    if suffix not in TYPES:
        raise Unreadable("unsupported_type", suffix or name)
    if not data.strip():
        raise Unreadable("empty")


def read(name: str, data: bytes) -> Extracted:
    """Read a file by its bytes and name, in this process. Raises `Unreadable`."""
    check(name, data)
    suffix = suffix_of(name)
    if suffix == ARCHIVE:
        raise Unreadable("unsupported_type", suffix)
    module, function = READERS[suffix]
    reader = getattr(import_module(f"{__name__}.{module}"), function)
    found: Extracted = reader(PurePath(name).name.removesuffix(suffix), data)
    if found.is_empty:
        raise Unreadable("empty")
    if len(found.markdown) > MAX_TEXT:
        raise Unreadable("too_large", f"{len(found.markdown):,} > {MAX_TEXT:,} characters")
    return found
