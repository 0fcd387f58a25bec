"""DeepSeek's API over a real socket, played byte by byte by the simulator."""

import asyncio
import base64
import json
import time
from collections.abc import Iterator

import pytest

from chatbot.llm import errors
from chatbot.llm.deepseek import DeepSeek, Settings
from chatbot.llm.errors import ModelCallFailed
from chatbot.llm.simulator.app import DONE, KEEP_ALIVE, Cut, Script, Simulator, answer, chunk, error
from chatbot.turn.values import Finished, Prompt, Started, Text, Usage, Utterance
from tests.environment import free_port
from tests.serving import serving

PROMPT = Prompt("rules", (), "How long?", "sources and question", (), "en", "1")


@pytest.fixture(scope="module")
def simulator_port() -> Iterator[tuple[Simulator, int]]:
    simulator = Simulator()
    with serving(simulator) as port:
        yield simulator, port


@pytest.fixture
def simulator(simulator_port) -> Simulator:
    simulator_port[0].scripts.clear()
    simulator_port[0].seen.clear()
    return simulator_port[0]


@pytest.fixture
def call(simulator_port, simulator):
    def ask(*scripts: Script, prompt: Prompt = PROMPT, **settings) -> list:
        simulator.scripts.extend(scripts)
        base = settings.pop("base_url", f"http://127.0.0.1:{simulator_port[1]}")

        async def collect() -> list:
            client = DeepSeek(Settings(**{"api_key": "sk-test", "base_url": base, **settings}))
            try:
                return [event async for event in client.stream(prompt)]
            finally:
                await client.aclose()

        return asyncio.run(collect())

    return ask


def text(events: list) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def failure(call, *scripts: Script, **settings) -> ModelCallFailed:
    with pytest.raises(ModelCallFailed) as failed:
        call(*scripts, **settings)
    return failed.value


def test_an_answer_with_its_usage_and_finish(call) -> None:
    events = call(answer(["您好", "，有什么可以帮您？"]))
    assert events == [
        Started("deepseek-flash", "generated"),
        Text("您好"),
        Text("，有什么可以帮您？"),
        Usage(prompt=120, completion=2, cached=64),
        Finished("stop"),
    ]


def test_the_request_is_what_the_api_wants(call, simulator: Simulator) -> None:
    history = (
        Utterance("visitor", "Hi"),
        Utterance("bot", "Hello"),
        Utterance("agent", "(A person said:) I will check"),
        Utterance("visitor", "and?"),
    )
    call(prompt=Prompt("rules", history, "", "the request", (), "en", "1"))
    seen = simulator.seen[-1]
    assert seen.path == "/chat/completions"
    assert seen.headers["authorization"] == "Bearer sk-test"
    assert seen.body["model"] == "deepseek-flash"
    assert seen.body["thinking"] == {"type": "disabled"}
    assert seen.body["stream_options"] == {"include_usage": True}
    assert [message["role"] for message in seen.body["messages"]] == ["system", "user", "assistant", "user"]
    assert seen.body["messages"][-1]["content"] == "and?\n\nthe request"


def test_keep_alive_comments_are_not_answers(call) -> None:
    script = answer(["ok"])
    assert text(call(Script((KEEP_ALIVE, 0.05, KEEP_ALIVE, b"\n", *script.body)))) == "ok"


def test_text_is_whole_however_its_bytes_are_cut(call) -> None:
    stream = b"".join(step for step in answer(["价格：￥299 🙂", "，包邮。"]).body if isinstance(step, bytes))
    one_by_one = Script(tuple(stream[at : at + 1] for at in range(len(stream))))
    assert text(call(one_by_one)) == "价格：￥299 🙂，包邮。"


@pytest.mark.parametrize("strange", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c"])
def test_only_line_ends_end_lines(call, strange: str) -> None:
    said = f"first{strange}second"
    raw = json.dumps({"choices": [{"delta": {"content": said}, "finish_reason": None}]}, ensure_ascii=False)
    if strange in "\x0b\x0c":  # JSON itself wants these escaped
        assert text(call(Script((chunk(said), chunk("", finish="stop"), DONE)))) == said
    else:
        script = Script((f"data: {raw}\n\n".encode(), chunk("", finish="stop"), DONE))
        assert text(call(script)) == said


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_of_the_standard_is_understood(call, end: bytes) -> None:
    body = b"".join(step for step in answer(["one", " two"]).body if isinstance(step, bytes)).replace(b"\n", end)
    assert text(call(Script((body, end)))) == "one two"


def test_usage_in_a_chunk_of_its_own_and_after_the_finish_is_read(call) -> None:
    late = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}\n\n'
    events = call(Script((chunk("hi"), chunk("", finish="stop"), late, DONE)))
    assert Usage(9, 3) in events
    assert events[-1] == Finished("stop")


def test_reasoning_is_never_text(call) -> None:
    thinking = chunk(None, role="assistant", reasoning_content=""), chunk(None, reasoning_content="hmm, secret")
    assert text(call(Script((*thinking, chunk("ok"), chunk("", finish="stop"), DONE)))) == "ok"


