"""An answer's Markdown on its way to the widget: whatever a document or a model says, nothing in it runs or loads."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot import markdown
from chatbot.markdown import closed_blocks, render, render_cut
from tests.attacks import ATTACKS

TAGS = {
    "p", "br", "strong", "em", "s", "code", "pre", "ul", "ol", "li", "blockquote", "a",
    "table", "thead", "tbody", "tr", "th", "td", "hr", "h3", "h4", "h5", "h6",
}  # fmt: skip
ATTRIBUTES = {"href", "rel", "target", "start", "align", "title"}


class Reader(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in TAGS:
            self.found.append(tag)
        for name, value in attrs:
            if name not in ATTRIBUTES:
                self.found.append(name)
            if name == "href" and not (value or "").lower().startswith(("http://", "https://", "mailto:", "tel:")):
                self.found.append(value or "")
        if tag == "a" and ("rel", "noopener noreferrer nofollow") not in attrs:
            self.found.append("a link without rel")

    def handle_comment(self, data: str) -> None:
        self.found.append(data)


def test_there_are_enough_of_them() -> None:
    assert len(set(ATTACKS)) >= 60


@pytest.mark.parametrize("text", ATTACKS)
def test_nothing_that_runs_or_loads_is_left(text: str) -> None:
    for html in (render(text), render_cut(text), "".join(html for _, html in closed_blocks(f"{text}\n\nend\n\n"))):
        assert Reader(html).found == []


@pytest.mark.parametrize("text", ATTACKS)
def test_nor_when_it_is_cut_anywhere(text: str) -> None:
    for at in range(1, len(text)):
        assert Reader(render_cut(text[:at])).found == []


PROSE = """Refunds take five days. 退款 需要 [1] [2](x) [3]: - 1. > # = === + * _a_ `b` @me a@b.cd x.yz :// "so" it's “q” ( ) & ~
| {x} $5 €5 ^ % \u00a0 \u200b \u2028 \x0b \t"""
STRESSED = [
    "**bold**",
    "*so*",
    "*(so)*",
    "**two words**",
    "*a b*,",
    "**a**b",
    "**",
    "*",
    "***",
    "**a*",
    "*a**",
    "**退款**",
    "**a**。",
    "**a**,*b*",
]
WORDS = st.sampled_from([*re.split("[ \n]", PROSE), *STRESSED])


@given(st.lists(st.tuples(WORDS, st.sampled_from(["", " ", " ", "  ", "\n", "\n\n"])), max_size=12))
def test_plain_prose_is_rendered_as_the_parser_would(words: list[tuple[str, str]]) -> None:
    text = "".join(word + gap for word, gap in words)
    parser = markdown._parser(links=markdown._MAY_LINK.search(text) is not None)
    assert markdown._render.__wrapped__(text) == markdown._clean(parser.render(text))


@given(st.lists(st.tuples(WORDS, st.sampled_from(["", " ", "  ", "\n", "\n", "\n\n", "\n\n\n", "\r\n"])), max_size=12))
def test_paragraphs_begin_where_the_parser_says(words: list[tuple[str, str]]) -> None:
    text = "".join(word + gap for word, gap in words)
    tokens = markdown._parser(blocks_only=True).parse(text)
    starts = [token.map[0] for token in tokens if token.level == 0 and token.nesting >= 0 and token.map]
    ends = [end.end() for end in markdown._NEWLINE.finditer(text)]
    assert markdown._later_blocks(text) == [ends[start - 1] for start in starts[1:]]


def test_most_prose_needs_no_parser() -> None:
    assert markdown._PROSE.fullmatch("They take **five days**, *not more*.")
    assert markdown._PARAGRAPHS.fullmatch("They take **five** days, `so` [1].\nSale, too.\n\nAnd (more) of it.\n")
    assert markdown._PROSE.fullmatch("Refunds take five working days [1].\n“Sale” items too.\n\n")
    assert markdown._PROSE.fullmatch("退款需要五个工作日。[2]")
