"""Questions in other words, by a model behind a real connection: what is asked, found, paid, and what a failure costs."""

import asyncio
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from chatbot import providers
from chatbot.crossing import cross
from chatbot.live.hub import Hub
from chatbot.llm.simulator.app import Simulator
from chatbot.llm.simulator.faults import FAULTS
from chatbot.llm.simulator.wording import ChatWording, answer, error
from chatbot.models import Budget, Price, Provider
from chatbot.retriever import written_in
from chatbot.runner import Runner
from chatbot.trial_question import try_question
from conversations import services
from conversations.models import Conversation, Turn
from knowledge import services as knowledge
from knowledge.models import Chunk
from knowledge.search import search
from knowledge.tasks import HANDLERS
from tests.chatbot.asking import ask, calls
from tests.serving import serving
from workspace import leases
from workspace.models import User

pytestmark = pytest.mark.django_db(transaction=True)

FAQ = (
    "question,answer\n"
    "Do you ship to Norway?,Yes in ten days. There is an express courier as well.\n"
    "How much is gift wrapping?,Two euros.\n"
    "How much is the express courier?,Nineteen euros.\n"
    "Is it safe for children?,It is.\n"
)
FIRST, LEANING, PLAINLY = "Do you ship to Norway?", "How much is that?", "How much is the express courier?"
CHINESE = "加急快递多少钱？"


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Simulator, int]]:
    simulator = Simulator()
    with serving(simulator) as port:
        yield simulator, port


@pytest.fixture
def model(server: tuple[Simulator, int], shop: Conversation, settings: Any) -> Simulator:
    simulator, port = server
    simulator.scripts.clear()
    simulator.seen.clear()
    providers._breakers.clear()
    settings.REWRITE = True
    secret = {"key": "sk-test"}
    Provider.objects.of(shop.workspace).create(name="d", base_url=f"http://127.0.0.1:{port}", secret=secret)
    return simulator


@pytest.fixture
def shop(conversation: Conversation) -> Conversation:
    collection = knowledge.find_or_create_collection(workspace=conversation.workspace, name="shop")
    knowledge.add_file(collection=collection, name="faq.csv", data=FAQ.encode())
    while leases.run_next(HANDLERS):
        pass
    return conversation


def purposes(conversation: Conversation) -> list[str]:
    return [call.purpose for call in calls(conversation)]


def best(conversation: Conversation, turn: Turn) -> str:
    """The FAQ question that the turn found first."""
    found = turn.passages[0]["id"]
    row = Chunk.objects.of(conversation.workspace).filter(entry__public_id=found).first()
    assert row
    assert row.entry
    return str(row.entry.question)


def test_a_question_that_leans_on_an_answer_is_put_plainly_and_searched_for_both_ways(
    shop: Conversation, model: Simulator, settings: Any
) -> None:
    settings.REWRITE = False
    ask(shop, FIRST)
    turn, _ = ask(shop, LEANING)
    assert best(shop, turn) != PLAINLY, "or this test would show nothing"

    settings.REWRITE = True
    model.scripts.append(answer([PLAINLY[:9], PLAINLY[9:]]))
    turn, said = ask(shop, LEANING)
    assert turn.query.splitlines()[:2] == [LEANING, PLAINLY]
    assert best(shop, turn) == PLAINLY
    assert "Nineteen euros." in said
    assert purposes(shop) == ["answer", "answer", "rewrite", "answer"]
    assert turn.timings_ms["rewrite"] > 0

    asked, answered = (seen.body for seen in list(model.seen)[-2:])
    assert "express courier as well" in asked["messages"][-1]["content"], "what the bot said is what it leans on"
    assert asked["max_tokens"] <= 100
    assert asked["temperature"] == 0
    assert PLAINLY not in answered["messages"][-1]["content"].rpartition("<question-")[2]
    assert LEANING in answered["messages"][-1]["content"]


def test_its_cost_is_in_the_ledger_with_the_turn_it_was_for(shop: Conversation, model: Simulator) -> None:
    ask(shop, FIRST)
    model.scripts.append(answer([PLAINLY]))
    turn, _ = ask(shop, LEANING)
    call = calls(shop)[1]
    assert (call.purpose, call.turn, call.prompt_version) == ("rewrite", turn.public_id, "rewrite-1")
    assert (call.conversation, call.inbox, call.contact) == (shop, shop.inbox, shop.contact)
    assert call.cost
    assert call.cost > 0
    assert (call.output_tokens, call.failure) == (1, "")


def test_a_chinese_question_reaches_an_english_passage(shop: Conversation, model: Simulator, settings: Any) -> None:
    settings.REWRITE = False
    turn, _ = ask(shop, CHINESE)
    assert turn.outcome == Turn.Outcome.NO_ANSWER, "or this test would show nothing"

    settings.REWRITE = True
    model.scripts.append(answer(["How much is an express courier?"]))
    turn, said = ask(shop, CHINESE)
    assert (turn.outcome, best(shop, turn)) == (Turn.Outcome.ANSWERED, PLAINLY)
    assert "Nineteen euros." in said
    rewriting, answering = (seen.body["messages"][-1]["content"] for seen in model.seen)
    assert "Write in: the language of the example" in rewriting
    assert "Answer in: Simplified Chinese" in answering
    assert CHINESE in answering


def test_the_test_page_and_the_terminal_do_the_same(shop: Conversation, model: Simulator) -> None:
    model.scripts.append(answer([PLAINLY]))
    tried = asyncio.run(try_question(workspace=shop.workspace, question=CHINESE))
    assert tried.passages[0].question == PLAINLY
    assert "rewrite" in tried.timings_ms


