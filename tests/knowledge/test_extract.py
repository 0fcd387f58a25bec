"""Files as people really save them; and files that lie, are cut off or are too clever: refused in words, never a crash."""

import gzip
import hashlib
import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest

from knowledge import services
from knowledge.ingest.found import Unreadable
from knowledge.ingest.readers import read as extract
from knowledge.ingest.verdicts import WORDS
from knowledge.models import Chunk, Document
from knowledge.tasks import HANDLERS
from workspace import leases
from workspace.models import Workspace

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"
ZIP = b"PK\x03\x04" + b"question,answer\nq,a\n" * 20
OLD_EXCEL = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 512
PAGE = b"<!doctype html><html><body><table><tr><td>question</td><td>answer</td></tr></table></body></html>"


def pairs(name: str, data: bytes) -> list[tuple[str, str]]:
    return [(entry.question, entry.answers[0]) for entry in extract(name, data).entries]


def refusal(name: str, data: bytes) -> str:
    with pytest.raises(Unreadable) as refused:
        extract(name, data)
    assert refused.value.code in WORDS
    return refused.value.code


def workbook(*rows: list[object], **cells: object) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for place, value in cells.items():
        book.active[place] = value
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def with_member(data: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """The same archive with one member changed."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as after:
        for member in before.namelist():
            content = before.read(member)
            after.writestr(member, change(content) if member == name else content)
    return file.getvalue()


def damaged(data: bytes, dice: random.Random) -> bytes:
    broken = bytearray(data)
    for _ in range(3):
        broken[dice.randrange(len(broken))] = dice.randrange(256)
    return bytes(broken)


BOOK = workbook(["question", "answer"], ["How long?", "Seven days."])


class TestTables:
    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("faq.csv", b'question,answer\nHow?,"Say ""please"", then wait"\n'),
            ("faq.csv", b'question;answer\nHow?;"Say ""please"", then wait"\n'),
            ("faq.tsv", b'question\tanswer\nHow?\t"Say ""please"", then wait"\n'),
            ("faq.csv", b'question\tanswer\nHow?\t"Say ""please"", then wait"\n'),
            ("faq.csv", b'"question","answer"\r\n"How?","Say ""please"", then wait"\r\n'),
            ("faq.csv", b'"question";"answer"\r\n"How?";"Say ""please"", then wait"\r\n'),
        ],
    )
    def test_doubled_quotes_are_one_quote_whatever_separates_the_columns(self, name: str, data: bytes) -> None:
        assert pairs(name, data) == [("How?", 'Say "please", then wait')]

    def test_quotes_that_hold_no_field_are_read_as_they_stand(self) -> None:
        assert pairs("faq.csv", b'question,answer\nHow?,Press the 5" key\n') == [("How?", 'Press the 5" key')]

    def test_separators_and_line_breaks_inside_quotes_belong_to_the_answer(self) -> None:
        data = b'question;answer\nHow?;"First; second\n\n- third, ""fourth"""\nWhen?;Now\n'
        assert pairs("faq.csv", data) == [("How?", 'First; second\n\n- third, "fourth"'), ("When?", "Now")]

    def test_commas_in_a_tab_file_are_text(self) -> None:
        assert pairs("faq.tsv", b"question\tanswer\nHow, then?\tSo, or so\n") == [("How, then?", "So, or so")]

    @pytest.mark.parametrize("separator", [",", ";", "\t"])
    def test_the_mark_that_excel_puts_before_utf_8_is_no_part_of_the_header(self, separator: str) -> None:
        data = f"\ufeff问题{separator}答案\r\n多久退款？{separator}七天\r\n".encode()
        assert pairs("faq.csv", data) == [("多久退款？", "七天")]

    @pytest.mark.parametrize("encoding", ["gb18030", "gbk", "utf-16"])
    def test_a_table_that_a_chinese_excel_saved_is_read_with_its_quotes(self, encoding: str) -> None:
        data = '问题,答案\n多久退款？,"签收后七个工作日到账，请选""原路退回""，谢谢。"\n'.encode(encoding)
        assert pairs("faq.csv", data) == [("多久退款？", '签收后七个工作日到账，请选"原路退回"，谢谢。')]

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_lines_may_end_in_any_way(self, end: str) -> None:
        assert pairs("faq.csv", end.join(["question,answer", "q,a", ""]).encode()) == [("q", "a")]

    def test_columns_may_come_in_any_order_and_others_are_passed_over(self) -> None:
        assert pairs("faq.csv", b"id,answer,owner,question\n7,Seven days,Mei,How long?\n") == [
            ("How long?", "Seven days")
        ]

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (b"question,price\nHow much?,299\n", "no_faq_header"),
            (b"answer\nSeven days\n", "no_faq_header"),
            ("问题,价格\n多少钱,299\n".encode(), "no_faq_header"),
            (b"question,answer\n", "empty"),
            (b"question,answer\n,\n,\n", "empty"),
            (b"\xef\xbb\xbf", "empty"),
            (b'question,answer\nq,"' + b"x" * 1_100_000 + b'"\n', "broken"),
        ],
    )
    def test_a_table_without_what_is_needed_says_so(self, data: bytes, code: str) -> None:
        assert refusal("faq.csv", data) == code

    def test_the_refusal_names_the_columns_it_found(self) -> None:
        with pytest.raises(Unreadable) as refused:
            extract("faq.csv", b"Question,Price\nHow much?,299\n")
        assert refused.value.detail == "question, price"


