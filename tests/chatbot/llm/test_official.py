"""What only the chat format has: the request's fields, tools, JSON mode, pictures, thinking."""

import json
from typing import Any

import pytest

from chatbot.llm import errors
from chatbot.llm.request import (
    ASSISTANT,
    SYSTEM,
    TOOL,
    USER,
    ChatMessage,
    Image,
    Request,
    Tool,
    repair,
    request_for,
)
from chatbot.llm.simulator.script import Script
from chatbot.llm.simulator.wording import DONE, ChatWording, answer, error
from chatbot.turn.budget import TooLong
from chatbot.turn.tokens import estimate_tokens
from chatbot.turn.values import Finished, Prompt, Reasoning, ToolCall, Utterance
from tests.chatbot.llm.conftest import PROMPT, Line, text

CHUNK = ChatWording().chunk
ORDER = Tool("query_order", "The state of an order", {"type": "object", "properties": {"no": {"type": "string"}}})


def asked(words: str = "Where is A1001?", **more: Any) -> Request:
    return Request((ChatMessage(SYSTEM, "rules"), ChatMessage(USER, words)), **more)


def sent(line: Line, request: Request, **profile: Any) -> dict[str, Any]:
    line.ask(request=request, **profile)
    return dict(line.simulator.seen[-1].body)


# --- the request -------------------------------------------------------------------------------------------------------
def test_a_turn_is_asked_as_the_api_wants_it(official: Line) -> None:
    history = (
        Utterance("visitor", "Hi"),
        Utterance("bot", "Hello"),
        Utterance("agent", "(A person said:) I will check"),
        Utterance("visitor", "and?"),
    )
    prompt = Prompt("rules", history, "", "the request", (), "en", "1")
    body = sent(official, request_for(prompt))
    seen = official.simulator.seen[-1]
    assert seen.path == "/chat/completions"
    assert seen.headers["authorization"] == "Bearer sk-test"
    assert body["model"] == "deepseek-flash"
    assert body["thinking"] == {"type": "disabled"}
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}
    assert body["max_tokens"] == 1024
    assert body["temperature"] == 0.5
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "user"]
    assert body["messages"][-1]["content"] == "and?\n\nthe request"
    assert not body.keys() & {"logit_bias", "seed", "n", "user", "user_id", "max_completion_tokens", "top_p"}


def test_the_rules_come_first_and_unchanged_so_that_the_providers_cache_can_hold_them(official: Line) -> None:
    first, second = (
        sent(official, request_for(Prompt("rules of the house", (), "", words, (), "en", "1")))
        for words in ("one", "two")
    )
    assert first["messages"][0] == second["messages"][0] == {"role": "system", "content": "rules of the house"}


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
def test_the_address_may_come_with_a_path_and_a_slash(official: Line, suffix: str) -> None:
    official.ask(base_url=f"http://127.0.0.1:{official.port}{suffix}")
    wanted = "/v1/chat/completions" if "v1" in suffix else "/chat/completions"
    assert official.simulator.seen[-1].path == wanted


def test_an_end_user_is_named_by_the_field_of_the_dialect(official: Line) -> None:
    assert sent(official, asked(user="b_12"))["user_id"] == "b_12"
    compatible = Line("compatible", official.simulator, official.port)
    body = sent(compatible, asked(user="b_12"))
    assert body["user"] == "b_12"
    assert not body.keys() & {"user_id", "thinking", "reasoning_effort"}


def test_a_profile_may_add_fields_and_choose_the_model_by_language(official: Line) -> None:
    body = sent(
        official, asked(language="zh"), extra={"top_k": 5}, model_by_language={"zh": "deepseek-v4-pro"}, max_tokens=99
    )
    assert body["top_k"] == 5
    assert body["model"] == "deepseek-v4-pro"
    assert body["max_tokens"] == 99


