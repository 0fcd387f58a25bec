"""What the three Office formats have in common: a ZIP of XML parts, checked by what it declares before anything is unpacked."""

import io
import re
import zipfile
import zlib

from knowledge.ingest.found import MAX_UNPACKED_BYTES, Unreadable

MAX_MEMBERS = 5_000
MAX_RATIO = 200  # of unpacked to packed, over the whole file, once it is more than a few megabytes
SMALL_BYTES = 10 * 1024 * 1024
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_DOCTYPE = re.compile(rb"<\x00?!\x00?D\x00?O\x00?C\x00?T\x00?Y\x00?P\x00?E", re.IGNORECASE)

BROKEN = (  # what the readers, two XML parsers (SyntaxError) and zipfile (RuntimeError: encrypted) raise
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    SyntaxError,
    EOFError,
    OSError,
    AssertionError,
    zipfile.BadZipFile,
    zlib.error,
)


def check_package(data: bytes, must_hold: str, kind: str) -> None:
    """Refuse what is not an Office file of the expected kind, is encrypted, declares a document type, or unpacks to too much."""
    if data.startswith(_OLD_OFFICE):
        encrypted = "EncryptedPackage".encode("utf-16-le") in data
        raise Unreadable("encrypted" if encrypted else "old_office", "" if encrypted else kind)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check_sizes(members, len(data))
            if must_hold not in {member.filename for member in members}:
                raise Unreadable("not_what_it_says", f"a ZIP without a {kind}")
            for member in members:
                if member.filename.endswith((".xml", ".rels")):
                    with archive.open(member) as part:
                        if _DOCTYPE.search(part.read(4_096)):
                            raise Unreadable("unsafe", "an XML document type")
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, ValueError, RuntimeError, EOFError, OSError):
        raise Unreadable("not_what_it_says", f"not a {kind}") from None


def _check_sizes(members: list[zipfile.ZipInfo], packed: int) -> None:
    unpacked = sum(member.file_size for member in members)
    if unpacked > MAX_UNPACKED_BYTES or len(members) > MAX_MEMBERS:
        raise Unreadable("too_large", "unpacked")
    if unpacked > SMALL_BYTES and unpacked > packed * MAX_RATIO:
        raise Unreadable("too_large", f"{unpacked:,} bytes packed into {packed:,}")


def markdown_table(rows: list[list[str]]) -> str:
    """A table whose first row names the columns; rows may differ in length, cells may hold line breaks."""
    filled = [row for row in rows if any(cell.strip() for cell in row)]
    if not filled:
        return ""
    width = max(len(row) for row in filled)
    lines = ["| " + " | ".join(_cell(cell) for cell in row + [""] * (width - len(row))) + " |" for row in filled]
    return "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]])


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")
