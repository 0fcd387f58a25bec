"""Real documents go in without hand work: what each file of a folder became, and what failed and why.

    python benchmarks/ingest_documents.py [FOLDER OR FILE …] [--most N]

Without a folder: what documentation this machine has (``/usr/share/doc`` and the installed Python packages), at most N
files of a format, the largest first. Every file is read as an upload would be, in its own process with limits, and cut into
pieces. Times are of one run of this machine; compare formats with each other, not with other machines.
"""

import argparse
import os
import sys
import sysconfig
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot.settings")
os.environ.setdefault("BATON_HOME", tempfile.mkdtemp(prefix="baton-ingest-"))

import django

django.setup()

from knowledge.ingest.archive import members  # noqa: E402
from knowledge.ingest.chunk import chunk  # noqa: E402
from knowledge.ingest.extract import extract  # noqa: E402
from knowledge.ingest.found import MAX_BYTES, Unreadable  # noqa: E402
from knowledge.ingest.readers import ARCHIVE, TYPES, suffix_of  # noqa: E402
from knowledge.ingest.verdicts import WORDS  # noqa: E402
from knowledge.segment import chinese_share  # noqa: E402

SMALLEST_BYTES = 200  # below that there is nothing to read in a format of the office


@dataclass(frozen=True)
class Taken:
    """A file that went in. `seconds` from its bytes to its pieces."""

    name: str
    suffix: str
    seconds: float
    characters: int
    pieces: int
    entries: int
    is_chinese: bool
    note: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--most", type=int, default=6, help="files of one format")
    arguments = parser.parse_args()
    paths = arguments.paths or [Path("/usr/share/doc"), Path(sysconfig.get_paths()["purelib"])]
    taken: list[Taken] = []
    refused: list[tuple[str, str, str]] = []
    for file in chosen(paths, arguments.most):
        for name, data in documents(file):
            try:
                taken.append(take(name, data))
            except Unreadable as problem:
                refused.append((name, problem.code, problem.detail))
    report(taken, refused)


def chosen(paths: Iterable[Path], most: int) -> Iterator[Path]:
    found: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    for path in paths:
        for file in [path] if path.is_file() else path.rglob("*"):
            suffix = suffix_of(file.name)
            if suffix in TYPES and file.is_file() and SMALLEST_BYTES <= file.stat().st_size <= MAX_BYTES:
                found[suffix].append((file.stat().st_size, file))
    for suffix in sorted(found):
        for _, file in sorted(found[suffix], key=lambda pair: -pair[0])[:most]:
            yield file


def documents(file: Path) -> Iterator[tuple[str, bytes]]:
    """The file, or those that a ZIP holds."""
    data = file.read_bytes()
    if suffix_of(file.name) != ARCHIVE:
        yield str(file), data
        return
    try:
        yield from ((f"{file}/{member.name}", member.data) for member in members(data) if not member.refused)
    except Unreadable as problem:
        print(f"{file}: {problem}")


def take(name: str, data: bytes) -> Taken:
    began = time.perf_counter()
    found = extract(name, data)
    texts = [part.markdown for part in found.parts] or [found.markdown]
    pieces = [piece for text in texts for piece in chunk(text)]
    text = "".join(texts) + "".join(entry.question + "".join(entry.answers) for entry in found.entries)
    seconds = time.perf_counter() - began
    note = f"{found.note} {found.note_detail}".strip()
    share = chinese_share(text[:20_000])
    return Taken(name, suffix_of(name), seconds, len(text), len(pieces), len(found.entries), share > 0.3, note)


def report(taken: list[Taken], refused: list[tuple[str, str, str]]) -> None:
    for one in taken:
        language = "zh" if one.is_chinese else "other"
        print(
            f"{one.suffix:9} {one.seconds:6.2f} s {one.characters:9,} characters {one.pieces:6,} pieces "
            f"{one.entries:5,} entries  {language:5}  {one.name[-70:]}  {one.note}"
        )
    by_format = Counter(one.suffix for one in taken)
    print(f"\n{len(taken)} of {len(taken) + len(refused)} documents went in: "
          + ", ".join(f"{count} {suffix[1:]}" for suffix, count in by_format.most_common()))  # fmt: skip
    print(f"{sum(one.is_chinese for one in taken)} of them Chinese")
    for name, code, detail in refused:
        print(f"not taken: {name[-90:]}: {WORDS[code]} {f'({detail})' if detail else ''}")


if __name__ == "__main__":
    main()
