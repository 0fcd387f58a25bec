"""The readers without a network: however a stream is cut they say the same, and no bytes whatever make them crash."""

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatbot.llm.chat import ChatReader
from chatbot.llm.errors import ModelCallFailed
from chatbot.llm.gateway import GatewayReader
from chatbot.llm.reading import Answer, Reader
from chatbot.llm.simulator.wording import (
    KEEP_ALIVE,
    ChatWording,
    GatewayLinesWording,
    GatewayWording,
    Wording,
    event,
    written,
)
from chatbot.turn.values import Finished, ModelEvent, Reasoning, Text, ToolCall

EXAMPLES = settings(max_examples=150, deadline=None)
OFFERED = frozenset({"find_order"})


def chat(content_type: str = "text/event-stream") -> Reader:
    return ChatReader(Answer("m", "", OFFERED), whole="json" in content_type)


def gateway(content_type: str = "text/event-stream") -> Reader:
    return GatewayReader(Answer("m", "", frozenset()), content_type)


def read(reader: Reader, pieces: Sequence[bytes]) -> tuple[list[ModelEvent], str]:
    """What was given, neighbouring texts joined, and the failure that ended it, if one did."""
    events: list[ModelEvent] = []
    failure = ""
    try:
        for piece in pieces:
            _take(reader.feed(piece), events)
            if reader.done:
                break
        _take(reader.end(), events)
    except ModelCallFailed as problem:
        failure = problem.code
    return events, failure


def _take(new: Iterable[ModelEvent], events: list[ModelEvent]) -> None:
    """One by one, so that what comes before a failure stands; a text is joined to the one before it."""
    for each in new:
        if isinstance(each, Text) and events and isinstance(events[-1], Text):
            events[-1] = Text(events[-1].text + each.text)
        else:
            events.append(each)


# --- streams that are whole ----------------------------------------------------------------------------------------------
pieces_of_text = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=8)
line_ends = st.sampled_from([b"\n", b"\r\n", b"\r"])


@st.composite
def chat_streams(draw: st.DrawFn) -> bytes:
    """Text, reasoning and a fragmented tool call, with keep-alives between and usage where it may stand."""
    w = ChatWording()
    events = [w.chunk("", role="assistant")]
    events += [w.chunk(None, reasoning_content=piece) for piece in draw(st.lists(st.text(min_size=1), max_size=3))]
    events += [w.piece(piece) for piece in draw(pieces_of_text)]
    arguments = json.dumps({"order": draw(st.text(max_size=8))})
    cut = draw(st.integers(0, len(arguments)))
    if draw(st.booleans()):
        name = {"index": 0, "id": "call_1", "function": {"name": "find_order", "arguments": arguments[:cut]}}
        rest = {"index": 0, "function": {"arguments": arguments[cut:]}}
        events += [w.chunk(None, tool_calls=[name]), w.chunk(None, tool_calls=[rest]), w.finish("tool_calls")]
    else:
        events.append(w.finish("stop"))
    events.append(w.usage_alone({"prompt_tokens": 5, "completion_tokens": 3}))
    events.append(w.done)
    woven = [part for each in events for part in ((KEEP_ALIVE, each) if draw(st.booleans()) else (each,))]
    return b"".join(woven).replace(b"\n", draw(line_ends)) + b"\n"


@st.composite
def gateway_streams(draw: st.DrawFn, wording: Wording) -> bytes:
    events = [wording.piece(piece) for piece in draw(pieces_of_text)]
    return b"".join([*events, wording.finish("stop", {"prompt_tokens": 5, "completion_tokens": 3}), wording.done])


def cuts_of(draw: Callable[[st.SearchStrategy[list[int]]], list[int]], stream: bytes) -> list[bytes]:
    at = sorted({0, len(stream), *draw(st.lists(st.integers(0, len(stream)), max_size=20))})
    return [stream[begin:end] for begin, end in pairwise(at)]


@EXAMPLES
@given(st.data())
def test_a_chat_stream_says_the_same_however_it_is_cut(data: st.DataObject) -> None:
    stream = data.draw(chat_streams())
    whole, failure = read(chat(), [stream])
    assert read(chat(), cuts_of(data.draw, stream)) == (whole, failure)
    assert read(chat(), [stream[at : at + 1] for at in range(len(stream))]) == (whole, failure)


