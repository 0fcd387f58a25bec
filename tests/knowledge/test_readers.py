"""Office files, PDFs and spreadsheets that are no FAQ, made by the libraries that people's programs resemble."""

import io
import zipfile
from typing import Any

import docx
import openpyxl
import pptx
import pptx.chart.data
import pptx.enum.chart
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from pypdf import PdfReader, PdfWriter

from knowledge.ingest.archive import MAX_FILES, members
from knowledge.ingest.chunk import chunk
from knowledge.ingest.found import Unreadable
from knowledge.ingest.readers import read
from knowledge.ingest.verdicts import NOTES, WORDS


def refusal(name: str, data: bytes) -> str:
    with pytest.raises(Unreadable) as refused:
        read(name, data)
    assert refused.value.code in WORDS
    return refused.value.code


def saved(document: Any) -> bytes:
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def pdf(*pages: str, outline: dict[int, str] | None = None) -> bytes:
    """A PDF with a page for each drawing (`BT … ET`, lines), without a table of objects: readers look for them."""
    kids = " ".join(f"{10 + 2 * at} 0 R" for at in range(len(pages)))
    parts = [
        "%PDF-1.4",
        "1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj",
        f"2 0 obj<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>endobj",
        "3 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj",
    ]
    for at, drawing in enumerate(pages):
        parts.append(
            f"{10 + 2 * at} 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 400 400]/Contents {11 + 2 * at} 0 R"
            "/Resources<</Font<</F1 3 0 R>>>>>>endobj"
        )
        parts.append(f"{11 + 2 * at} 0 obj<</Length {len(drawing)}>>\nstream\n{drawing}\nendstream endobj")
    data = "\n".join([*parts, f"trailer<</Root 1 0 R/Size {12 + 2 * len(pages)}>>", "startxref", "0", "%%EOF"]).encode()
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
    for page, title in (outline or {}).items():
        writer.add_outline_item(title=title, page_number=page)
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def words(*lines: str, left: int = 20, top: int = 380) -> str:
    return "".join(f" BT /F1 12 Tf {left} {top - 20 * at} Td ({line}) Tj ET " for at, line in enumerate(lines))


class TestPdf:
    def test_a_passage_says_the_page_it_stands_on(self) -> None:
        found = read(
            "guide.pdf", pdf(words("Returns take thirty days."), words("Repairs are free."), outline={1: "Care"})
        )
        assert [(piece.heading, piece.text) for piece in chunk(found.markdown)] == [
            ("p. 1", "Returns take thirty days."),
            ("Care · p. 2", "Repairs are free."),
        ]

    def test_a_ruled_table_stays_a_table_between_the_words_around_it(self) -> None:
        grid = " ".join(f"20 {y} m 220 {y} l S" for y in (300, 270, 240)) + " "
        grid += " ".join(f"{x} 300 m {x} 240 l S" for x in (20, 120, 220)) + " "
        cells = words("Plan", "", left=30, top=280) + words("Basic", left=30, top=250)
        cells += words("Price", left=130, top=280) + words("5 euro", left=130, top=250)
        found = read(
            "prices.pdf", pdf(words("What it costs a month") + grid + cells + words("Taxes included", top=200))
        )
        body = found.markdown.partition("\n\n")[2]
        assert body == "What it costs a month\n\n| Plan | Price |\n| --- | --- |\n| Basic | 5 euro |\n\nTaxes included"

    def test_a_locked_pdf_a_cut_one_and_one_of_pictures_are_told_apart(self) -> None:
        whole = pdf(words("Returns take thirty days."))
        locked = PdfWriter(clone_from=PdfReader(io.BytesIO(whole)))
        locked.encrypt("secret", algorithm="AES-256")
        file = io.BytesIO()
        locked.write(file)
        assert refusal("a.pdf", file.getvalue()) == "encrypted"
        assert refusal("a.pdf", whole[: len(whole) // 3]) == "broken"
        assert refusal("a.pdf", b"PK\x03\x04 no") == "not_what_it_says"
        assert refusal("a.pdf", pdf("")) == "empty"
        assert refusal("a.pdf", _with_picture(pdf("q 400 0 0 400 0 0 cm /Im0 Do Q"))) == "scanned"

    def test_a_pdf_that_may_be_read_without_its_password_is_read(self) -> None:
        locked = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(words("Returns take thirty days.")))))
        locked.encrypt("", owner_password="secret", algorithm="AES-256")
        file = io.BytesIO()
        locked.write(file)
        assert "thirty days" in read("a.pdf", file.getvalue()).markdown

    def test_pages_of_pictures_among_others_are_named(self) -> None:
        scan = PdfReader(io.BytesIO(_with_picture(pdf("q 400 0 0 400 0 0 cm /Im0 Do Q")))).pages[0]
        writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(words("Returns take thirty days.")))))
        writer.add_page(scan)
        file = io.BytesIO()
        writer.write(file)
        found = read("a.pdf", file.getvalue())
        assert (found.note, found.note_detail) == ("pages_without_text", "2")
        assert found.note in NOTES

    def test_what_every_page_has_at_its_top_is_read_on_none(self) -> None:
        names = ("burr", "hopper", "knob", "motor", "scale", "timer")
        pages = [
            words(
                f"Shop manual {at}", f"The {name} is below.", f"It costs {at + 40} euro.", f"Order the {name} by phone."
            )
            for at, name in enumerate(names, 1)
        ]
        found = read("a.pdf", pdf(*pages)).markdown
        assert "Shop manual" not in found
        assert "It costs 46 euro.\nOrder the timer by phone." in found

    def test_what_markdown_would_take_for_a_heading_is_text(self) -> None:
        found = read("a.pdf", pdf(words("# 7 is the part number")))
        assert [piece.heading for piece in chunk(found.markdown)] == ["p. 1"]