def test_the_answers_length_is_kept_within_what_the_model_can(official: Line) -> None:
    assert sent(official, asked(max_tokens=1_000_000))["max_tokens"] == 393_216


# --- thinking ----------------------------------------------------------------------------------------------------------
THINKING = (CHUNK(None, role="assistant", reasoning_content=""), CHUNK(None, reasoning_content="hmm, secret"))


def test_reasoning_is_kept_apart_and_is_never_text(official: Line) -> None:
    events = official.ask(Script((*THINKING, CHUNK("ok"), CHUNK("", finish="stop"), DONE)))
    assert text(events) == "ok"
    assert [event.text for event in events if isinstance(event, Reasoning)] == ["hmm, secret"]


def test_both_kinds_in_one_chunk_are_told_apart(official: Line) -> None:
    mixed = CHUNK("年", reasoning_content=None), CHUNK(None, reasoning_content="想")
    events = official.ask(Script((*mixed, CHUNK("", finish="stop"), DONE)))
    assert text(events) == "年"


def test_thinking_is_asked_for_with_an_effort_and_without_a_temperature(official: Line) -> None:
    body = sent(official, asked(thinking=True, tools=(ORDER,), tool_choice="required"))
    assert body["thinking"] == {"type": "enabled"}
    assert body["reasoning_effort"] == "low"
    assert not body.keys() & {"temperature", "tool_choice"}


def test_an_answer_that_was_only_thought_is_asked_for_again_without_thinking(official: Line) -> None:
    thought = Script((*THINKING, CHUNK("", finish="length"), DONE))
    assert text(official.ask(thought, answer(["ok"]), request=asked(thinking=True))) == "ok"
    assert [seen.body["thinking"]["type"] for seen in official.simulator.seen] == ["enabled", "disabled"]


def test_reasoning_of_an_earlier_tool_round_is_given_back(official: Line) -> None:
    call = ToolCall("call_1", "query_order", "{}")
    messages = (
        ChatMessage(USER, "Where?"),
        ChatMessage(ASSISTANT, tool_calls=(call,), reasoning="I look it up"),
        ChatMessage(TOOL, '{"state": "sent"}', tool_call_id="call_1"),
    )
    body = sent(official, Request(messages, tools=(ORDER,), thinking=True))
    assert body["messages"][1]["reasoning_content"] == "I look it up"
    assert body["messages"][1]["content"] == ""


# --- tools -------------------------------------------------------------------------------------------------------------
def fragments(*parts: dict[str, Any], finish: str = "tool_calls") -> Script:
    return Script((*(CHUNK(None, tool_calls=[part]) for part in parts), CHUNK("", finish=finish), DONE))


FIRST = {"index": 0, "id": "call_00_x", "type": "function", "function": {"name": "query_order", "arguments": ""}}
REST = [{"index": 0, "function": {"arguments": part}} for part in ('{"no"', ':"A1001"}')]


def test_a_tool_call_is_put_together_from_its_pieces(official: Line) -> None:
    events = official.ask(fragments(FIRST, *REST), request=asked(tools=(ORDER,)))
    assert [event for event in events if isinstance(event, ToolCall)] == [
        ToolCall("call_00_x", "query_order", '{"no":"A1001"}')
    ]
    assert events[-1] == Finished("tool_calls")
    assert official.simulator.seen[-1].body["tools"][0]["function"]["name"] == "query_order"


def test_parallel_calls_are_told_apart_by_their_index(official: Line) -> None:
    second = {"index": 1, "id": "call_01_y", "function": {"name": "query_order", "arguments": '{"no":"B2"}'}}
    events = official.ask(fragments(FIRST, second, *REST), request=asked(tools=(ORDER,)))
    calls = [event for event in events if isinstance(event, ToolCall)]
    assert [(call.id, json.loads(call.arguments)["no"]) for call in calls] == [
        ("call_00_x", "A1001"),
        ("call_01_y", "B2"),
    ]