@EXAMPLES
@given(st.data(), st.sampled_from(["text/event-stream", ""]))
def test_a_gateway_s_events_say_the_same_however_they_are_cut(data: st.DataObject, content_type: str) -> None:
    stream = data.draw(gateway_streams(GatewayWording()))
    whole = read(gateway(content_type), [stream])
    assert read(gateway(content_type), cuts_of(data.draw, stream)) == whole
    assert read(gateway(content_type), [stream[at : at + 1] for at in range(len(stream))]) == whole


@EXAMPLES
@given(st.data(), st.sampled_from(["application/x-ndjson", "application/json", ""]))
def test_a_gateway_s_lines_say_the_same_however_they_are_cut(data: st.DataObject, content_type: str) -> None:
    stream = data.draw(gateway_streams(GatewayLinesWording()))
    if content_type == "application/json":
        stream = stream.split(b"\n")[0]
    whole = read(gateway(content_type), [stream])
    assert read(gateway(content_type), cuts_of(data.draw, stream)) == whole


@EXAMPLES
@given(st.data(), pieces_of_text)
def test_a_gateway_s_raw_text_says_the_same_however_it_is_cut(data: st.DataObject, pieces: list[str]) -> None:
    stream = ("The answer: " + "".join(pieces)).encode()
    whole = read(gateway("text/plain"), [stream])
    assert read(gateway("text/plain"), cuts_of(data.draw, stream)) == whole


# --- what is no stream at all --------------------------------------------------------------------------------------------
FIELDS = [
    *(
        "choices",
        "delta",
        "content",
        "text",
        "usage",
        "error",
        "message",
        "index",
        "finish_reason",
        "tool_calls",
        "function",
    ),
    *("name", "arguments", "prompt_tokens", "model", "code", "done", "output", "result", "reasoning_content"),
]
FRAGMENTS = [b"data: [DONE]\n\n", b"data:", b'data: {"', b"\r", b"\n\n", b"\xef\xbb\xbf", b"\xed\xa0\xbd", b"[" * 3000]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)
nearly_events = st.builds(lambda value: b"data: " + json.dumps(value).encode() + b"\n\n", json_values)
nearly_lines = st.builds(lambda value: json.dumps(value).encode() + b"\n", json_values)
nearly_chunks = st.builds(lambda delta: event({"choices": [{"delta": delta}]}), json_values)
garbage = st.lists(
    st.binary(max_size=40) | nearly_events | nearly_lines | nearly_chunks | st.sampled_from(FRAGMENTS), max_size=12
)
content_types = st.sampled_from(
    ["text/event-stream", "application/x-ndjson", "application/json", "text/plain", "text/html", ""]
)


@settings(max_examples=500, deadline=None)
@given(garbage, content_types, st.sampled_from([chat, gateway]))
def test_no_bytes_whatever_make_a_reader_crash(
    pieces: list[bytes], content_type: str, make: Callable[[str], Reader]
) -> None:
    events, failure = read(make(content_type), pieces)
    assert failure or isinstance(events[-1], Finished)
    for each in events:
        if isinstance(each, Text | Reasoning):
            each.text.encode()  # no half characters
        assert not isinstance(each, ToolCall) or each.name in OFFERED


@pytest.mark.parametrize("make", [chat, gateway])
def test_a_number_beyond_all_numbers_is_no_count(make: Callable[[str], Reader]) -> None:
    for count in ("1e999", "-1e999", "NaN", "1" * 400, '"7"', "null", "[]"):
        usage = b'data: {"choices": [], "usage": {"prompt_tokens": %s}}\n\n' % count.encode()
        reader = make("text/event-stream")
        read(reader, [usage, written({})])
        assert reader.answer.usage is None or 0 <= reader.answer.usage.prompt <= 100_000_000


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_whole_answer_may_begin_with_a_mark_of_its_encoding(encoding: str) -> None:
    body = {"model": "m", "choices": [{"message": {"content": "退款 seven days"}, "finish_reason": "stop"}]}
    events, failure = read(chat("application/json"), [json.dumps(body, ensure_ascii=False).encode(encoding)])
    assert (Text("退款 seven days") in events, failure) == (True, "")


def test_half_a_character_in_a_stream_costs_that_character() -> None:
    chunk = ChatWording().chunk("seven days")
    events, failure = read(chat(), [chunk.replace(b"seven", b"sev\xe9n"), ChatWording().chunk(finish="stop")])
    assert (Text("sev\ufffdn days") in events, failure) == (True, "")
