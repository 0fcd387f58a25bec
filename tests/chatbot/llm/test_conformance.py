"""The contract of every dialect: the same bytes, whoever writes them, give the same events, failures and times."""

import asyncio
import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest

from chatbot.llm import errors
from chatbot.llm.errors import ModelCallFailed
from chatbot.llm.request import request_for
from chatbot.llm.simulator.faults import FAULTS
from chatbot.llm.simulator.script import Cut, Script
from chatbot.llm.simulator.wording import KEEP_ALIVE, USAGE, Wording, answer, error
from chatbot.turn.values import Finished, Started, Text, Usage
from tests.chatbot.llm.conftest import PROMPT, Line, text
from tests.environment import free_port


def said(line: Line, *texts: str, **more: Any) -> Script:
    return answer(list(texts), wording=line.wording, **more)


def body_of(script: Script) -> bytes:
    return b"".join(step for step in script.body if isinstance(step, bytes))


def is_sse(line: Line) -> bool:
    return line.wording.content_type == "text/event-stream"


# --- what goes well ----------------------------------------------------------------------------------------------------
def test_an_answer_with_its_usage_and_finish(line: Line) -> None:
    events = line.ask(said(line, "您好", "，有什么可以帮您？"))
    assert events == [
        Started("deepseek-flash" if line.is_chat else "deepseek-zh-7b", "generated"),
        Text("您好，有什么可以帮您？"),  # they came together
        Usage(prompt=120, completion=2, cached=64),
        Finished("stop"),
    ]


def test_keep_alives_are_not_answers(line: Line) -> None:
    alive = KEEP_ALIVE if is_sse(line) else b"\n"
    assert text(line.ask(line.script(alive, 0.05, alive, b"\n", *said(line, "ok").body))) == "ok"


def test_text_is_whole_however_its_bytes_are_cut(line: Line) -> None:
    stream = body_of(said(line, "价格：￥299 🙂", "，包邮。"))
    one_by_one = line.script(*(stream[at : at + 1] for at in range(len(stream))))
    assert text(line.ask(one_by_one)) == "价格：￥299 🙂，包邮。"


@pytest.mark.parametrize("strange", ["\u2028", "\u2029", "\u0085"])
def test_only_line_ends_end_lines(line: Line, strange: str) -> None:
    assert text(line.ask(said(line, f"first{strange}second"))) == f"first{strange}second"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_of_the_standard_is_understood(line: Line, end: bytes) -> None:
    if not is_sse(line) and end == b"\r":
        return  # JSON lines end with LF
    assert text(line.ask(line.script(body_of(said(line, "one", " two")).replace(b"\n", end), end))) == "one two"


def test_usage_in_a_chunk_of_its_own_and_after_the_finish_is_read(line: Line) -> None:
    w = line.wording
    late = w.usage_alone({"prompt_tokens": 9, "completion_tokens": 3})
    events = line.ask(line.script(w.piece("hi"), w.finish("stop"), late, w.done))
    assert Usage(9, 3) in events
    assert events[-1] == Finished("stop")


def test_a_late_chunk_does_not_undo_the_finish_reason(line: Line) -> None:
    w = line.wording
    events = line.ask(line.script(w.piece("hi"), w.finish("length"), w.piece(""), w.done))
    assert events[-1] == Finished("length")


def test_nothing_is_shown_after_the_finish_reason(line: Line) -> None:
    w = line.wording
    assert text(line.ask(line.script(w.piece("hi"), w.finish("stop"), w.piece(" more"), w.done))) == "hi"


def test_a_server_that_does_not_stream_is_understood_with_blank_lines_before_its_body(line: Line) -> None:
    whole = line.wording.whole("All at once.", "stop", USAGE)
    events = line.ask(Script((b"\n", 0.05, b"\n\n", whole), 200, {"content-type": "application/json; charset=utf-8"}))
    assert text(events) == "All at once."
    assert events[-2:] == [Usage(120, 2, 64), Finished("stop")]


