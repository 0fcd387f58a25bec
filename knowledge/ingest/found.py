"""What a file turned out to hold, or why it cannot be taken in. Plain data: the parser's process knows nothing else of ours."""

from dataclasses import dataclass, field

MAX_BYTES = 20 * 1024 * 1024
MAX_UNPACKED_BYTES = 200 * 1024 * 1024
MAX_TEXT = 20_000_000  # characters of one document
MAX_ENTRIES = 50_000


class Unreadable(Exception):
    """A file that cannot be taken in. `code` is for machines (`knowledge.ingest.verdicts` has the words), `detail` for people."""

    def __init__(self, code: str, detail: str = "") -> None:
        self.code, self.detail = code, detail[:200]
        super().__init__(f"{code} {detail}".strip())


@dataclass(frozen=True)
class FaqEntry:
    """A question, its other phrasings, and its answers (Markdown)."""

    question: str
    answers: tuple[str, ...]
    phrasings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Extracted:
    """What a file holds. One of `markdown` and `entries` is filled; `parts` holds further documents of a collection file.

    `note` is the code of something its owner should know though the file was read, with a detail: pages without text.
    """

    title: str
    media_type: str
    markdown: str = ""
    entries: tuple[FaqEntry, ...] = ()
    parts: tuple["Extracted", ...] = field(default=())
    note: str = ""
    note_detail: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.markdown.strip() or self.entries or self.parts)