def test_a_tool_that_was_not_offered_is_not_called(official: Line) -> None:
    call = {"index": 0, "id": "c", "function": {"name": "delete_all", "arguments": "{}"}}
    assert official.fails(*[fragments(call)] * 3, request=asked(tools=(ORDER,))).failure is errors.EMPTY


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_half_a_tool_call_is_never_made(official: Line, finish: str) -> None:
    events = official.ask(
        Script((CHUNK("text"), CHUNK(None, tool_calls=[FIRST]), CHUNK("", finish=finish), DONE)),
        request=asked(tools=(ORDER,)),
    )
    assert not [event for event in events if isinstance(event, ToolCall)]


def test_a_stream_cut_in_a_tool_call_calls_nothing(official: Line) -> None:
    cut = Script((CHUNK(None, tool_calls=[FIRST]),))
    assert official.fails(*[cut] * 3, request=asked(tools=(ORDER,))).failure is errors.TRUNCATED


def test_a_named_tool_can_be_demanded(official: Line) -> None:
    body = sent(official, asked(tools=(ORDER,), tool_choice="query_order"))
    assert body["tool_choice"] == {"type": "function", "function": {"name": "query_order"}}


@pytest.mark.parametrize("name", ["", "two words", "x" * 65, "查询"])
def test_a_tool_with_a_name_the_api_refuses_is_refused_here(name: str) -> None:
    with pytest.raises(ValueError, match="tool's name"):
        Tool(name, "", {})


# --- JSON mode ---------------------------------------------------------------------------------------------------------
def test_json_mode_always_speaks_of_json(official: Line) -> None:
    body = sent(official, asked("Classify: I want my money back", json=True))
    assert body["response_format"] == {"type": "json_object"}
    assert "JSON" in body["messages"][0]["content"]
    named = sent(official, Request((ChatMessage(SYSTEM, "Answer as json."), ChatMessage(USER, "x")), json=True))
    assert named["messages"][0]["content"] == "Answer as json."


def test_an_empty_json_answer_is_asked_for_again_in_other_words(official: Line) -> None:
    empty = Script((CHUNK("   "), CHUNK("", finish="length"), DONE))
    assert official.fails(empty, request=asked(json=True)).failure is errors.EMPTY  # whitespace was sent: not twice
    nothing = Script((CHUNK("", finish="stop"), DONE))
    official.simulator.seen.clear()
    assert text(official.ask(nothing, answer(['{"a": 1}']), request=asked(json=True))) == '{"a": 1}'
    first, second = (seen.body["messages"][-1]["content"] for seen in official.simulator.seen)
    assert first != second


# --- pictures ----------------------------------------------------------------------------------------------------------
PICTURE = Image("image/png", b"\x89PNG\r\n")


def test_a_picture_goes_along_as_data_and_never_as_an_address(official: Line) -> None:
    request = Request((ChatMessage(USER, "What is this?", images=(PICTURE,)),))
    content = sent(official, request)["messages"][0]["content"]
    assert content[0] == {"type": "text", "text": "What is this?"}
    assert content[1]["image_url"]["url"].startswith("data:image/png;base64,iVBORw0K")


def test_a_model_that_cannot_see_is_shown_no_picture(official: Line) -> None:
    request = Request((ChatMessage(USER, "What is this?", images=(PICTURE,)),))
    assert sent(official, request, model="deepseek-v4-pro")["messages"][0]["content"] == "What is this?"
    assert repair([ChatMessage(ASSISTANT, "x", images=(PICTURE,))], vision=True)[0].images == ()


# --- a history no server refuses ---------------------------------------------------------------------------------------
CALL = ToolCall("c1", "query_order", "{}")


def test_neighbours_of_one_role_become_one_message() -> None:
    merged = repair([ChatMessage(USER, "a"), ChatMessage(USER, "b"), ChatMessage(ASSISTANT, "c")], vision=False)
    assert [(message.role, message.text) for message in merged] == [(USER, "a\n\nb"), (ASSISTANT, "c")]