@pytest.mark.parametrize("finish", ["stop", "length", "content_filter", "a_reason_of_2027"])
def test_finish_reasons_are_told_as_they_are(line: Line, finish: str) -> None:
    assert line.ask(said(line, "some", finish=finish))[-1] == Finished(finish)


def test_without_a_count_the_tokens_are_estimated_and_said_to_be(line: Line) -> None:
    w = line.wording
    events = line.ask(line.script(w.piece("four words in here"), w.finish("stop"), w.done))
    (usage,) = [event for event in events if isinstance(event, Usage)]
    assert usage.estimated
    assert usage.prompt > 5
    assert 4 <= usage.completion <= 10


def test_control_characters_and_halves_of_characters_never_reach_anybody(line: Line) -> None:
    events = line.ask(said(line, "a\x00b\x1b[31m\ud83d", "\ude00!\ud83d"))
    assert text(events) == "ab[31m😀!"


# --- what goes wrong ---------------------------------------------------------------------------------------------------
def test_429_is_waited_out_as_long_as_the_server_asks(line: Line) -> None:
    began = time.monotonic()
    assert text(line.ask(error(429, "Rate limit reached", retry_after="1"), said(line, "ok"))) == "ok"
    assert 1.0 <= time.monotonic() - began < 3.0
    assert len(line.simulator.seen) == 2
    assert line.calls[-1].tries == 2


@pytest.mark.parametrize("status", [500, 502, 503, 504, 529, 408])
def test_a_server_error_is_tried_again_and_then_given_up(line: Line, status: int) -> None:
    assert text(line.ask(error(status, "overloaded"), said(line, "ok"))) == "ok"
    assert line.fails(*[error(status, "overloaded")] * 3).failure is errors.SERVER
    assert len(line.simulator.seen) == 5


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (error(402, "Insufficient Balance"), errors.QUOTA),
        (error(429, "You exceeded your current quota"), errors.QUOTA),
        (error(400, "Content Exists Risk"), errors.CONTENT_RISK),
        (error(400, "This model's maximum context length is 8 tokens. However, you requested 9"), errors.CONTEXT_TOO_LONG),
        (error(413, "too large"), errors.CONTEXT_TOO_LONG),
        (error(400, "Failed to deserialize the JSON body"), errors.BAD_REQUEST),
        (error(422, "bad"), errors.BAD_REQUEST),
        (Script((b'{"detail": "bad"}',), 400, {}), errors.BAD_REQUEST),
        (Script((b'{"code": 1, "message": "Content Exists Risk"}',), 400, {}), errors.CONTENT_RISK),
        (Script((b"<html>nginx</html>",), 404, {"content-type": "text/html"}), errors.BAD_REQUEST),
        (Script((b"",), 302, {"location": "http://127.0.0.1:9/"}), errors.BAD_REQUEST),
        (error(429, "slow down", retry_after="86400"), errors.RATE_LIMITED),
        (error(429, "slow down", retry_after="Fri, 31 Dec 2100 23:59:59 GMT"), errors.RATE_LIMITED),
    ],
)  # fmt: skip
def test_what_asking_again_cannot_mend_is_asked_once(line: Line, script: Script, expected: errors.Failure) -> None:
    assert line.fails(script).failure is expected
    assert len(line.simulator.seen) == 1


@pytest.mark.parametrize("nonsense", ["soon", "nan", "-5", ""])
def test_a_retry_after_that_says_nothing_leaves_our_own_pause(line: Line, nonsense: str) -> None:
    assert text(line.ask(error(429, "slow down", retry_after=nonsense), said(line, "ok"))) == "ok"


def test_a_wrong_credential_is_an_auth_failure_and_stands_in_no_message(line: Line) -> None:
    problem = line.fails(key="sk-wrong-secret", client_secret="a-wrong-secret-of-thirty-two-bytes!")
    assert problem.failure is errors.AUTH
    assert "secret" not in str(problem)
    assert "secret" not in repr(line.provider().profile)


