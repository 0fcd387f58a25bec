"""Asking for a person always works; speaking of people does not."""

import csv
import json
from pathlib import Path

import pytest

from chatbot.intents.person import asks_for_person
from chatbot.intents.recogniser import IntentSet, Recogniser


@pytest.mark.parametrize(
    "text",
    [
        "I want to talk to a person",
        "Can I talk to a real human please",
        "let me speak with someone",
        "human please",
        "get me a human",
        "transfer me to an agent",
        "put me through to a representative",
        "connect me with a real person",
        "agent",
        "live chat",
        "I don't want a bot, give me a real person",
        "escalate this to a manager",
        "转人工",
        "我要找人工客服",
        "人工",
        "有没有真人客服",
        "帮我转接人工",
        "不想跟机器人聊，找个人来",
        "叫你们经理来",
        "我想跟真人说话",
        "帮我安排一下人工处理",
        "需要人工",
        "轉人工",
        "我在台北，轉人工",
        "轉人工，谢谢",
        "幫我轉接真人",
        "不想跟機器人聊，找個人來",
    ],
)
def test_this_asks_for_a_person(text: str) -> None:
    assert asks_for_person(text)


@pytest.mark.parametrize(
    "text",
    [
        "How can I transfer a Google doc to someone else?",
        "Can I switch delivery to another person?",
        "How do I pass the grinder on to somebody else?",
        "Is there a person in the photo?",
        "Can I talk to someone else's account?",
        "I don't want to talk to a human",
        "no need to talk to an agent",
        "Which agent do you use for descaling?",
        "安装咖啡机需要人工费吗？",
        "需要多少人工成本？",
        "你们用人工智能吗？",
        "不用转人工",
        "不用轉人工",
        "人工客服几点上班？",
        "需要人工草坪吗",
    ],
)
def test_this_does_not(text: str) -> None:
    assert not asks_for_person(text)


def test_of_thousands_of_other_questions_hardly_any_is_taken_for_it(data_folder: Path) -> None:
    questions = [row["text"] for row in csv.DictReader((data_folder / "banking77/test.csv").open())]
    for name in ("stackfaq/queries.jsonl", "xquad_zh_en/queries.zh.jsonl", "xquad_zh_en/queries.en.jsonl"):
        questions += [json.loads(line)["text"] for line in (data_folder / name).read_text().splitlines()]
    taken = [text for text in questions if asks_for_person(text)]
    assert len(questions) > 5_000
    assert len(taken) <= len(questions) / 1_000, taken


def test_asking_for_a_person_needs_no_classifier() -> None:
    def fails(workspace: int) -> IntentSet:
        raise AssertionError("nothing may be loaded for this")

    recognised = Recogniser(lambda workspace: "1", fails).recognise(1, "I want to talk to a person")
    assert recognised.wants_person