class TestWorkbooks:
    def test_every_sheet_with_a_faq_is_read_and_notes_beside_it_do_no_harm(self) -> None:
        book = openpyxl.Workbook()
        book.active.append(["Notes for the team"])
        for header, row in ((["question", "answer"], ["How long?", 7]), (["问题", "答案"], ["多久？", "七天"])):
            sheet = book.create_sheet()
            sheet.append(header)
            sheet.append(row)
        file = io.BytesIO()
        book.save(file)
        assert pairs("faq.xlsx", file.getvalue()) == [("How long?", "7"), ("多久？", "七天")]

    def test_a_workbook_without_an_answer_column_says_so(self) -> None:
        assert refusal("faq.xlsx", workbook(["question", "price"], ["How much?", 299])) == "no_faq_header"
        assert refusal("faq.xlsx", workbook()) in {"empty", "no_faq_header"}
        assert refusal("faq.xlsx", workbook(["question", "answer"])) == "empty"

    def test_a_cell_at_the_far_end_of_a_sheet_does_not_fill_the_memory(self) -> None:
        data = workbook(["question", "answer"], ["How long?", "Seven days."], XFD1048576="x")
        assert pairs("faq.xlsx", data) == [("How long?", "Seven days.")]

    @pytest.mark.parametrize("member", zipfile.ZipFile(io.BytesIO(BOOK)).namelist())
    @pytest.mark.parametrize("keep", [0.0, 0.5])
    def test_a_workbook_with_a_part_cut_off_is_read_or_called_broken(self, member: str, keep: float) -> None:
        data = with_member(BOOK, member, lambda content: content[: int(len(content) * keep)])
        try:
            assert pairs("faq.xlsx", data) == [("How long?", "Seven days.")]
        except Unreadable as refused:
            assert refused.code == "broken"  # noqa: PT017 either is right

    @pytest.mark.parametrize("name", ["xl/workbook.xml", "xl/worksheets/sheet1.xml"])
    def test_xml_that_is_none_is_called_broken(self, name: str) -> None:
        assert refusal("faq.xlsx", with_member(BOOK, name, lambda _: b"<nope")) == "broken"


class TestFilesThatLie:
    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("photo.csv", PNG),
            ("photo.md", PNG),
            ("photo.html", PNG),
            ("photo.xlsx", PNG),
            ("photo.jsonl", PNG),
            ("photo.jsonl.gz", PNG),
            ("archive.md", ZIP),
            ("archive.csv", ZIP),
            ("archive.jsonl", ZIP),
            ("page.xlsx", PAGE),
            ("old.csv", OLD_EXCEL),
            ("book.csv", BOOK),
            ("book.txt", BOOK),
            ("half.xlsx", BOOK[: len(BOOK) // 2]),
            ("paper.md", b"%PDF-1.7\nquestion,answer"),
            ("late.md", b"a" * 5_000 + b"\x00" + b"b"),
        ],
    )
    def test_a_file_that_is_not_what_its_name_says_is_refused(self, name: str, data: bytes) -> None:
        assert refusal(name, data) == "not_what_it_says"

    @pytest.mark.parametrize("name", ["a.txt", "a.md", "a.csv", "a.jsonl"])
    @pytest.mark.parametrize(
        "data",
        [
            b"\xff\xfe\x00\x01\x02\x03\x04\x05\x06\x07",
            b"\xff\xfe" + random.Random(3).randbytes(8),
            b"\xfe\xff" + random.Random(4).randbytes(400),
            bytes(range(1, 9)) * 4,
        ],
    )
    def test_bytes_that_are_no_text_are_refused_even_with_a_mark_of_utf_16(self, name: str, data: bytes) -> None:
        assert refusal(name, data) in {"not_what_it_says", "unknown_encoding"}

    @pytest.mark.parametrize(
        "text",
        ["Ünïcode – “quoted” text, 5 €", "退款需要七天。", "返品は７日以内です。「はい」", "Возврат — 7 дней", "🙂 ok"],
    )
    @pytest.mark.parametrize("encoding", ["utf-16", "utf-8"])
    def test_what_people_write_is_read(self, text: str, encoding: str) -> None:
        assert extract("a.txt", text.encode(encoding)).markdown == text

    def test_a_page_named_as_a_table_has_no_faq(self) -> None:
        assert refusal("page.csv", PAGE) == "no_faq_header"

    @pytest.mark.parametrize("name", ["a.md", "a.txt", "a.html", "a.csv", "a.tsv", "a.xlsx", "a.jsonl", "a.jsonl.gz"])
    @pytest.mark.parametrize("data", [b"", b" \r\n\t\n"])
    def test_an_empty_file_is_called_empty(self, name: str, data: bytes) -> None:
        assert refusal(name, data) == "empty"

    @pytest.mark.parametrize("name", ["a.csv", "a.md", "a.html", "a.jsonl", "a.jsonl.gz", "a.xlsx"])
    def test_chance_bytes_raise_nothing_but_a_refusal(self, name: str) -> None:
        dice = random.Random(name)
        for length in (1, 3, 40, 400) * 40:
            try:
                extract(name, dice.randbytes(length))
            except Unreadable as refused:
                assert refused.code in WORDS  # noqa: PT017 a few are readable text

    @pytest.mark.parametrize(
        ("name", "whole"),
        [("a.xlsx", BOOK), ("a.jsonl.gz", gzip.compress(b'{"question": "How?", "answer": "So."}\n' * 50))],
    )
    def test_a_packed_file_with_a_few_bytes_wrong_raises_nothing_but_a_refusal(self, name: str, whole: bytes) -> None:
        dice, codes = random.Random(7), set()
        for _ in range(300):
            try:
                extract(name, damaged(whole, dice))
            except Unreadable as refused:
                codes.add(refused.code)
        assert "broken" in codes
        assert codes <= set(WORDS)