def _with_picture(data: bytes) -> bytes:
    from PIL import Image
    from pypdf.generic import DictionaryObject, NameObject

    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "white").save(picture, "PDF")
    drawn = PdfReader(picture).pages[0]["/Resources"]["/XObject"]
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
    only = next(iter(drawn.values())).get_object().clone(writer)
    resources = writer.pages[0]["/Resources"]
    resources[NameObject("/XObject")] = DictionaryObject({NameObject("/Im0"): only.indirect_reference})
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


class TestWord:
    def test_headings_lists_and_tables_keep_their_order(self) -> None:
        document = docx.Document()
        document.add_heading("Handbook", 0)
        document.add_heading("退货", 1)
        document.add_paragraph("七天内可退。")
        document.add_paragraph("first", style="List Bullet")
        document.add_paragraph("second", style="List Bullet")
        table = document.add_table(2, 2)
        for at, text in enumerate(("Plan", "Price", "Basic", "5 | 6")):
            table.cell(at // 2, at % 2).text = text
        document.add_heading("Repairs", 2)
        document.add_paragraph("Free of charge.")
        found = read("handbook.docx", saved(document))
        assert found.title == "Handbook"
        assert [(piece.heading, piece.text) for piece in chunk(found.markdown)] == [
            (
                "Handbook › 退货",
                "七天内可退。\n\n- first\n- second\n\n| Plan | Price |\n| --- | --- |\n| Basic | 5 \\| 6 |",
            ),
            ("Handbook › 退货 › Repairs", "Free of charge."),
        ]

    def test_what_was_inserted_is_read_and_what_was_deleted_is_not(self) -> None:
        document = docx.Document()
        paragraph = document.add_paragraph("Returns take ")
        for xml in (
            "<w:del {0} w:id='1' w:author='m'><w:r><w:delText>seven</w:delText></w:r></w:del>",
            "<w:ins {0} w:id='2' w:author='m'><w:r><w:t>thirty</w:t></w:r></w:ins>",
            "<w:hyperlink {0}><w:r><w:t xml:space='preserve'> days</w:t></w:r></w:hyperlink>",
        ):
            paragraph._p.append(parse_xml(xml.format(nsdecls("w"))))
        assert read("a.docx", saved(document)).markdown == "Returns take thirty days"

    def test_text_in_a_content_control_is_read_and_a_table_of_contents_is_not(self) -> None:
        document = docx.Document()
        control = "<w:sdt {0}>{1}<w:sdtContent><w:p><w:r><w:t>{2}</w:t></w:r></w:p></w:sdtContent></w:sdt>"
        contents = "<w:sdtPr><w:docPartObj><w:docPartGallery w:val='Table of Contents'/></w:docPartObj></w:sdtPr>"
        document.element.body.insert(0, parse_xml(control.format(nsdecls("w"), "", "Kept")))
        document.element.body.insert(1, parse_xml(control.format(nsdecls("w"), contents, "Returns .... 3")))
        assert read("a.docx", saved(document)).markdown == "Kept"

    def test_the_format_of_before_2007_and_a_locked_file_are_told_apart(self) -> None:
        old = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 512
        assert refusal("a.doc", old) == "old_office"
        assert refusal("a.docx", old) == "old_office"
        assert refusal("a.docx", old + "EncryptedPackage".encode("utf-16-le")) == "encrypted"


class TestSlides:
    def test_a_slide_is_a_section_with_its_table_and_notes(self) -> None:
        deck = pptx.Presentation()
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = "Prices"
        slide.placeholders[1].text = "Basic\nPro"
        slide.notes_slide.notes_text_frame.text = "Discounts from ten seats."
        table = slide.shapes.add_table(2, 2, 0, pptx.util.Inches(6), 100, 100).table
        for at, text in enumerate(("Plan", "Price", "Basic", "5")):
            table.cell(at // 2, at % 2).text = text
        (piece,) = chunk(read("deck.pptx", saved(deck)).markdown)
        assert piece.heading == "1. Prices"
        assert piece.text == (
            "- Basic\n- Pro\n\n| Plan | Price |\n| --- | --- |\n| Basic | 5 |\n\nDiscounts from ten seats."
        )

    @staticmethod
    def _deck_with_chart() -> tuple[Any, Any]:
        figures = pptx.chart.data.CategoryChartData()
        figures.categories = ["Basic", "Pro"]
        figures.add_series("Price", (5, 9))
        deck = pptx.Presentation()
        slide = deck.slides.add_slide(deck.slide_layouts[5])
        slide.shapes.title.text = "Prices"
        shape = slide.shapes.add_chart(pptx.enum.chart.XL_CHART_TYPE.BAR_CLUSTERED, 0, 0, 100, 100, figures)
        return deck, shape.chart

    def test_a_chart_is_read_as_the_figures_it_is_drawn_from(self) -> None:
        deck, _ = self._deck_with_chart()
        found = read("a.pptx", saved(deck))
        assert "|  | Price |\n| --- | --- |\n| Basic | 5.0 |\n| Pro | 9.0 |" in found.markdown
        assert found.note == ""

    @pytest.mark.parametrize("kind", ["bar3DChart", "stockChart", "surfaceChart", "ofPieChart", "line3DChart"])
    def test_a_kind_of_chart_that_cannot_be_read_is_named_and_loses_nothing_else(self, kind: str) -> None:
        deck, chart = self._deck_with_chart()
        plot = chart._chartSpace.find(".//{*}barChart")
        plot.tag = plot.tag.replace("barChart", kind)
        chart.chart_title.text_frame.text = "Per month"
        after = deck.slides.add_slide(deck.slide_layouts[1])
        after.placeholders[1].text = "Pro has five seats."
        found = read("a.pptx", saved(deck))
        assert "Prices" in found.markdown
        assert "Per month" in found.markdown
        assert "Pro has five seats." in found.markdown
        assert (found.note, found.note_detail) == ("charts_without_figures", "1")


class TestTablesThatAreNoFaq:
    def test_columns_that_are_called_a_and_b_are_no_half_of_a_faq(self) -> None:
        assert read("a.csv", b"a,b,c\n1,2,3\n").markdown == "a: 1  \nb: 2  \nc: 3"

    def test_a_price_list_becomes_a_paragraph_a_row(self) -> None:
        found = read("prices.csv", "商品,价格,备注\n台灯,299,含税\n椅子,899,\n".encode("gb18030"))
        assert found.markdown == "商品: 台灯  \n价格: 299  \n备注: 含税\n\n商品: 椅子  \n价格: 899"
        assert found.entries == ()

    def test_a_workbook_keeps_its_sheets_apart_and_the_title_above_a_table(self) -> None:
        book = openpyxl.Workbook()
        book.active.title = "Lamps"
        for row in (["Price list 2026"], [], ["SKU", "Price"], ["A1", 299]):
            book.active.append(row)
        other = book.create_sheet("椅子")
        other.append(["型号", "价格"])
        other.append(["B2", 899])
        assert read("prices.xlsx", saved(book)).markdown == (
            "## Lamps\n\nPrice list 2026\n\nSKU: A1  \nPrice: 299\n\n## 椅子\n\n型号: B2  \n价格: 899"
        )

    def test_a_sheet_of_one_column_is_a_text(self) -> None:
        book = openpyxl.Workbook()
        book.active.append(["Opening hours"])
        book.active.append(["Nine to five"])
        assert read("hours.xlsx", saved(book)).markdown == "## Sheet\n\nOpening hours\n\nNine to five"

    def test_a_faq_below_a_title_row_is_a_faq(self) -> None:
        book = openpyxl.Workbook()
        for row in (["客服常见问题"], ["问题", "答案"], ["多久退款？", "七天"]):
            book.active.append(row)
        (entry,) = read("faq.xlsx", saved(book)).entries
        assert (entry.question, entry.answers) == ("多久退款？", ("七天",))


class TestArchives:
    def zipped(self, **files: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return file.getvalue()

    def test_every_member_is_given_with_its_bytes_or_the_reason_why_not(self) -> None:
        data = self.zipped(
            **{
                "docs/a.md": b"# A", "../../etc/cron.d/x.md": b"x", "C:\\x.txt": b"x", "/abs.md": b"x",
                "more.zip": b"PK", "pic.png": b"x", "old.doc": b"x", "__MACOSX/._a.md": b"x", ".DS_Store": b"x",
            }
        )  # fmt: skip
        assert {member.name: member.refused or member.data for member in members(data)} == {
            "docs/a.md": b"# A", "../../etc/cron.d/x.md": "unsafe_name", "C:/x.txt": "unsafe_name",
            "/abs.md": "unsafe_name", "more.zip": "nested_archive", "pic.png": "unsupported_type", "old.doc": "old_office",
        }  # fmt: skip

    def test_names_that_a_chinese_windows_wrote_are_read(self) -> None:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("name.md", b"x")
        raw = file.getvalue().replace(b"name.md", "退货.md".encode("gb18030"))
        assert [member.name for member in members(raw)] == ["退货.md"]

    def test_too_much_is_refused_by_what_the_archive_declares(self) -> None:
        with pytest.raises(Unreadable, match="too_large"):
            list(members(self.zipped(**{f"{at}.md": b"0" * 15_000_000 for at in range(15)})))
        with pytest.raises(Unreadable, match="too_many_files"):
            list(members(self.zipped(**{f"{at}.md": b"x" for at in range(MAX_FILES + 1)})))
        (large,) = members(self.zipped(**{"a.md": b"0" * 21_000_000}))
        assert (large.refused, large.data) == ("too_large", b"")

    def test_a_lie_about_the_size_is_cut_off(self) -> None:
        data = bytearray(self.zipped(**{"a.md": b"0" * 1_000_000}))
        entry = data.index(b"PK\x01\x02")
        data[entry + 24 : entry + 28] = (10).to_bytes(4, "little")
        (member,) = members(bytes(data))
        assert len(member.data) <= 1_000_000

    def test_a_locked_member_and_a_broken_archive_are_told(self) -> None:
        data = bytearray(self.zipped(**{"a.md": b"secret"}))
        entry = data.index(b"PK\x01\x02")
        data[6] |= 1
        data[entry + 8] |= 1
        (member,) = members(bytes(data))
        assert member.refused == "encrypted"
        with pytest.raises(Unreadable, match="broken"):
            list(members(b"PK\x03\x04 and no more"))
