"""What is inside a ZIP: each file with its bytes, or with the reason why it is not taken. Nothing is written to disk."""

import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from knowledge.ingest.found import MAX_BYTES, MAX_UNPACKED_BYTES, Unreadable
from knowledge.ingest.readers import ARCHIVE, OLD_OFFICE, TYPES, suffix_of

MAX_FILES = 1_000
_NESTED = {ARCHIVE, ".7z", ".rar", ".gz", ".tar", ".tgz", ".xz", ".bz2"}
_HIDDEN = {"__MACOSX", "Thumbs.db", "desktop.ini"}
_PIECE = 64 * 1024


@dataclass(frozen=True)
class Member:
    """A file of a ZIP. `refused` is a code of `knowledge.ingest.verdicts`, empty for what can be read."""

    name: str
    data: bytes = b""
    refused: str = ""


def members(data: bytes) -> Iterator[Member]:
    """In the archive's order, without folders and what file managers leave behind. Raises `Unreadable` for the whole ZIP.

    At most `MAX_FILES` files and `MAX_UNPACKED_BYTES` bytes are unpacked, whatever the archive declares.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inside = [info for info in archive.infolist() if not info.is_dir() and not _is_hidden(_name(info))]
            if len(inside) > MAX_FILES:
                raise Unreadable("too_many_files", f"{len(inside):,} > {MAX_FILES:,}")
            if sum(info.file_size for info in inside) > MAX_UNPACKED_BYTES:
                raise Unreadable("too_large", "unpacked")
            left = MAX_UNPACKED_BYTES
            for info in inside:
                member = _member(archive, info, min(MAX_BYTES, left))
                left -= len(member.data)
                yield member
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, RuntimeError):
        raise Unreadable("not_what_it_says" if not data.startswith(b"PK") else "broken", "ZIP") from None


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> Member:
    name = _name(info)
    suffix = suffix_of(name)
    if _leads_out(name):
        return Member(name, refused="unsafe_name")
    if suffix in _NESTED - set(TYPES) | {ARCHIVE}:
        return Member(name, refused="nested_archive")
    if suffix in OLD_OFFICE:
        return Member(name, refused="old_office")
    if suffix not in TYPES:
        return Member(name, refused="unsupported_type")
    if info.flag_bits & 0x1:
        return Member(name, refused="encrypted")
    if info.file_size > limit:
        return Member(name, refused="too_large")
    try:
        with archive.open(info) as file:
            unpacked = bytearray()
            while piece := file.read(_PIECE):
                unpacked += piece
                if len(unpacked) > limit:
                    return Member(name, refused="too_large")
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError):
        return Member(name, refused="broken")
    return Member(name, bytes(unpacked))


def _name(info: zipfile.ZipInfo) -> str:
    """A Chinese Windows packs names as GBK and says nothing; zipfile then reads them as code page 437."""
    name = info.filename
    if not info.flag_bits & 0x800:
        try:
            name = name.encode("cp437").decode("gb18030")
        except UnicodeError:
            name = info.filename
    return name.replace("\\", "/").replace("\x00", "")


def _leads_out(name: str) -> bool:
    return name.startswith("/") or name[1:2] == ":" or ".." in PurePosixPath(name).parts


def _is_hidden(name: str) -> bool:
    return any(part in _HIDDEN or (part.startswith(".") and part != "..") for part in PurePosixPath(name).parts)