@pytest.mark.parametrize(
    ("finish", "told"), [("stop", "stop"), ("length", "length"), ("content_filter", "content_filter")]
)
def test_finish_reasons_are_told(call, finish: str, told: str) -> None:
    assert call(answer(["some"], finish=finish))[-1] == Finished(told)


def test_429_is_waited_out_as_long_as_the_server_asks(call, simulator: Simulator) -> None:
    began = time.monotonic()
    events = call(error(429, "Rate limit reached", retry_after="1"), answer(["ok"]))
    assert text(events) == "ok"
    assert 1.0 <= time.monotonic() - began < 3.0
    assert len(simulator.seen) == 2


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_error_is_tried_again_and_then_given_up(call, simulator: Simulator, status: int) -> None:
    assert text(call(error(status, "overloaded"), answer(["ok"]))) == "ok"
    assert failure(call, *[error(status, "overloaded")] * 3).failure is errors.SERVER
    assert len(simulator.seen) == 5


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (error(402, "Insufficient Balance"), errors.QUOTA),
        (error(400, "Content Exists Risk"), errors.CONTENT_RISK),
        (error(400, "This model's maximum context length is 8 tokens. However, you requested 9"), errors.CONTEXT_TOO_LONG),
        (error(400, "Failed to deserialize the JSON body"), errors.BAD_REQUEST),
        (error(422, "bad"), errors.BAD_REQUEST),
        (error(403, "no"), errors.AUTH),
        (Script((b"<html>nginx</html>",), 404, {"content-type": "text/html"}), errors.BAD_REQUEST),
        (error(429, "slow down", retry_after="86400"), errors.RATE_LIMITED),
    ],
)  # fmt: skip
def test_what_asking_again_cannot_mend_is_asked_once(call, simulator: Simulator, script: Script, expected) -> None:
    assert failure(call, script).failure is expected
    assert len(simulator.seen) == 1


def test_a_wrong_key_is_an_auth_failure_and_the_key_is_in_no_message(call) -> None:
    problem = failure(call, api_key="sk-wrong-secret")
    assert problem.failure is errors.AUTH
    assert "secret" not in str(problem)


def test_nobody_listening_is_a_transport_failure(call) -> None:
    assert failure(call, base_url=f"http://127.0.0.1:{free_port()}", total_s=2).failure is errors.TRANSPORT


def test_a_cut_before_any_text_is_tried_again(call, simulator: Simulator) -> None:
    assert text(call(Script((chunk("", role="assistant"), Cut())), answer(["ok"]))) == "ok"
    assert len(simulator.seen) == 2


@pytest.mark.parametrize("end", [(Cut(),), ()])
def test_a_cut_after_some_text_is_a_failure_and_is_not_tried_again(call, simulator: Simulator, end) -> None:
    """Both ways to be cut: the connection breaks, and the response ends cleanly without a finish or [DONE]."""
    problem = failure(call, Script((chunk("Refunds take "), *end)))
    assert problem.failure in {errors.TRANSPORT, errors.TRUNCATED}
    assert len(simulator.seen) == 1


def test_the_end_may_be_told_by_done_or_by_a_finish_reason_alone(call) -> None:
    assert text(call(Script((chunk("ok"), DONE)))) == "ok"
    assert text(call(Script((chunk("ok"), chunk("", finish="stop"))))) == "ok"


@pytest.mark.parametrize("finish", ["insufficient_system_resource", "aborted"])
def test_an_interrupted_inference_is_tried_again_only_while_nothing_was_said(call, finish: str) -> None:
    assert text(call(Script((chunk("", finish=finish), DONE)), answer(["ok"]))) == "ok"
    assert failure(call, Script((chunk("half"), chunk("", finish=finish), DONE))).failure is errors.SERVER


def test_saying_nothing_is_a_failure(call) -> None:
    assert failure(call, *[Script((chunk("", finish="stop"), DONE))] * 3).failure is errors.EMPTY


@pytest.mark.parametrize("garbage", [b"data: not json\n\n", b"data: [1]\n\n", b'data: {"error": {"message": "x"}}\n\n'])
def test_garbage_in_the_stream_is_a_failure_after_the_text_before_it(call, garbage: bytes) -> None:
    assert failure(call, Script((chunk("half"), garbage))).failure in {errors.MALFORMED, errors.SERVER}


def test_a_line_without_end_is_cut_off(call) -> None:
    endless = Script((chunk("half"), b"data: " + b"x" * 1_200_000, b"x" * 1_200_000))
    assert failure(call, endless).failure is errors.MALFORMED


def test_keep_alives_do_not_stretch_the_wait_for_the_first_text(call) -> None:
    queued = Script(tuple(step for _ in range(40) for step in (KEEP_ALIVE, 0.1)))
    began = time.monotonic()
    assert failure(call, *[queued] * 3, first_token_s=0.5, total_s=0.8).failure is errors.TIMEOUT
    assert time.monotonic() - began < 2.0