class TestJsonLines:
    def test_one_answer_may_be_a_text_instead_of_a_list(self) -> None:
        assert extract("a.jsonl", b'{"question": "How?", "answers": "So."}').entries[0].answers == ("So.",)

    @pytest.mark.parametrize(
        "line",
        [
            b'{"question": "How?"}',
            b'{"question": "How?", "answers": 5}',
            b'{"title": "No text"}',
            b'["question"]',
            b'{"question": "How\\u0000?", "answer": "So."}',
            b'{"text": "half a pair: \\ud83d"}',
            b"[" * 100_000,
        ],
    )
    def test_a_line_that_cannot_be_kept_is_named_by_its_number(self, line: bytes) -> None:
        with pytest.raises(Unreadable) as refused:
            extract("a.jsonl", b'{"question": "How?", "answer": "So."}\n' + line)
        assert (refused.value.code, refused.value.detail) == ("broken", "line 2")

    def test_a_text_about_escapes_is_not_one(self) -> None:
        text = "Write \\u0000 for NUL and 😀 for a smile"
        line = json.dumps({"title": "Escapes", "text": text})
        assert extract("a.jsonl", line.encode()).parts[0].markdown.endswith(text)


class TestPublicUploads:
    """`security/uploads`: each file must be taken in as text or refused in words."""

    @pytest.fixture
    def uploads(self, data_folder: Path) -> list[tuple[dict[str, str], bytes]]:
        folder = data_folder / "security" / "uploads"
        rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
        return [(row, (folder / row["file"]).read_bytes()) for row in rows]

    def test_only_documents_are_taken_in_and_they_are_never_garbled(self, uploads) -> None:
        taken_in = {}
        for row, data in uploads:
            try:
                taken_in[row["file"].removeprefix("files/")] = extract(row["claimed_name"], data).markdown
            except Unreadable as refused:
                assert refused.code in WORDS  # noqa: PT017 see below for which
        assert taken_in.keys() == {
            *("ok_utf8.txt", "ok_gb18030.txt", "ok_utf16.txt", "html_as_txt.txt", "name_long.txt"),
            *("ok.docx", "ok.pdf", "js.pdf", "pages.pdf", "formula.csv"),
        }
        for name in ("ok_utf8.txt", "ok_gb18030.txt", "ok_utf16.txt", "ok.docx"):
            assert "签收后7天内可退货" in taken_in[name]
            assert "\ufeff" not in taken_in[name]

    @pytest.mark.django_db
    def test_under_any_name_they_end_as_a_document_read_or_failed_with_a_reason(
        self, uploads, workspace: Workspace
    ) -> None:
        shop = services.find_or_create_collection(workspace=workspace, name="shop")
        for row, data in uploads:
            document = services.add_file(collection=shop, name=row["claimed_name"], data=data)
            if document is None:
                continue  # the same bytes under the same name
            assert document.content_hash == hashlib.sha256(data).hexdigest()
            assert "\x00" not in document.source
            assert "/" not in document.title
        while leases.run_next({services.READ_JOB: HANDLERS[services.READ_JOB]}):
            pass
        documents = Document.objects.of(workspace)
        assert not documents.filter(status=Document.Status.QUEUED).exists()
        assert all(document.error in WORDS for document in documents.filter(status=Document.Status.FAILED))
        assert Chunk.objects.of(workspace).exists()
