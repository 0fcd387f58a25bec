"""Our client against a server that others wrote to play the API: aimock, from npm. Left out where Node.js is not there."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chatbot.llm import errors
from chatbot.llm.errors import ModelCallFailed
from chatbot.llm.profile import Profile
from chatbot.llm.provider import Call, Provider
from chatbot.llm.request import TOOL, USER, ChatMessage, Request, Tool
from chatbot.turn.values import Finished, ModelEvent, Reasoning, Started, Text, ToolCall, Usage
from tests.environment import free_port

PACKAGE, VERSION = "@copilotkit/aimock", "1.43.0"
NODE = 20
INSTALL_S, START_S = 120, 30
KEY = "sk-test"
FIND_ORDER = Tool(
    "find_order", "An order by its number", {"type": "object", "properties": {"number": {"type": "string"}}}
)
FIXTURES: list[dict[str, Any]] = [
    {
        "match": {"userMessage": "你好"},
        "response": {
            "content": "您好！水壶可以寄到多伦多，运费十二加元。🙂",
            "model": "deepseek-flash",
            "usage": {"prompt_tokens": 17, "completion_tokens": 12, "total_tokens": 29},
        },
        "latency": 5,
        "chunkSize": 3,
    },
    {"match": {"userMessage": "think"}, "response": {"reasoning": "先查询订单，再回答。", "content": "已发货。"}, "chunkSize": 3},
    {
        "match": {"userMessage": "where is order", "hasToolResult": False},
        "response": {"toolCalls": [{"name": "find_order", "arguments": {"number": "A1001 发货"}, "id": "call_00_a"}]},
        "chunkSize": 4,
    },
    {"match": {"userMessage": "where is order", "hasToolResult": True}, "response": {"content": "It was sent on Monday."}},
    {
        "match": {"userMessage": "cut me"},
        "response": {"content": "会被中途断开的一句话"},
        "latency": 40,
        "chunkSize": 2,
        "truncateAfterChunks": 4,
    },
    {"match": {"userMessage": "slowly"}, "response": {"content": "慢慢来，不着急"}, "streamingProfile": {"ttft": 700, "tps": 8}},
    {
        "match": {"userMessage": "too often", "sequenceIndex": 0},
        "response": {"error": {"message": "Rate limit reached", "type": "rate_limit_error"}, "status": 429, "retryAfter": 1},
    },
    {"match": {"userMessage": "too often", "sequenceIndex": 1}, "response": {"content": "Now."}},
    {
        "match": {"userMessage": "again and again"},
        "response": {"error": {"message": "Rate limit reached", "type": "rate_limit_error"}, "status": 429, "retryAfter": 1},
    },
    {
        "match": {"userMessage": "no money"},
        "response": {"error": {"message": "Insufficient Balance", "type": "unknown_error"}, "status": 402},
    },
]  # fmt: skip


def _version(program: str) -> int:
    path = shutil.which(program)
    if path is None:
        return 0
    said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    found = re.search(r"\d+", said)
    return int(found.group()) if found else 0


def _program() -> Path:
    """The installed server; kept between runs in the system's folder for such things."""
    folder = Path(tempfile.gettempdir()) / f"baton-aimock-{VERSION}-{os.getuid()}"
    program = folder / "node_modules/.bin/llmock"
    if not program.exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        assert folder.stat().st_uid == os.getuid(), "somebody else's folder"
        (folder / "package.json").write_text('{"private": true}')
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", f"{PACKAGE}@{VERSION}"]
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=INSTALL_S)
        except (subprocess.SubprocessError, OSError) as problem:
            pytest.skip(f"{PACKAGE} could not be installed: {type(problem).__name__}")
    return program


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if _version("node") < NODE or not _version("npm"):
        pytest.skip(f"needs Node.js {NODE} or newer with npm")
    fixtures = tmp_path_factory.mktemp("aimock") / "fixtures.json"
    fixtures.write_text(json.dumps({"fixtures": FIXTURES}, ensure_ascii=False), encoding="utf-8")
    port = free_port()
    server = subprocess.Popen(
        [
            str(_program()), "--host", "127.0.0.1", "--port", str(port), "--fixtures", str(fixtures), "--validate-on-load",
            "--strict", "--log-level", "warn",
        ],
        env={**os.environ, "AIMOCK_API_KEYS": KEY},
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        base_url = f"http://127.0.0.1:{port}"
        _wait(server, base_url)
        yield base_url
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()


def _wait(server: "subprocess.Popen[bytes]", base_url: str) -> None:
    until = time.monotonic() + START_S
    while True:
        try:
            httpx.get(f"{base_url}/models", timeout=2)
            return
        except httpx.HTTPError:
            if server.poll() is not None or time.monotonic() > until:
                raise TimeoutError("aimock did not start") from None
            time.sleep(0.1)


class Told:
    """The events of one call, its failure if it failed, and what was reported of it."""

    def __init__(self) -> None:
        self.events: list[ModelEvent] = []
        self.failure: errors.Failure | None = None
        self.calls: list[Call] = []

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Text))