def test_a_stream_that_falls_silent_is_given_up_after_the_idle_time(call) -> None:
    began = time.monotonic()
    silent = Script((chunk("half"), *[step for _ in range(40) for step in (KEEP_ALIVE, 0.1)]))
    assert failure(call, silent, idle_s=0.4).failure is errors.TIMEOUT
    assert time.monotonic() - began < 2.0


def test_a_slow_reader_is_not_timed_out(simulator_port, simulator: Simulator) -> None:
    simulator.scripts.append(answer(["a", "b", "c"]))

    async def read_slowly() -> str:
        client = DeepSeek(Settings("sk-test", f"http://127.0.0.1:{simulator_port[1]}", idle_s=0.3))
        said = ""
        async for event in client.stream(PROMPT):
            await asyncio.sleep(0.2)
            said += event.text if isinstance(event, Text) else ""
        await client.aclose()
        return said

    assert asyncio.run(read_slowly()) == "abc"


def test_stopping_closes_the_connection_at_once_and_frees_its_place(simulator_port, simulator: Simulator) -> None:
    async def stop_each() -> None:
        client = DeepSeek(Settings("sk-test", f"http://127.0.0.1:{simulator_port[1]}", max_streams=3))
        for _ in range(12):
            simulator.scripts.append(answer(["word "] * 500, pause_s=0.05))
            stream = client.stream(PROMPT)
            async for event in stream:
                if isinstance(event, Text):
                    break
            await stream.aclose()
        for _ in range(50):
            if not simulator.open:
                break
            await asyncio.sleep(0.05)
        simulator.scripts.append(answer(["still ", "here"]))
        assert text([event async for event in client.stream(PROMPT)]) == "still here"
        await client.aclose()

    asyncio.run(stop_each())
    assert simulator.open == 0


def test_beyond_its_places_it_is_busy_at_once(simulator_port, simulator: Simulator) -> None:
    async def crowd() -> None:
        client = DeepSeek(Settings("sk-test", f"http://127.0.0.1:{simulator_port[1]}", max_streams=1))
        simulator.scripts.append(answer(["word "] * 100, pause_s=0.05))
        first = client.stream(PROMPT)
        await anext(first)
        began = time.monotonic()
        with pytest.raises(ModelCallFailed) as busy:
            await anext(client.stream(PROMPT))
        assert busy.value.failure is errors.BUSY
        assert time.monotonic() - began < 0.2
        await first.aclose()
        await client.aclose()

    asyncio.run(crowd())


def test_the_base_address_may_have_a_path_and_a_slash(call, simulator: Simulator, simulator_port) -> None:
    call(base_url=f"http://127.0.0.1:{simulator_port[1]}/v1/")
    assert simulator.seen[-1].path == "/v1/chat/completions"


def test_every_stream_of_the_test_data_ends_as_it_should(data_folder, simulator_port, simulator: Simulator) -> None:
    """data/security/sse: the text and finish expected, or one of our failures; bounded, and never anything else."""
    cases = [
        json.loads(line) for line in (data_folder / "security/sse/deepseek_streams.jsonl").read_text().splitlines()
    ]
    url = f"http://127.0.0.1:{simulator_port[1]}"
    wrong = []

    async def play(case) -> tuple[str, str]:
        simulator.scripts.clear()
        simulator.scripts.extend([_script(case)] * 3)
        client = DeepSeek(Settings("sk-test", url, first_token_s=0.4, idle_s=0.4, total_s=0.8))
        said, ended = "", "cut"
        try:
            async for event in client.stream(PROMPT):
                if isinstance(event, Text):
                    said += event.text
                if isinstance(event, Finished):
                    ended = event.reason
        except ModelCallFailed as problem:
            ended = f"failed: {problem.code}"
        finally:
            await client.aclose()
        return said, ended

    for case in cases:
        began = time.monotonic()
        said, ended = asyncio.run(play(case))
        expect = case["expect"]
        good = time.monotonic() - began < 4
        match expect.get("outcome"):
            case "complete":
                good &= said == expect["text"] and ended == expect["finish"]
            case "partial":
                good &= said.startswith(expect["text_prefix"]) and ended.startswith("failed")
            case "error-before-first-token":
                good &= said == "" and ended.startswith("failed")
        if "must_not_contain" in expect:
            good &= expect["must_not_contain"] not in said
        if not good:
            wrong.append((case["id"], case["name"], said[:60], ended))
    assert wrong == []


def _script(case) -> Script:
    steps: list = []
    for piece in case["chunks"]:
        data, repeat = (piece["b64"], piece["repeat"]) if isinstance(piece, dict) else (piece, 1)
        raw = base64.b64decode(data)
        steps += [raw * repeat] if len(raw) * repeat < 100_000 else [raw * 100] * (repeat // 100)
    steps += {"reset": [Cut()], "half-headers": [Cut()], "hang": [3.0]}.get(case["end"], [])
    headers = {name: value for name, value in case["headers"].items() if name.lower() != "content-length"}
    return Script(tuple(steps), case["status"] or 200, headers)
