"""Passages that contradict each other, and what becomes of it."""

import asyncio

import pytest

from chatbot.turn.conflicts import conflicts
from chatbot.turn.values import Answered
from tests.chatbot.turn.stages import FakeKnowledge, FakeModel, passage, question, run, stages

OLD = passage("An unopened grinder may be returned within 14 days of delivery.", id="a")
NEW = passage("An unopened grinder may be returned within 30 days of delivery.", id="b")


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        (OLD.text, NEW.text, True),
        ("未拆封的商品在收到后 14 天内可以退货。", "未拆封的商品在收到后 30 天内可以退货。", True),
        ("We ship grinders to Norway and Iceland.", "We do not ship grinders to Norway and Iceland.", True),
        ("我们的磨豆机可以配送到香港地区。", "我们的磨豆机不可以配送到香港地区。", True),
        (OLD.text, OLD.text, False),
        (OLD.text, "An opened grinder may be returned within 30 days only if the motor is faulty.", False),
        ("Shipping to Germany costs 5 euros.", "The motor is covered for 24 months.", False),
        ("Orders before 14:00 leave the same day.", "Orders before 14:00 leave on the same day.", False),
    ],
)
def test_alike_sentences_with_other_figures_or_a_not_clash(one: str, other: str, clash: bool) -> None:
    assert conflicts((passage(one, id="a"), passage("Nothing.", id="x"), passage(other, id="b"))) == (
        ((1, 3),) if clash else ()
    )


def test_the_model_is_told_and_nothing_is_said_where_they_agree() -> None:
    model = FakeModel()
    asyncio.run(run(question(), stages(knowledge=FakeKnowledge((OLD, NEW)), model=model)))
    asyncio.run(run(question(), stages(knowledge=FakeKnowledge((OLD,)), model=model)))
    assert "Sources 1 and 2 contradict each other." in model.prompts[0].request
    assert "contradict" not in model.prompts[1].request


def test_a_faq_entry_is_not_simply_quoted_when_another_source_contradicts_it() -> None:
    class Written:
        async def answer(self, query, retrieved, language):
            return Answered("14 days. [1]", source="faq")

    model = FakeModel()
    asyncio.run(run(question(), stages(knowledge=FakeKnowledge((OLD, NEW)), model=model, faq=Written())))
    assert len(model.prompts) == 1