def test_what_needs_no_other_words_waits_for_none(shop: Conversation, model: Simulator, settings: Any) -> None:
    settings.FAQ_WITHOUT_MODEL = True
    ask(shop, FIRST)
    ask(shop, "What is the price of wrapping a gift for a friend?")
    ask(shop, "Is it safe for children?")
    assert "rewrite" not in purposes(shop)


def test_a_model_that_is_slow_costs_the_time_limit_and_no_more(
    shop: Conversation, model: Simulator, settings: Any
) -> None:
    settings.REWRITE_TIMEOUT_S = 0.3
    ask(shop, FIRST)
    model.scripts.append(answer(["How ", "much ", "is ", "the ", "courier?"], pause_s=2.0))
    turn, _ = ask(shop, LEANING)
    assert turn.outcome == Turn.Outcome.ANSWERED
    assert turn.source == "generated"
    assert turn.query.splitlines()[0] == LEANING
    assert "courier" not in turn.query
    assert 250 < turn.timings_ms["rewrite"] < 1_500
    given_up = calls(shop)[1]
    assert (given_up.purpose, given_up.failure, given_up.estimated) == ("rewrite", "stopped", True)
    assert given_up.cost
    assert not model.open, "the connection was closed"


@pytest.mark.parametrize(
    "script",
    [
        error(402, "Insufficient Balance"),
        FAULTS["unfinished"](ChatWording()),
        answer(["How much is the express"], finish="length"),
        None,  # the simulator says it again
        answer(["I am sorry, but " * 60]),
    ],
    ids=["refused", "breaks off", "cut", "the same", "a speech"],
)
def test_a_model_that_does_not_help_leaves_the_visitors_own_words(
    shop: Conversation, model: Simulator, script: Any
) -> None:
    ask(shop, FIRST)
    model.scripts += [script] if script else []
    turn, _ = ask(shop, LEANING)
    assert (turn.outcome, turn.source) == (Turn.Outcome.ANSWERED, "generated")
    assert turn.query.splitlines() == [LEANING, FIRST]
    assert purposes(shop) == ["answer", "rewrite", "answer"]


def test_a_strained_budget_is_kept_for_answers(shop: Conversation, model: Simulator) -> None:
    provider = Provider.objects.of(shop.workspace).get()
    rates = dict.fromkeys(("miss", "hit", "output"), Decimal(10))
    Price.objects.of(shop.workspace).create(provider=provider, model="deepseek-flash", **rates)
    model.scripts.append(answer(["Yes. [1]"], usage={"prompt_tokens": 90_000, "completion_tokens": 10_000}))
    ask(shop, FIRST)
    cost = calls(shop)[0].cost
    assert cost
    Budget.objects.of(shop.workspace).create(amount=(cost / Decimal("0.85")).quantize(Decimal("0.0001")), period="day")
    providers.forget_plans()
    turn, _ = ask(shop, LEANING)
    assert turn.flags["budget"] == "shorter"
    assert purposes(shop) == ["answer", "answer"]


def test_personal_data_stays_here(shop: Conversation, model: Simulator) -> None:
    ask(shop, FIRST)
    model.scripts.append(answer(["How much is the express courier to [PHONE_1]?"]))
    turn, _ = ask(shop, "How much is that? My number is 13812345678")
    assert "13812345678" not in str(list(model.seen)[-2].body)
    assert "13812345678?" in turn.query, "here it is searched for as it was said"


def test_what_the_knowledge_is_written_in_is_told_by_a_sample_of_what_is_searched(shop: Conversation) -> None:
    chinese = knowledge.find_or_create_collection(workspace=shop.workspace, name="中文")
    knowledge.add_file(collection=chinese, name="常见问题.csv", data="问题,答案\n怎么退货？,寄回即可。\n".encode())
    while leases.run_next(HANDLERS):
        pass
    both, one = (search(workspace=shop.workspace, question="x", collections=ids) for ids in ([], [chinese.public_id]))
    assert written_in(one.versions) == {"zh": 1.0}
    assert written_in(both.versions) == {"en": 0.8, "zh": 0.2}
    assert written_in(("col_gone:7",)) == written_in(()) == {}


def test_the_visitors_own_words_find_what_they_found_whatever_the_others_are(shop: Conversation) -> None:
    alone = search(workspace=shop.workspace, question="How much is gift wrapping?")
    beside = search(workspace=shop.workspace, question="How much is gift wrapping?", also=["加急快递"])
    assert beside.passages[0].id == alone.passages[0].id
    assert beside.strength == pytest.approx(alone.strength, abs=1e-6)
    assert beside.understood == alone.understood


def test_an_agent_who_takes_over_does_not_wait_for_other_words(
    shop: Conversation, model: Simulator, settings: Any, mei: User
) -> None:
    settings.REWRITE_TIMEOUT_S = 60.0
    ask(shop, FIRST)
    model.scripts.append(answer(["How ", "much "], pause_s=30.0))
    turn = services.add_visitor_message(conversation_id=shop.pk, text=LEANING, client_id="cut").turn
    assert turn

    async def cut_in() -> float:
        live = Hub()
        live.start()
        task = Runner(live).start(turn, conversation=shop.public_id, pace=0)
        while not model.open:
            await asyncio.sleep(0.02)
        began = time.monotonic()
        shown = await live.hold_here(shop.public_id, "a hold")
        await cross(services.take_over, conversation_id=shop.pk, agent=mei, shown=shown)
        await task
        took = time.monotonic() - began
        await live.stop()
        await providers.close_providers()
        return took

    assert asyncio.run(cut_in()) < 10
    turn.refresh_from_db()
    assert turn.outcome == Turn.Outcome.INTERRUPTED
    assert purposes(shop) == ["answer", "rewrite"]
    assert calls(shop)[-1].failure == "stopped"
