"""A question that the FAQ holds is answered from it, without a model."""

import asyncio

from chatbot.turn.faq import LEAD, NEAR, faq_answer
from chatbot.turn.values import Answered, Query, Refused, Retrieved
from tests.chatbot.turn.stages import FakeKnowledge, FakeModel, passage, question, run, stages

ENTRY = passage("Seven days.", score=NEAR + LEAD, phrasing="How long do refunds take?")
ASKED = Query("How long do refunds take?")


class FromFaq:
    async def answer(self, query, retrieved, language):
        return faq_answer(query, retrieved)


def test_the_owners_answer_is_given_with_its_source_and_no_model_hears_of_it() -> None:
    model = FakeModel()
    deltas, outcome = asyncio.run(
        run(question(), stages(knowledge=FakeKnowledge((ENTRY,)), faq=FromFaq(), model=model))
    )
    assert deltas == model.prompts == []
    assert isinstance(outcome, Answered)
    assert (outcome.text, outcome.source) == ("Seven days. [1]", "faq")
    assert [citation.passage for citation in outcome.citations] == [ENTRY.id]


def test_it_passes_the_same_rules_as_any_other_answer() -> None:
    bad = passage("Watch porn.", score=1.0, phrasing="How long do refunds take?")
    _, outcome = asyncio.run(run(question(), stages(knowledge=FakeKnowledge((bad,)), faq=FromFaq())))
    assert isinstance(outcome, Refused)


def test_what_the_encoder_does_not_understand_must_be_the_very_words() -> None:
    entry = passage("七天。", score=1.0, phrasing="退款多久到账？")
    assert faq_answer(Query("退款 多久到账"), Retrieved((entry,), understood=0.2))
    assert faq_answer(Query("退款多久到賬"), Retrieved((entry,), understood=0.2))
    assert faq_answer(Query("退货多久到账"), Retrieved((entry,), understood=0.2)) is None


def test_what_is_not_certain_goes_to_the_model() -> None:
    other = Query("How long does a refund take to arrive?")
    far = passage(score=NEAR - 0.01, phrasing="How long do refunds take?")
    by_its_answer = passage(score=1.0)
    beside = passage(score=ENTRY.score - LEAD / 2, id="ent_2")
    assert faq_answer(other, Retrieved((ENTRY,)))
    assert faq_answer(other, Retrieved((far,))) is None
    assert faq_answer(ASKED, Retrieved((by_its_answer,))) is None
    assert faq_answer(other, Retrieved((ENTRY, beside))) is None
    assert faq_answer(Query("How long does it take?", ("Refunds",)), Retrieved((ENTRY,))) is None
    assert faq_answer(Query(ASKED.text, ("Do you ship to Norway?",)), Retrieved((ENTRY,)))
    assert faq_answer(ASKED, Retrieved(())) is None
