"""Markdown to safe HTML, whole or block by block while it is still being written."""

import html as html_entities
import re
from functools import lru_cache
from itertools import pairwise

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

_TAGS = {
    "p", "br", "strong", "em", "s", "code", "pre", "ul", "ol", "li", "blockquote", "a",
    "table", "thead", "tbody", "tr", "th", "td", "hr", "h3", "h4", "h5", "h6",
}  # fmt: skip
_ATTRIBUTES = {"a": {"href"}, "ol": {"start"}, "th": {"align"}, "td": {"align"}}
_SCHEMES = {"http", "https", "mailto", "tel"}
_MAY_LINK = re.compile(
    r"@(?<=\w@)\w|\.\w|:\w|//"
)  # in nothing else does the search for addresses, which costs most, find one
_WORD = r"[^\s`*_~\[\]<>&\\|]++"
_STRESSED = rf"(?<![^ \n])(?:\*\*{_WORD}(?: {_WORD})*+\*\*|\*{_WORD}(?: {_WORD})*+\*)(?=[\s.,;:!?)。，；：！？）]|\Z)"
_PROSE_LINE = (
    rf"""(?=[^\W\d_]|["'“”‘’(（《「『【¿¡@$€£¥]|\*\*?[^\s*])"""
    rf"""(?:{_WORD}|[ ](?![ \n])|\[\d{{1,3}}\](?![(:\[])|{_STRESSED})++"""
)
_PROSE = re.compile(
    rf"{_PROSE_LINE}(?:\n{_PROSE_LINE})*+\n*"
)  # a paragraph of words, citation marks and simple stress alone
_STRONG, _EMPHASIS = re.compile(r"\*\*([^*]+)\*\*"), re.compile(r"\*([^*]+)\*")
_PLAIN_LINE = r"""(?=[^\W\d_]|["'“”‘’(（《「『【¿¡@$€£¥])[^|\r\n]++\n"""
_PARAGRAPHS = re.compile(
    rf"(?:(?:{_PLAIN_LINE})++\n*+)++"
)  # whatever is in their lines: no other block begins like these
_NEXT_PARAGRAPH = re.compile(r"\n\n+")
_NEWLINE = re.compile(r"\r\n|\r|\n")  # what the parser counts as one; U+2028 and the like are none
_HEADINGS = {"h1": "h3", "h2": "h4", "h3": "h5", "h4": "h6", "h5": "h6", "h6": "h6"}


def render(text: str) -> str:
    """A whole text as HTML with no script, style, image or foreign attribute in it.

    Block by block, for most of them were rendered before, when they closed, and rendering costs as much as all the rest of
    an answer. Only link definitions reach from one block to another.
    """
    if "]:" in text:
        return _render(text)
    begins = [0, *_later_blocks(text), len(text)]
    return "".join(_render(text[begin:end]) for begin, end in pairwise(begins))


def render_cut(text: str) -> str:
    """As `render`, for a text that ends in mid-sentence: what was opened there is closed."""
    if len(re.findall(r"^```", text, re.MULTILINE)) % 2:
        return render(f"{text}\n```")
    last = text.rsplit("\n\n", 1)[-1]
    for mark in ("`", "**", "~~"):
        if last.count(mark) % 2:
            text = text[: -len(mark)] if text.endswith(mark) else text.rstrip() + mark
    return render(re.sub(r"\[[^\]\n]*(?:\]\([^)\n]*)?$", "", text))


def closed_blocks(text: str) -> list[tuple[int, str]]:
    """The top-level blocks of `text` that nothing appended can change: where each ends, in characters, and its HTML.

    The last one is always open, for the next line may still belong to it, and an unfinished line tells nothing. So the
    same text has the same blocks in whatever pieces it came.
    """
    ends = _later_blocks(text[: text.rfind("\n") + 1])
    return [(end, _render(text[begin:end])) for begin, end in pairwise([0, *ends])]


def _later_blocks(text: str) -> list[int]:
    """Where the top-level blocks of a text begin, in characters, after the first."""
    if "\n" not in text:
        return []
    if _PARAGRAPHS.fullmatch(text if text.endswith("\n") else f"{text}\n"):
        return [begin.end() for begin in _NEXT_PARAGRAPH.finditer(text) if begin.end() < len(text)]
    line_ends = [end.end() for end in _NEWLINE.finditer(text)]
    tokens = _parser(blocks_only=True).parse(text)
    starts = [token.map[0] for token in tokens if token.level == 0 and token.nesting >= 0 and token.map]
    return [line_ends[start - 1] for start in starts[1:]]


@lru_cache(maxsize=1024)
def _render(text: str) -> str:
    if not _MAY_LINK.search(text) and _PROSE.fullmatch(text):  # nothing to parse
        text = text.rstrip().replace("\n", "<br>\n")
        if "*" in text:
            text = _EMPHASIS.sub(r"<em>\1</em>", _STRONG.sub(r"<strong>\1</strong>", text))
        return f"<p>{text}</p>\n"
    return _clean(_parser(links=_MAY_LINK.search(text) is not None).render(text))


def _clean(html: str) -> str:
    return nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer nofollow",
        strip_comments=True,
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


@lru_cache(maxsize=3)
def _parser(*, blocks_only: bool = False, links: bool = True) -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": True, "breaks": True})
    parser.enable(["table", "strikethrough", "linkify"]).disable("image")
    if not links:
        parser.disable("linkify")
    if blocks_only:
        parser.core.ruler.enableOnly(["normalize", "block"])
    else:
        parser.core.ruler.push("smaller_headings", _smaller_headings)
    return parser


def _smaller_headings(state: "object") -> None:
    """An answer's headings stand under those of the page."""
    tokens: list[Token] = state.tokens  # type: ignore[attr-defined]
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = _HEADINGS[token.tag]


_MARK = re.compile(r"\s?\[(\d{1,3})\]")


def plain(text: str) -> str:
    """The words alone, for places that show no Markdown: previews, notifications, platforms."""
    html = render(_MARK.sub("", text))
    words = re.sub(r"<(?:br|/p|/li|/tr|/h\d)[^>]*>", "\n", html)
    return re.sub(r"\n{3,}", "\n\n", html_entities.unescape(nh3.clean(words, tags=set()))).strip()