def test_nobody_listening_is_a_transport_failure(line: Line) -> None:
    assert line.fails(base_url=f"http://127.0.0.1:{free_port()}", total_s=2).failure is errors.TRANSPORT


@pytest.mark.parametrize("address", ["http://", "not an address", "ftp://127.0.0.1/"])
def test_an_address_that_is_none_is_a_failure_like_any_other(line: Line, address: str) -> None:
    assert line.fails(base_url=address, total_s=2).failure in {errors.BAD_REQUEST, errors.TRANSPORT}


def test_a_cut_before_any_text_is_tried_again(line: Line) -> None:
    assert text(line.ask(line.script(b"\n", Cut()), said(line, "ok"))) == "ok"
    assert len(line.simulator.seen) == 2


def test_a_cut_after_some_text_is_a_failure_and_is_not_tried_again(line: Line) -> None:
    problem = line.fails(line.script(line.wording.piece("Refunds take "), Cut()))
    assert problem.failure in {errors.TRANSPORT, errors.TRUNCATED}
    assert len(line.simulator.seen) == 1
    (call,) = line.calls
    assert call.usage is not None
    assert call.usage.estimated, "what was cut off was paid for all the same"


def test_an_end_without_finish_or_done_is_a_cut(line: Line) -> None:
    script = line.script(line.wording.piece("Refunds take "))
    if is_sse(line):
        assert line.fails(script).failure is errors.TRUNCATED
    else:
        assert text(line.ask(script)) == "Refunds take "  # there the body's end is the end


def test_the_end_may_be_told_by_done_or_by_a_finish_reason_alone(line: Line) -> None:
    w = line.wording
    assert text(line.ask(line.script(w.piece("ok"), w.done))) == "ok"
    assert text(line.ask(line.script(w.piece("ok"), w.finish("stop")))) == "ok"


@pytest.mark.parametrize("finish", ["insufficient_system_resource", "aborted"])
def test_an_interrupted_inference_is_tried_again_only_while_nothing_was_said(line: Line, finish: str) -> None:
    w = line.wording
    assert text(line.ask(line.script(w.finish(finish), w.done), said(line, "ok"))) == "ok"
    assert line.fails(line.script(w.piece("half"), w.finish(finish), w.done)).failure is errors.SERVER


def test_saying_nothing_is_a_failure_after_three_tries(line: Line) -> None:
    w = line.wording
    assert line.fails(*[line.script(w.finish("stop"), w.done)] * 3).failure is errors.EMPTY
    assert len(line.simulator.seen) == 3


@pytest.mark.parametrize("garbage", ["not json", "[1]", '{"a": '])
def test_garbage_in_the_stream_is_a_failure_after_the_text_before_it(line: Line, garbage: str) -> None:
    raw = f"data: {garbage}\n\n" if is_sse(line) else f"{garbage}\n"
    assert line.fails(line.script(line.wording.piece("half"), raw.encode())).failure is errors.MALFORMED


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("upstream error", errors.SERVER),
        ("Insufficient Balance", errors.QUOTA),
        ("Rate limit reached for TPM", errors.RATE_LIMITED),
        ("Content Exists Risk", errors.CONTENT_RISK),
    ],
)
def test_an_error_in_the_stream_is_sorted_by_its_words(line: Line, words: str, expected: errors.Failure) -> None:
    w = line.wording
    assert line.fails(line.script(w.piece("half"), w.failure(words))).failure is expected


def test_a_line_without_end_is_cut_off(line: Line) -> None:
    begin = b"data: " if is_sse(line) else b'{"text": "'
    endless = line.script(line.wording.piece("half"), begin + b"x" * 1_200_000, b"x" * 1_200_000)
    assert line.fails(endless).failure is errors.MALFORMED


def test_an_answer_without_end_is_cut_at_the_limit(line: Line) -> None:
    events = line.ask(line.script(*[line.wording.piece("long " * 2_000)] * 40))
    assert len(text(events)) == 200_000
    assert events[-1] == Finished("length")


