"""What a turn does with what is remembered."""

import asyncio

from chatbot.turn.values import NOTHING, Answered, Earlier, NoAnswer, Recalled
from tests.chatbot.turn.stages import FakeCache, FakeKnowledge, FakeMemory, FakeModel, question, run, stages

BERGEN = Recalled(1, True, "2026-11-25", "We moved to Bergen.")
WHERE = question("Which city do I live in?")


def turn(earlier: Earlier, **chosen):
    model = FakeModel(("You live in Bergen.",))
    _, outcome = asyncio.run(run(WHERE, stages(memory=FakeMemory(earlier), model=model, **chosen)))
    return outcome, model


def test_a_question_about_the_visitor_goes_to_the_model_though_no_source_answers_it() -> None:
    outcome, model = turn(Earlier(exchanges=(BERGEN,), personal=True), knowledge=FakeKnowledge(()))
    assert isinstance(outcome, Answered)
    (prompt,) = model.prompts
    assert prompt.earlier == ("#1 Visitor: We moved to Bergen.",)
    assert prompt.earlier[0] in prompt.request
    assert prompt.told == "<no_source en>", "what is said should no model answer"


def test_a_remark_that_answers_beyond_doubt_is_there_to_be_quoted() -> None:
    _, model = turn(Earlier(exchanges=(BERGEN,), told=BERGEN.said), knowledge=FakeKnowledge(()))
    assert model.prompts[0].told == "<told en> We moved to Bergen."


def test_what_is_remembered_of_something_else_is_no_source() -> None:
    outcome, model = turn(Earlier(exchanges=(BERGEN,)), knowledge=FakeKnowledge(()))
    assert isinstance(outcome, NoAnswer)
    assert model.prompts == []


def test_where_sources_answer_they_do_and_the_memory_stands_beside_them() -> None:
    _, model = turn(Earlier(exchanges=(BERGEN,), personal=True, told=BERGEN.said))
    assert model.prompts[0].told == ""
    assert model.prompts[0].passages
    assert model.prompts[0].earlier


def test_an_answer_that_drew_on_the_memory_is_not_kept_for_others() -> None:
    for earlier, kept in ((Earlier(exchanges=(BERGEN,)), 0), (NOTHING, 1)):
        cache = FakeCache()
        turn(earlier, cache=cache)
        assert len(cache.put_in) == kept
