"""A presentation: a section a slide, under its title and number, with its tables and the speaker's notes."""

import io
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import pptx
from pptx.enum.shapes import MSO_SHAPE_TYPE, PP_PLACEHOLDER

from knowledge.ingest.found import Extracted, Unreadable
from knowledge.ingest.readers.office import BROKEN, check_package, markdown_table

PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
MAX_SERIES = 50
MAX_DEPTH = 8  # of groups in groups
_FURNITURE = {PP_PLACEHOLDER.SLIDE_NUMBER, PP_PLACEHOLDER.DATE, PP_PLACEHOLDER.FOOTER}


def read(title: str, data: bytes) -> Extracted:
    check_package(data, must_hold="ppt/presentation.xml", kind="presentation")
    try:
        deck = pptx.Presentation(io.BytesIO(data))
        unread: list[int] = []
        sections = [_section(number, slide, unread) for number, slide in enumerate(deck.slides, 1)]
        named = str(deck.core_properties.title or "").strip()
    except (*BROKEN, RecursionError) as problem:
        raise Unreadable("broken", type(problem).__name__) from None
    is_named = named and named.lower() not in {"powerpoint presentation", "powerpoint 演示文稿"}
    return Extracted(
        named if is_named else title,
        PPTX,
        markdown="\n\n".join(filter(None, sections)),
        note="charts_without_figures" if unread else "",
        note_detail=", ".join(map(str, dict.fromkeys(unread)))[:80],
    )


def _section(number: int, slide: Any, unread: list[int]) -> str:
    """`unread` is told the slides of whose charts the figures cannot be read."""
    heading = slide.shapes.title
    name = " ".join(heading.text_frame.text.split()) if heading is not None and heading.has_text_frame else ""
    told = partial(unread.append, number)
    blocks = [block for shape in _in_reading_order(slide.shapes) if shape != heading for block in _blocks(shape, told)]
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        notes = _text(slide.notes_slide.notes_text_frame)
        blocks += [notes] if notes else []
    if not blocks and not name:
        return ""
    return "\n\n".join([f"## {number}. {name}".rstrip(), *blocks])


def _in_reading_order(shapes: Iterable[Any], depth: int = 0) -> Iterator[Any]:
    for shape in sorted(shapes, key=lambda shape: (shape.top or 0, shape.left or 0)):
        if shape.shape_type == MSO_SHAPE_TYPE.GROUP:
            if depth < MAX_DEPTH:
                yield from _in_reading_order(shape.shapes, depth + 1)
        elif not (shape.is_placeholder and shape.placeholder_format.type in _FURNITURE):
            yield shape


def _blocks(shape: Any, unread: Callable[[], None]) -> Iterator[str]:
    if shape.has_text_frame:
        text = _text(shape.text_frame)
        if text:
            yield text
    elif getattr(shape, "has_table", False):
        table = markdown_table([[cell.text_frame.text for cell in row.cells] for row in shape.table.rows])
        if table:
            yield table
    elif getattr(shape, "has_chart", False):
        yield from _chart(shape.chart, unread)


def _chart(chart: Any, unread: Callable[[], None]) -> Iterator[str]:
    """The figures a chart is drawn from, as a table: a row a category, a column a series."""
    if chart.has_title and chart.chart_title.has_text_frame:
        yield " ".join(chart.chart_title.text_frame.text.split())
    try:
        tables = [table for plot in chart.plots if (table := _figures(plot))]
    except BROKEN:  # a kind of chart that python-pptx does not know, or one that is broken
        unread()
    else:
        yield from tables


def _figures(plot: Any) -> str:
    series = list(plot.series)[:MAX_SERIES]
    rows = [["", *(str(one.name or "") for one in series)]]
    values = [list(one.values) for one in series]
    for at, category in enumerate(plot.categories):
        rows.append([str(category), *(str(column[at]) if at < len(column) else "" for column in values)])
    return markdown_table(rows) if len(rows) > 1 else ""


def _text(frame: Any) -> str:
    """Paragraphs as a list when there are several: that is what a slide shows."""
    said = [("  " * paragraph.level, " ".join(paragraph.text.split())) for paragraph in frame.paragraphs]
    said = [(indent, text) for indent, text in said if text]
    if len(said) == 1:
        return said[0][1]
    return "\n".join(f"{indent}- {text}" for indent, text in said)