def test_keep_alives_do_not_stretch_the_wait_for_the_first_text(line: Line) -> None:
    alive = KEEP_ALIVE if is_sse(line) else b"\n"
    queued = line.script(*[step for _ in range(40) for step in (alive, 0.1)])
    began = time.monotonic()
    assert line.fails(*[queued] * 3, first_token_s=0.5, total_s=0.8).failure is errors.TIMEOUT
    assert time.monotonic() - began < 2.0


def test_a_stream_that_falls_silent_is_given_up_after_the_idle_time(line: Line) -> None:
    began = time.monotonic()
    alive = KEEP_ALIVE if is_sse(line) else b"\n"
    silent = line.script(line.wording.piece("half"), *[step for _ in range(40) for step in (alive, 0.1)])
    assert line.fails(silent, idle_s=0.4).failure is errors.TIMEOUT
    assert time.monotonic() - began < 2.0


def test_the_total_time_ends_even_a_stream_that_keeps_talking(line: Line) -> None:
    began = time.monotonic()
    talking = line.script(*[step for _ in range(60) for step in (line.wording.piece("word "), 0.05)])
    assert line.fails(talking, total_s=0.5).failure is errors.TIMEOUT
    assert time.monotonic() - began < 2.0


def test_a_slow_reader_is_not_timed_out(line: Line) -> None:
    line.simulator.scripts.append(said(line, "a", "b", "c"))

    async def read_slowly() -> str:
        provider = line.provider(idle_s=0.3)
        heard = ""
        async for event in provider.stream(request_for(PROMPT)):
            await asyncio.sleep(0.2)
            heard += event.text if isinstance(event, Text) else ""
        await provider.aclose()
        return heard

    assert asyncio.run(read_slowly()) == "abc"


def test_stopping_closes_the_connection_at_once_and_frees_its_place(line: Line) -> None:
    async def stop_each() -> None:
        provider = line.provider(max_streams=3)
        for _ in range(12):
            line.simulator.scripts.append(said(line, *["word "] * 500, pause_s=0.05))
            stream = provider.stream(request_for(PROMPT))
            async for event in stream:
                if isinstance(event, Text):
                    break
            await stream.aclose()
        for _ in range(50):
            if not line.simulator.open:
                break
            await asyncio.sleep(0.05)
        line.simulator.scripts.append(said(line, "still ", "here"))
        assert text([event async for event in provider.stream(request_for(PROMPT))]) == "still here"
        await provider.aclose()

    asyncio.run(stop_each())
    assert line.simulator.open == 0
    assert [call.failure for call in line.calls] == ["stopped"] * 12 + [""]
    assert all(call.usage and call.usage.completion for call in line.calls)


def test_beyond_its_places_it_is_busy_at_once(line: Line) -> None:
    async def crowd() -> None:
        provider = line.provider(max_streams=1)
        line.simulator.scripts.append(said(line, *["word "] * 100, pause_s=0.05))
        first = provider.stream(request_for(PROMPT))
        await anext(first)
        began = time.monotonic()
        with pytest.raises(ModelCallFailed) as busy:
            await anext(provider.stream(request_for(PROMPT)))
        assert busy.value.failure is errors.BUSY
        assert time.monotonic() - began < 0.2
        await first.aclose()
        await provider.aclose()

    asyncio.run(crowd())


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_every_fault_of_the_simulator_is_a_failure_or_a_marked_answer(line: Line, fault: str) -> None:
    made = FAULTS[fault](line.wording)
    expected = {
        "auth": "auth", "quota": "quota", "rate_limited": "rate_limited", "content_risk": "content_risk",
        "context_too_long": "context_too_long", "bad_request": "bad_request", "server": "server", "overloaded": "server",
        "html": "server", "queued": "timeout", "silent": "timeout", "cut": "transport|truncated", "unfinished": "truncated",
        "empty": "empty", "malformed": "malformed", "error_event": "server", "interrupted": "server", "aborted": "server",
    }  # fmt: skip
    if fault in {"truncated", "withheld"}:
        assert line.ask(made)[-1] == Finished({"truncated": "length", "withheld": "content_filter"}[fault])
    elif fault == "unfinished" and not is_sse(line):
        assert text(line.ask(made)) == "This is the beginning "
    else:
        problem = line.fails(*[made] * 3, first_token_s=0.4, idle_s=0.4, total_s=4.0)
        assert problem.code in expected[fault].split("|")


