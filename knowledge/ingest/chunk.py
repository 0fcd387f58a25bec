"""From Markdown to chunks: along headings, never through a table row, small enough for the encoder to read whole."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

from knowledge.segment import chinese_share

TARGET = 1_000  # characters of an alphabetic script; the shipped encoder reads 256 tokens
TARGET_CHINESE = 450
_SENTENCE_END = re.compile(r"(?<=[。！？；!?])|(?<=[.;])\s+|\n")

_parser = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Piece:
    """A chunk to be: its path of headings and its Markdown."""

    heading: str
    text: str


def chunk(markdown: str) -> list[Piece]:
    """Cut a document. Neighbouring blocks under one heading are packed together up to the target size."""
    pieces: list[Piece] = []
    for heading, blocks in _sections(markdown):
        held = ""
        for block in (part for whole in blocks for part in _split(whole)):
            if held and len(held) + len(block) > _target(block):
                pieces.append(Piece(heading, held))
                held = ""
            held = f"{held}\n\n{block}" if held else block
        if held:
            pieces.append(Piece(heading, held))
    return pieces


def _sections(markdown: str) -> Iterator[tuple[str, list[str]]]:
    """Runs of blocks with the path of headings above them."""
    lines = markdown.splitlines()
    path: list[tuple[int, str]] = []
    blocks: list[str] = []
    tokens = _parser.parse(markdown)
    for at, token in enumerate(tokens):
        if token.level or token.nesting < 0 or not token.map:
            continue
        if token.type == "heading_open":
            if blocks:
                yield _heading(path), blocks
                blocks = []
            depth = int(token.tag[1])
            path = [(level, title) for level, title in path if level < depth]
            path.append((depth, _plain(tokens[at + 1])))
        else:
            block = "\n".join(lines[token.map[0] : token.map[1]]).strip()
            if block:
                blocks.append(block)
    if blocks:
        yield _heading(path), blocks


def _heading(path: list[tuple[int, str]]) -> str:
    return " › ".join(title for _, title in path)[:300]


def _plain(inline: Token) -> str:
    return "".join(child.content for child in inline.children or [] if child.type in {"text", "code_inline"}).strip()


def _split(block: str) -> Iterator[str]:
    """A block that is too large, in parts: a table by rows with its header repeated, anything else by sentences."""
    if len(block) <= _target(block):
        yield block
        return
    rows = block.splitlines()
    is_table = len(rows) > 2 and re.fullmatch(r"\s*\|?[\s:|-]+\|[\s:|-]*", rows[1]) is not None
    head = "\n".join(rows[:2]) + "\n" if is_table else ""
    units = [f"{row}\n" for row in rows[2:]] if is_table else _sentences(block)
    held = ""
    for unit in units:
        if held and len(head) + len(held) + len(unit) > _target(block):
            yield (head + held).strip()
            held = ""
        held += unit
    if held.strip():
        yield (head + held).strip()


def _sentences(block: str) -> list[str]:
    """Sentences with what separates them, none longer than the target."""
    cuts = [0, *(match.end() for match in _SENTENCE_END.finditer(block)), len(block)]
    limit = _target(block)
    sentences = []
    for start, end in pairwise(cuts):
        sentences += [block[at : min(at + limit, end)] for at in range(start, end, limit)]
    return sentences


def _target(text: str) -> int:
    return TARGET_CHINESE if chinese_share(text) > 0.3 else TARGET