def ask(address: str, *messages: ChatMessage | str, tools: tuple[Tool, ...] = (), **chosen: Any) -> Told:
    told = Told()
    said = tuple(ChatMessage(USER, each) if isinstance(each, str) else each for each in messages)

    async def collect() -> None:
        profile = Profile(
            base_url=address, **{"key": KEY, "first_token_s": 5.0, "idle_s": 5.0, "total_s": 15.0, **chosen}
        )
        provider = Provider(profile, report=told.calls.append)
        try:
            async for event in provider.stream(Request(said, tools=tools)):
                told.events.append(event)
        except ModelCallFailed as problem:
            told.failure = problem.failure
        finally:
            await provider.aclose()

    asyncio.run(collect())
    return told


def test_a_chinese_answer_comes_in_pieces_with_its_usage_in_a_chunk_of_its_own(address: str) -> None:
    told = ask(address, "你好")
    assert told.text == "您好！水壶可以寄到多伦多，运费十二加元。🙂"
    assert isinstance(told.events[0], Started)
    assert sum(1 for event in told.events if isinstance(event, Text)) > 3
    assert told.events[-2:] == [Usage(17, 12), Finished("stop")]
    assert told.calls[0].model == "deepseek-flash"
    assert told.calls[0].first_ms


def test_reasoning_is_kept_apart(address: str) -> None:
    told = ask(
        address,
        "think",
    )
    assert told.text == "已发货。"
    assert "".join(event.text for event in told.events if isinstance(event, Reasoning)) == "先查询订单，再回答。"


def test_a_tool_call_is_put_together_and_its_answer_is_understood(address: str) -> None:
    question = "where is order A1001?"
    told = ask(address, question, tools=(FIND_ORDER,))
    (call,) = [event for event in told.events if isinstance(event, ToolCall)]
    assert (call.name, call.id, json.loads(call.arguments)) == ("find_order", "call_00_a", {"number": "A1001 发货"})
    assert told.events[-1] == Finished("tool_calls")
    answered = ask(
        address,
        question,
        ChatMessage("assistant", tool_calls=(call,)),
        ChatMessage(TOOL, '{"sent": "Monday"}', tool_call_id=call.id),
        tools=(FIND_ORDER,),
    )
    assert answered.text == "It was sent on Monday."


def test_a_wrong_key_is_an_auth_failure(address: str) -> None:
    told = ask(address, "你好", key="sk-wrong")
    assert told.failure is errors.AUTH
    assert told.calls[0].tries == 1


def test_too_many_requests_are_waited_out_as_long_as_the_server_asks(address: str) -> None:
    began = time.monotonic()
    told = ask(address, "too often")
    assert told.text == "Now."
    assert told.calls[0].tries == 2
    assert time.monotonic() - began >= 1.0


def test_too_many_requests_without_end_are_given_up(address: str) -> None:
    told = ask(address, "again and again")
    assert told.failure is errors.RATE_LIMITED
    assert told.calls[0].tries == 3


def test_an_empty_account_is_told_as_such(address: str) -> None:
    assert ask(address, "no money").failure is errors.QUOTA


def test_a_disconnect_in_the_middle_is_a_failure_after_the_text_before_it(address: str) -> None:
    told = ask(address, "cut me")
    assert told.failure in {errors.TRANSPORT, errors.TRUNCATED}
    assert told.text
    assert "会被中途断开的一句话".startswith(told.text)
    assert told.calls[0].tries == 1


def test_a_slow_stream_is_waited_for_and_one_that_is_too_slow_is_not(address: str) -> None:
    told = ask(address, "slowly")
    assert told.text == "慢慢来，不着急"
    assert (told.calls[0].first_ms or 0) >= 600
    assert ask(address, "slowly", first_token_s=0.2, total_s=0.5).failure is errors.TIMEOUT