# --- the streams of the test data --------------------------------------------------------------------------------------
def streams(folder: Path) -> list[dict[str, Any]]:
    path = folder / "security/sse/deepseek_streams.jsonl"
    return [json.loads(row) for row in path.read_text().splitlines()] if path.exists() else []


def test_every_stream_of_the_test_data_ends_as_it_should(line: Line, data_folder: Path) -> None:
    """data/security/sse: the text and finish expected, or one of our failures; bounded, and never anything else."""
    cases = streams(data_folder)
    if not is_sse(line):
        return  # these are server-sent events
    wrong = []

    async def play(case: dict[str, Any]) -> tuple[str, str]:
        line.simulator.scripts.clear()
        line.simulator.scripts.extend([_script(case)] * 3)
        provider = line.provider(first_token_s=0.4, idle_s=0.4, total_s=0.8)
        heard, ended = "", "cut"
        try:
            async for event in provider.stream(request_for(PROMPT)):
                if isinstance(event, Text):
                    heard += event.text
                if isinstance(event, Finished):
                    ended = event.reason
        except ModelCallFailed as problem:
            ended = f"failed: {problem.code}"
        finally:
            await provider.aclose()
        return heard, ended

    for case in cases:
        began = time.monotonic()
        heard, ended = asyncio.run(play(case))
        if time.monotonic() - began > 4 or not _as_expected(case["expect"], heard, ended):
            wrong.append((case["id"], case["name"], heard[:60], ended))
        usage = line.calls[-1].usage
        if usage and (usage.prompt < 0 or usage.completion < 0 or usage.cached > usage.prompt):
            wrong.append((case["id"], case["name"], "usage", repr(usage)))
    assert len(cases) >= 60
    assert wrong == []


def _as_expected(expect: dict[str, Any], heard: str, ended: str) -> bool:
    good = "\x00" not in heard and expect.get("must_not_contain", "\x00") not in heard
    match expect.get("outcome"):
        case "complete" | "marked":
            good &= heard == expect["text"] and (
                ended == expect["finish"]
                or (expect["finish"] == "insufficient_system_resource" and ended == "failed: server")
            )
        case "partial":
            good &= heard.startswith(expect["text_prefix"]) and ended.startswith("failed")
        case "error-before-first-token":
            good &= heard == "" and ended.startswith("failed")
        case "not followed; key not sent on" | "refused, nothing called, logged":
            good &= heard == "" and ended.startswith("failed")
        case "cut at the answer limit":
            good &= len(heard) <= 200_000
        case None if "text" in expect:
            good &= heard in {expect["text"], "😀"}
        case None if "text_starts" in expect:
            good &= heard.startswith(expect["text_starts"])
    return good


def _script(case: dict[str, Any]) -> Script:
    steps: list[Any] = []
    for piece in case["chunks"]:
        data, repeat = (piece["b64"], piece["repeat"]) if isinstance(piece, dict) else (piece, 1)
        raw = base64.b64decode(data)
        steps += [raw * repeat] if len(raw) * repeat < 100_000 else [raw * 100] * (repeat // 100)
    steps += {"reset": [Cut()], "half-headers": [Cut()], "hang": [3.0]}.get(case["end"], [])
    headers = {name: value for name, value in case["headers"].items() if name.lower() != "content-length"}
    return Script(tuple(steps), case["status"] or 200, headers)


def test_a_wording_is_a_wording(line: Line) -> None:
    """The simulator's writers keep to one protocol, so that a script means the same in each dialect."""
    wording: Wording = line.wording
    assert text(line.ask(line.script(wording.piece("x"), wording.finish("stop", USAGE), wording.done))) == "x"
