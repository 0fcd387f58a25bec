"""Which language a question is answered in."""

import asyncio
from dataclasses import replace

import pytest

from chatbot.turn.language import ByScript, answer_language
from chatbot.turn.query import leans
from chatbot.turn.remarks import Weight, weigh
from chatbot.turn.values import BOT, VISITOR, NoAnswer, Utterance
from tests.chatbot.turn.stages import FakeKnowledge, FakeModel, question, run, stages


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How long?", "en"),
        ("退款多久？", "zh"),
        ("退款多久到賬？", "zh-hant"),
        ("怎么用 AeroPress", "zh"),
        ("いつですか", "ja"),
    ],
)
def test_it_is_the_questions(text: str, language: str) -> None:
    assert answer_language(text, (), "en") == language


def test_words_that_look_the_same_in_both_scripts_are_in_that_of_what_was_said_before() -> None:
    assert answer_language("你好", (), "en") == "zh"
    assert answer_language("你好", ("可以", "退貨運費由誰負擔？", "谁负担？"), "en") == "zh-hant"
    assert answer_language("你好", ("谁负担？", "由誰負擔？"), "en") == "zh"
    assert answer_language("你好", (), "zh-Hant") == "zh-hant"
    assert answer_language("你好", (), "zh-TW") == "zh-hant"
    assert answer_language("谁", (), "zh-Hant") == "zh"


def test_only_the_visitors_own_words_tell() -> None:
    said = (Utterance(VISITOR, "由誰負擔？"), Utterance(BOT, "由我们负担。"))
    assert ByScript().answers_in(question("你好", said)) == "zh-hant"
    assert ByScript().answers_in(replace(question("你好"), history=said[1:])) == "zh"


def test_the_model_is_told_so_and_so_are_our_own_sentences() -> None:
    model = FakeModel()
    asyncio.run(run(question("退款多久到賬？"), stages(model=model)))
    assert "Answer in: Traditional Chinese" in model.prompts[0].request
    _, outcome = asyncio.run(run(question("退款多久到賬？"), stages(knowledge=FakeKnowledge(()))))
    assert isinstance(outcome, NoAnswer)
    assert outcome.text == "<no_source zh-hant>"


def test_traditional_words_point_back_and_tell_like_simplified_ones() -> None:
    assert leans("這個還需要另外付運費嗎，或者不必")
    assert not leans("請問退貨運費由誰負擔呀，多少錢")
    assert weigh("麻煩了") == weigh("麻烦了") == Weight.NOTHING
    assert weigh("退款需要多長時間，為什麼這樣") is Weight.QUESTION
