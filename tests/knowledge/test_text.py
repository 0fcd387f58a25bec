"""Pure tests: how text is cut for search, weighed, split into chunks, and read from files."""

import csv
import gzip
import io
import json
import zipfile

import openpyxl
import pytest

from knowledge.ingest.chunk import TARGET, TARGET_CHINESE, chunk
from knowledge.ingest.found import MAX_BYTES, Unreadable
from knowledge.ingest.readers import read as extract
from knowledge.lexicon import Lexicon
from knowledge.segment import chinese_share, legs


class TestSegmenting:
    def test_chinese_is_cut_into_words_pairs_and_single_characters(self) -> None:
        cut = legs("我要申请退货")
        assert "退货" in cut.words
        assert cut.pairs == ["我要", "要申", "申请", "请退", "退货"]
        assert cut.singles == list("申退货"), "words that say nothing are left out"

    def test_english_is_stemmed_without_stop_words_in_every_leg(self) -> None:
        cut = legs("The refunds are taking days")
        assert cut.words == ["refund", "take", "day"]
        assert cut.pairs == cut.singles == cut.words

    def test_mixed_text_keeps_both(self) -> None:
        cut = legs("Gale 磨豆机的 warranty")
        assert {"gale", "warranti"} <= set(cut.words)
        assert "磨豆" in cut.pairs

    def test_width_and_case_do_not_matter(self) -> None:
        assert legs("ＧＡＬＥ　Ｃ４０") == legs("gale c40")

    def test_both_scripts_of_chinese_are_cut_alike(self) -> None:
        assert legs("請問退貨運費由誰負擔") == legs("请问退货运费由谁负担")
        assert "后" in legs("皇后").singles

    @pytest.mark.parametrize(
        ("part", "whole"),
        [("如何列印", "請先點選「列印」按鈕"), ("伺服器", "這台伺服器會重新啟動"), ("台北門市", "台北的門市在這裡"),
         ("領収書発行", "営業時間は10時からです。領収書の発行は"), ("寄到台灣", "寄到台湾要几天")],
    )  # fmt: skip
    def test_a_word_is_cut_the_same_wherever_it_stands(self, part: str, whole: str) -> None:
        assert set(legs(part).pairs) & set(legs(whole).pairs)
        assert len(set(legs(part).singles) - set(legs(whole).singles)) <= 1

    def test_an_empty_or_wordless_text_has_no_tokens(self) -> None:
        assert not any(legs(""))
        assert not any(legs("！？… 🙂"))

    def test_the_share_of_chinese(self) -> None:
        assert chinese_share("退货") == 1.0
        assert chinese_share("refund 退货") == pytest.approx(0.25)
        assert chinese_share("123") == 0.0


class TestWeighing:
    texts = ("退货政策：七天无理由退货", "运费由顾客承担", "Refunds take seven days", "Shipping is free above 299")

    @pytest.fixture
    def lexicon(self) -> Lexicon:
        return Lexicon.of([legs(text) for text in self.texts])

    def coverage(self, lexicon: Lexicon, question: str, text: str) -> float:
        asked, ceiling, _ = lexicon.weigh_question(legs(question))
        held = lexicon.weigh_chunk(legs(text))
        weights = dict(zip(held.indices, held.values, strict=True))
        score = sum(w * weights.get(i, 0.0) for i, w in zip(asked.indices, asked.values, strict=True))
        return score / ceiling if ceiling else 0.0

    def test_coverage_is_near_one_for_the_text_itself_and_zero_for_a_stranger(self, lexicon: Lexicon) -> None:
        assert self.coverage(lexicon, "运费由顾客承担", "运费由顾客承担") == pytest.approx(1.0, abs=0.25)
        assert self.coverage(lexicon, "完全无关", "Shipping is free above 299") == 0.0

    def test_words_the_knowledge_never_uses_lower_the_coverage(self, lexicon: Lexicon) -> None:
        known = self.coverage(lexicon, "refunds", "Refunds take seven days")
        assert self.coverage(lexicon, "refunds in antarctica", "Refunds take seven days") < 0.7 * known

    def test_it_survives_storage(self, lexicon: Lexicon) -> None:
        again = Lexicon.from_bytes(lexicon.to_bytes())
        assert again.weigh_question(legs("退货运费")) == lexicon.weigh_question(legs("退货运费"))
        assert again.weigh_chunk(legs("退货")) == lexicon.weigh_chunk(legs("退货"))

    def test_an_empty_question_asks_nothing(self, lexicon: Lexicon) -> None:
        sparse, ceiling, size = lexicon.weigh_question(legs("?"))
        assert (sparse.indices, ceiling, size) == ([], 0.0, 0.0)


