"""JSON lines: rows with `question` and `answers` are FAQ entries, rows with `text` are documents of their own."""

import gzip
import io
import json
import re
import zlib

from knowledge.ingest.decode import decode
from knowledge.ingest.found import MAX_UNPACKED_BYTES, Extracted, FaqEntry, Unreadable

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def read(title: str, data: bytes) -> Extracted:
    entries: list[FaqEntry] = []
    parts: list[Extracted] = []
    for number, line in enumerate(decode(data).splitlines(), 1):
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


def read_packed(title: str, data: bytes) -> Extracted:
    if not data.startswith(b"\x1f\x8b"):
        raise Unreadable("not_what_it_says", "not a gzip file")
    try:
        with gzip.open(io.BytesIO(data)) as file:
            unpacked = file.read(MAX_UNPACKED_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise Unreadable("broken", "gzip") from None
    if len(unpacked) > MAX_UNPACKED_BYTES:
        raise Unreadable("too_large", "unpacked")
    return read(title, unpacked)
