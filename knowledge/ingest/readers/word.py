"""A Word document: headings, paragraphs, lists and tables in their order, with what was inserted and without what was deleted."""

import io
import re
from collections.abc import Iterator
from typing import Any

import docx
from docx.oxml.ns import qn
from docx.table import Table
from docx.text.paragraph import Paragraph

from knowledge.ingest.found import Extracted, Unreadable
from knowledge.ingest.readers.office import BROKEN, check_package, markdown_table

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_HEADING = re.compile(r"(?:heading|标题)\s*([1-6])$", re.IGNORECASE)
_LIST = re.compile(r"list (bullet|number)|列表", re.IGNORECASE)
_WRAPPERS = {qn("w:sdt"), qn("w:sdtContent"), qn("w:ins"), qn("w:customXml")}
_GALLERY = "/".join(map(qn, ("w:sdtPr", "w:docPartObj", "w:docPartGallery")))
_TEXT, _TAB, _BREAK, _RETURN = qn("w:t"), qn("w:tab"), qn("w:br"), qn("w:cr")
_DROPPED = {
    qn("w:del"),
    qn("w:pPr"),
    qn("w:rPr"),
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback",
}


def read(title: str, data: bytes) -> Extracted:
    check_package(data, must_hold="word/document.xml", kind="Word document")
    try:
        document = docx.Document(io.BytesIO(data))
        blocks = list(_blocks(document, document.element.body))
        named = str(document.core_properties.title or "").strip()
    except (*BROKEN, RecursionError) as problem:
        raise Unreadable("broken", type(problem).__name__) from None
    heading = next((block[2:] for block in blocks if block.startswith("# ")), "")
    return Extracted(heading or named or title, DOCX, markdown="\n\n".join(blocks))


def _blocks(document: Any, parent: Any) -> Iterator[str]:
    listed: list[str] = []
    for block in _content(document, parent):
        text = _table(block) if isinstance(block, Table) else _paragraph(block)
        if not isinstance(block, Table) and _is_item(block):
            listed.append(text)
            continue
        if listed:
            yield "\n".join(filter(None, listed))
            listed = []
        if text:
            yield text
    if listed:
        yield "\n".join(filter(None, listed))


def _content(document: Any, parent: Any) -> Iterator[Paragraph | Table]:
    """Paragraphs and tables, also those inside content controls, which python-docx passes over."""
    for element in parent.iterchildren():
        if element.tag == qn("w:p"):
            yield Paragraph(element, document)
        elif element.tag == qn("w:tbl"):
            yield Table(element, document)
        elif element.tag in _WRAPPERS and not _is_contents(element):
            yield from _content(document, element)


def _is_contents(element: Any) -> bool:
    gallery = element.find(_GALLERY)
    return gallery is not None and gallery.get(qn("w:val")) == "Table of Contents"


def _paragraph(paragraph: Paragraph) -> str:
    text = _words(paragraph._p).strip()
    if not text:
        return ""
    style = _style(paragraph)
    if style.lower() in {"title", "标题"}:
        return "# " + _line(text)
    if level := _level(paragraph, style):
        return "#" * min(6, level + 1) + " " + _line(text)
    if _is_item(paragraph):
        return "  " * _depth(paragraph) + "- " + _line(text)
    return f"\\{text}" if text.startswith("#") else text


def _line(text: str) -> str:
    return " ".join(text.split())


def _level(paragraph: Paragraph, style: str) -> int:
    """The outline level of a heading, from 1; 0 for text."""
    if found := _HEADING.match(style):
        return int(found.group(1))
    set_here = paragraph._p.xpath("./w:pPr/w:outlineLvl/@w:val")
    return int(set_here[0]) + 1 if set_here and set_here[0].isdecimal() and int(set_here[0]) < 6 else 0


def _style(paragraph: Paragraph) -> str:
    return str(paragraph.style.name or "") if paragraph.style is not None else ""


def _is_item(paragraph: Paragraph) -> bool:
    style = _style(paragraph)
    if _level(paragraph, style):
        return False
    return bool(_LIST.search(style) or paragraph._p.xpath("./w:pPr/w:numPr"))


def _depth(paragraph: Paragraph) -> int:
    depth = paragraph._p.xpath("string(./w:pPr/w:numPr/w:ilvl/@w:val)")
    return min(int(depth), 5) if depth.isdecimal() else 0


def _words(element: Any) -> str:
    """The text of a paragraph with its links and insertions."""
    said = []
    for child in element.iterchildren():
        if child.tag == _TEXT:
            said.append(child.text or "")
        elif child.tag == _TAB:
            said.append("\t")
        elif child.tag in {_BREAK, _RETURN}:
            said.append("\n")
        elif child.tag not in _DROPPED:
            said.append(_words(child))
    return "".join(said)


def _table(table: Table) -> str:
    """A merged cell is told once a row; a table of one column is no table but a frame around text."""
    rows: list[list[str]] = []
    for row in table._tbl.tr_lst:
        cells = ["\n".join(filter(None, (_words(p).strip() for p in cell.iter(qn("w:p"))))) for cell in row.tc_lst]
        rows.append(cells)
    if max((len(row) for row in rows), default=0) <= 1:
        return "\n\n".join(cell for row in rows for cell in row if cell)
    return markdown_table(rows)