class TestChunking:
    def test_chunks_follow_headings_and_know_their_path(self) -> None:
        pieces = chunk("# Returns\n\nSeven days.\n\n## Postage\n\nWe pay.\n\n# Care\n\nUse a brush.")
        assert [(piece.heading, piece.text) for piece in pieces] == [
            ("Returns", "Seven days."),
            ("Returns › Postage", "We pay."),
            ("Care", "Use a brush."),
        ]

    def test_short_blocks_under_one_heading_are_packed_together(self) -> None:
        assert [piece.text for piece in chunk("# A\n\none\n\ntwo\n\nthree")] == ["one\n\ntwo\n\nthree"]

    @pytest.mark.parametrize(
        ("sentence", "limit"), [("This is a sentence. ", TARGET), ("这是一个句子。", TARGET_CHINESE)]
    )
    def test_long_text_is_cut_at_sentences_and_loses_nothing(self, sentence: str, limit: int) -> None:
        text = sentence * 400
        pieces = chunk(text)
        assert len(pieces) > 3
        assert all(len(piece.text) <= limit for piece in pieces)
        assert all(piece.text.endswith((".", "。")) for piece in pieces)
        assert sum(piece.text.count(sentence.strip()) for piece in pieces) == 400

    def test_a_sentence_without_an_end_is_cut_anyway(self) -> None:
        pieces = chunk("长" * 2_000)
        assert "".join(piece.text for piece in pieces) == "长" * 2_000

    def test_a_long_table_is_cut_between_rows_and_keeps_its_header(self) -> None:
        table = "| product | warranty |\n|---|---|\n" + "".join(
            f"| grinder {n} | {n} years of care |\n" for n in range(100)
        )
        pieces = chunk(f"# Warranty\n\n{table}")
        assert len(pieces) > 2
        assert all(piece.text.startswith("| product | warranty |") for piece in pieces)
        assert sum(piece.text.count("years of care") for piece in pieces) == 100

    def test_code_is_not_mistaken_for_headings(self) -> None:
        pieces = chunk("# Setup\n\n```\n# not a heading\nrun\n```")
        assert [piece.heading for piece in pieces] == ["Setup"]
        assert "# not a heading" in pieces[0].text


def faq_csv(rows: list[list[str]], encoding: str = "utf-8") -> bytes:
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    return file.getvalue().encode(encoding)