def test_a_tool_call_without_its_answer_gets_one_and_an_answer_without_its_call_is_dropped() -> None:
    history = [
        ChatMessage(TOOL, "stray", tool_call_id="c9"),
        ChatMessage(USER, "Where?"),
        ChatMessage(ASSISTANT, tool_calls=(CALL,)),
        ChatMessage(USER, "And?"),
    ]
    repaired = repair(history, vision=False)
    assert [message.role for message in repaired] == [USER, ASSISTANT, TOOL, USER]
    assert repaired[2].tool_call_id == "c1"
    assert repair([ChatMessage(ASSISTANT, tool_calls=(CALL,))], vision=False)[-1].role == TOOL


# --- what is too long --------------------------------------------------------------------------------------------------
def test_what_does_not_fit_leaves_out_old_history_then_weak_sources_never_rules_or_question() -> None:
    sources = tuple(f"[{n}] source {n} " + "words " * 100 for n in range(1, 6))
    joined = "\n\n".join(sources)
    history = tuple(Utterance("visitor", f"message {n} " + "words " * 50) for n in range(10))
    prompt = Prompt("the rules", history, "q", f"<s>\n{joined}\n</s>\n\nthe question", (), "en", "1", sources)
    request = request_for(prompt, room=700)
    whole = "\n".join(message.text for message in request.messages)
    assert "the rules" in whole
    assert "the question" in whole
    assert "[1] source 1" in whole
    assert "message 0" not in whole
    assert sum(estimate_tokens(message.text) for message in request.messages) <= 700
    tight = request_for(prompt, room=260).messages
    assert [message.role for message in tight] == [SYSTEM, USER]
    assert "the question" in tight[1].text
    assert "[1] source 1" in tight[1].text
    assert "[2] source 2" not in tight[1].text
    with pytest.raises(TooLong):
        request_for(prompt, room=100)


def test_tokens_are_estimated_on_the_safe_side_of_the_documented_ratios() -> None:
    assert estimate_tokens("") == 0
    assert estimate_tokens("中" * 100) == 69
    assert estimate_tokens("a" * 100) == 35


def test_errors_in_html_or_nothing_at_all_are_sorted_by_their_status(official: Line) -> None:
    page = Script((b"<html><h1>502</h1></html>",), 502, {"content-type": "text/html"})
    assert official.fails(*[page] * 3).failure is errors.SERVER
    assert official.fails(Script((b"",), 401, {})).failure is errors.AUTH


def test_the_trace_id_of_the_provider_is_kept(official: Line) -> None:
    script = answer(["ok"])
    official.ask(Script(script.body, 200, {**script.headers, "x-ds-trace-id": "abc123"}))
    assert official.calls[-1].trace == "abc123"


def test_what_all_tries_used_is_added_up(official: Line) -> None:
    nothing = Script((CHUNK("", finish="stop", usage={"prompt_tokens": 10, "completion_tokens": 1}), DONE))
    official.ask(nothing, error(503, "overloaded"), answer(["ok"]))
    (call,) = official.calls
    assert call.tries == 3
    assert call.usage
    assert (call.usage.prompt, call.usage.completion) == (130, 2)


def test_models_and_balance_are_read(official: Line) -> None:
    import asyncio
    from decimal import Decimal

    async def look() -> None:
        provider = official.provider()
        assert await provider.models() == ["deepseek-flash", "deepseek-v4-pro"]
        balance = await provider.balance()
        assert balance
        assert balance.available
        assert balance.amounts == {"CNY": Decimal("110.00")}
        await provider.aclose()

    asyncio.run(look())


def test_the_prompt_is_the_one_of_the_suite(official: Line) -> None:
    assert sent(official, request_for(PROMPT))["messages"][-1]["content"] == "sources and question"