def xlsx(rows: list[list[object]]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


class TestExtracting:
    def test_markdown_is_named_by_its_first_heading(self) -> None:
        found = extract("policy.md", b"# Returns policy\n\nSeven days.")
        assert (found.title, found.media_type) == ("Returns policy", "text/markdown")

    def test_html_keeps_the_article_and_drops_what_surrounds_it(self) -> None:
        page = (
            "<html><head><title>Returns</title><script>track()</script></head><body><nav>Home Shop Cart</nav><article>"
            "<h1>Returns</h1><p>You can return an unused grinder within seven days of delivery, in its box.</p>"
            "<h2>Postage</h2><p>We pay the postage when the goods are faulty. Otherwise the customer pays it.</p>"
            "</article><footer>Imprint</footer></body></html>"
        )
        found = extract("returns.html", page.encode())
        assert "seven days of delivery" in found.markdown
        assert "We pay the postage" in found.markdown
        assert "track()" not in found.markdown

    @pytest.mark.parametrize(
        "header", [["question", "answer"], ["Question ", "ANSWER"], ["问题", "答案"], ["标准问题", "回答"]]
    )
    def test_a_faq_table_is_known_by_its_header_in_either_language(self, header: list[str]) -> None:
        found = extract("faq.csv", faq_csv([header, ["How long?", "Seven days."], ["", "lost"], ["lost", ""]]))
        assert [(entry.question, entry.answers) for entry in found.entries] == [("How long?", ("Seven days.",))]

    def test_several_phrasings_share_an_answer(self) -> None:
        rows = [["问题", "相似问法", "答案"], ["多久退款", "退款要几天 | 钱什么时候退\n退款时效", "七天。"]]
        entry = extract("faq.csv", faq_csv(rows)).entries[0]
        assert entry.phrasings == ("退款要几天", "钱什么时候退", "退款时效")

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
    def test_chinese_files_in_any_usual_encoding_are_read(self, encoding: str) -> None:
        rows = [["问题", "答案"], ["你们几点上班？", "我们每天上午九点到晚上六点提供人工服务，节假日除外。"]]
        entry = extract("faq.csv", faq_csv(rows, encoding)).entries[0]
        assert entry.question == "你们几点上班？"

    def test_semicolons_and_tabs_separate_too(self) -> None:
        assert extract("faq.csv", b"question;answer\nHow long?;Seven, at most\n").entries[0].answers == (
            "Seven, at most",
        )
        assert extract("faq.tsv", b"question\tanswer\nHow long?\tSeven\n").entries[0].answers == ("Seven",)

    def test_a_spreadsheet_with_numbers_and_a_sheet_of_notes(self) -> None:
        found = extract("faq.xlsx", xlsx([["问题", "答案"], ["多少钱", 299], [None, None]]))
        assert found.entries[0].answers == ("299",)

    def test_a_corpus_of_json_lines(self) -> None:
        lines = [{"id": 1, "question": "How?", "answers": ["So.", "Or so."]}, {"id": 2, "title": "T", "text": "Body."}]
        data = "\n".join(map(json.dumps, lines)).encode()
        for name, content in (("c.jsonl", data), ("c.jsonl.gz", gzip.compress(data))):
            found = extract(name, content)
            assert found.entries[0].answers == ("So.", "Or so.")
            assert found.parts[0].markdown == "# T\n\nBody."

    @pytest.mark.parametrize(
        ("name", "data", "code"),
        [
            ("photo.png", b"\x89PNG", "unsupported_type"),
            ("noextension", b"text", "unsupported_type"),
            ("empty.md", b"", "empty"),
            ("blank.txt", b" \n\t ", "empty"),
            ("tags.html", b"<html><body></body></html>", "empty"),
            ("binary.txt", b"ab\x00\x01\x02", "not_what_it_says"),
            ("report.txt", b"%PDF-1.7 ...", "not_what_it_says"),
            ("page.html", b"just words", "not_what_it_says"),
            ("table.xlsx", b"question,answer\na,b", "not_what_it_says"),
            ("corpus.jsonl.gz", b"{}", "not_what_it_says"),
            ("table.csv", b"question,price\na,b", "no_faq_header"),
            ("lines.jsonl", b'{"id": 1, "text": "ok"}\nnot json', "broken"),
            ("lines.jsonl", b'[1, 2]\n', "broken"),
            ("large.txt", b"a" * (MAX_BYTES + 1), "too_large"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_read_is_refused_with_a_reason(self, name: str, data: bytes, code: str) -> None:
        with pytest.raises(Unreadable) as refused:
            extract(name, data)
        assert refused.value.code == code

    def test_a_zip_that_is_no_spreadsheet_and_one_that_would_explode(self) -> None:
        def zipped(**members: bytes) -> bytes:
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, content in members.items():
                    archive.writestr(name.replace("_", "/") + ".xml", content)
            return file.getvalue()

        for data, code in (
            (zipped(word_document=b"x"), "not_what_it_says"),
            (zipped(xl_workbook=b"0" * 250_000_000), "too_large"),
        ):
            with pytest.raises(Unreadable) as refused:
                extract("faq.xlsx", data)
            assert refused.value.code == code
