"""A whole turn with providers behind it: who is asked, in which order, what it may cost, and what is written down."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from chatbot import providers
from chatbot.crossing import cross
from chatbot.live.hub import Hub
from chatbot.llm.simulator.app import Simulator
from chatbot.llm.simulator.faults import FAULTS
from chatbot.llm.simulator.wording import ChatWording, answer, error
from chatbot.models import Budget, Price, Provider
from chatbot.runner import Runner
from conversations import services
from conversations.models import Conversation, Status, Turn
from knowledge import services as knowledge
from knowledge.tasks import HANDLERS
from tests.chatbot.asking import QUESTION, ask, calls
from tests.serving import serving
from workspace import leases
from workspace.models import User, Workspace

pytestmark = pytest.mark.django_db(transaction=True)

FAQ = "question,answer\nHow long do refunds take?,Refunds take seven days.\nDo you ship to Norway?,Yes in ten days.\n"


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Simulator, int, Simulator, int]]:
    first, second = Simulator(), Simulator()
    with serving(first) as one, serving(second) as two:
        yield first, one, second, two


@pytest.fixture(autouse=True)
def _fresh(servers: Any) -> None:
    for simulator in (servers[0], servers[2]):
        simulator.scripts.clear()
        simulator.seen.clear()
    providers._breakers.clear()


@pytest.fixture
def shop(conversation: Conversation) -> Conversation:
    collection = knowledge.find_or_create_collection(workspace=conversation.workspace, name="shop")
    knowledge.add_file(collection=collection, name="faq.csv", data=FAQ.encode())
    while leases.run_next(HANDLERS):
        pass
    return conversation


def connect(workspace: Workspace, port: int, **fields: Any) -> Provider:
    defaults = {"name": f"at {port}", "base_url": f"http://127.0.0.1:{port}", "secret": {"key": "sk-test"}}
    return Provider.objects.of(workspace).create(**{**defaults, **fields})


def test_what_the_faq_holds_is_answered_without_a_call(shop: Conversation, servers: Any, settings: Any) -> None:
    connect(shop.workspace, servers[1])
    settings.FAQ_WITHOUT_MODEL = True
    turn, said = ask(shop)
    assert (turn.source, said) == ("faq", "Refunds take seven days. [1]")
    assert calls(shop) == []


def test_an_answer_is_generated_and_its_call_is_written_down(shop: Conversation, servers: Any) -> None:
    provider = connect(shop.workspace, servers[1])
    turn, said = ask(shop)
    assert (turn.source, turn.model, said) == ("generated", "deepseek-flash", "Refunds take seven days. [1]")
    (call,) = calls(shop)
    assert (call.provider, call.conversation, call.inbox, call.contact) == (
        provider, shop, shop.inbox, shop.contact,
    )  # fmt: skip
    assert call.turn == turn.public_id
    assert call.prompt_version == turn.versions["prompt"]
    assert call.cost
    assert call.cost > 0
    assert (call.missed_tokens + call.cached_tokens, call.output_tokens) == (turn.prompt_tokens, turn.completion_tokens)
    assert call.first_ms is not None


def test_the_next_provider_is_asked_when_one_fails_and_quotations_are_the_last(
    shop: Conversation, servers: Any
) -> None:
    first, one, second, two = servers
    connect(shop.workspace, one, position=1, name="first")
    connect(shop.workspace, two, position=2, name="second")
    first.scripts.append(error(402, "Insufficient Balance"))
    turn, _ = ask(shop)
    assert turn.source == "generated"
    assert turn.flags["model_failures"] == ["quota"]
    assert [(call.provider_name, call.failure) for call in calls(shop)] == [("first", "quota"), ("second", "")]

    first.scripts.append(error(401, "no"))
    second.scripts.append(error(400, "Content Exists Risk"))
    turn, said = ask(shop, "Do you ship to Norway?")
    assert (turn.source, turn.outcome) == ("extractive", Turn.Outcome.ANSWERED)
    assert "ten days" in said
    assert turn.flags["model_failures"] == ["auth", "content_risk"]


def test_a_model_that_fails_is_told_in_words_in_the_terminal_and_at_the_desk(
    shop: Conversation, servers: Any, mei: User
) -> None:
    connect(shop.workspace, servers[1])

    def printed() -> str:
        out = StringIO()
        call_command("ask", QUESTION, stdout=out)
        return out.getvalue()

    servers[0].scripts.append(error(401, "no"))
    said = printed()
    assert "(The language model could not be reached: auth. Quoted from the documents)" in said
    assert "The provider does not accept the key." in said
    assert "(Written by AI from the documents)" in printed()

    servers[0].scripts.append(error(401, "no"))
    ask(shop, "Do you ship to Norway?")
    client = Client()
    client.force_login(mei)
    about = client.get(f"/desk/{shop.public_id}/about/").content.decode()
    assert "Model failed" in about
    assert "The provider does not accept the key." in about


def test_an_answer_that_breaks_off_is_kept_as_far_as_it_came_and_nobody_else_is_asked(
    shop: Conversation, servers: Any
) -> None:
    first, one, second, two = servers
    connect(shop.workspace, one, position=1)
    connect(shop.workspace, two, position=2)
    first.scripts.append(FAULTS["unfinished"](ChatWording()))
    turn, said = ask(shop)
    assert (turn.outcome, turn.error) == (Turn.Outcome.FAILED, "truncated")
    assert said.startswith("This is the beginning")
    assert not second.seen


def test_a_prompt_that_is_too_long_is_shortened_and_sent_once_more(shop: Conversation, servers: Any) -> None:
    connect(shop.workspace, servers[1], context_window=2_000, max_tokens=200)
    servers[0].scripts.append(FAULTS["context_too_long"](ChatWording()))
    _, said = ask(shop)
    assert said == "Refunds take seven days. [1]"
    whole, shorter = (str(seen.body["messages"]) for seen in servers[0].seen)
    assert len(shorter) <= len(whole)
    assert QUESTION in shorter
    assert [call.failure for call in calls(shop)] == ["context_too_long", ""]


def test_a_gateway_speaks_its_own_dialect_in_the_visitors_language(shop: Conversation, servers: Any) -> None:
    secret = {"client_id": "app-1", "client_secret": "a-secret-of-at-least-thirty-two-bytes"}
    models = {"zh": "deepseek-zh-7b"}
    connect(
        shop.workspace, servers[1], dialect="gateway", secret=secret, model="deepseek-chat-7b", model_by_language=models
    )
    turn, _ = ask(shop)
    assert turn.source == "generated"
    moderation, completion = servers[0].seen
    assert (moderation.path, moderation.body["input"]) == ("/v1/moderation", QUESTION)
    assert (completion.path, completion.body["language"]) == ("/v1/text/completion", "en-US")
    assert calls(shop)[0].cost is None, "nobody has said what it charges"


def test_what_a_gateway_flags_is_noted_and_a_rude_word_refuses_nobody(shop: Conversation, servers: Any) -> None:
    secret = {"client_id": "app-1", "client_secret": "a-secret-of-at-least-thirty-two-bytes"}
    connect(shop.workspace, servers[1], dialect="gateway", secret=secret)
    turn, _ = ask(shop, "Is it forbidden to ask how long refunds take?")
    assert turn.flags["noted"] == ["abuse"]
    assert turn.outcome != Turn.Outcome.REFUSED


# --- the ladder --------------------------------------------------------------------------------------------------------
def spent(conversation: Conversation, percent: int, **fields: Any) -> None:
    """A budget of which this much is gone."""
    provider = Provider.objects.of(conversation.workspace).first()
    assert provider
    million = dict.fromkeys(("miss", "hit", "output"), Decimal(10))
    Price.objects.of(conversation.workspace).create(provider=provider, model="deepseek-flash", **million)
    ask(conversation)
    cost = calls(conversation)[-1].cost
    assert cost
    # the amount that makes what was spent this percentage, rounded down
    amount = (cost * 100 / percent).quantize(Decimal("0.0001"), rounding="ROUND_DOWN")
    Budget.objects.of(conversation.workspace).create(amount=amount, period="day", **fields)
    providers.forget_plans()


@pytest.fixture
def big(servers: Any) -> None:
    """An answer that costs enough to be measured in budgets."""
    usage = {"prompt_tokens": 90_000, "completion_tokens": 10_000}
    servers[0].scripts.append(answer(["Refunds take seven days. [1]"], usage=usage))


@pytest.mark.usefixtures("big")
def test_above_eighty_percent_prompts_are_shorter_and_answers_too(shop: Conversation, servers: Any) -> None:
    connect(shop.workspace, servers[1])
    spent(shop, 85)
    turn, _ = ask(shop, "Do you ship to Norway?")
    assert turn.source == "generated"
    assert turn.flags["budget"] == "shorter"
    before, after = servers[0].seen[-2].body, servers[0].seen[-1].body
    assert after["max_tokens"] == before["max_tokens"] // 2
    assert len(after["messages"]) <= 3 + 1


@pytest.mark.usefixtures("big")
def test_when_it_is_spent_the_bot_quotes_and_no_model_is_asked(shop: Conversation, servers: Any) -> None:
    connect(shop.workspace, servers[1])
    spent(shop, 100)
    turn, said = ask(shop, "Do you ship to Norway?")
    assert (turn.source, turn.flags["budget"]) == ("extractive", "extractive")
    assert "ten days" in said
    assert len(calls(shop)) == 1


@pytest.mark.usefixtures("big")
def test_an_owner_may_want_a_person_then(shop: Conversation, servers: Any) -> None:
    connect(shop.workspace, servers[1])
    spent(shop, 100, person_at=100)
    turn, _ = ask(shop, "Do you ship to Norway?")
    shop.refresh_from_db()
    assert (turn.outcome, shop.status) == (Turn.Outcome.HANDED_OFF, Status.QUEUED)
    assert len(calls(shop)) == 1


# --- the process -------------------------------------------------------------------------------------------------------
def test_a_changed_provider_gets_a_new_connection_and_the_old_one_ends_its_answers(
    shop: Conversation, servers: Any
) -> None:
    from dataclasses import replace

    from chatbot import ledger
    from chatbot.llm.request import USER, ChatMessage, Request
    from chatbot.turn.values import Text

    profile = ledger.profile_of(connect(shop.workspace, servers[1]))
    servers[0].scripts.append(answer(["a", "b", "c", "d"], pause_s=0.1))

    async def change() -> str:
        old = providers.provider_for(shop.workspace_id, profile)
        stream = old.stream(Request((ChatMessage(USER, "x"),)))
        await anext(stream)
        new = providers.provider_for(shop.workspace_id, replace(profile, max_tokens=5))
        assert new is not old
        assert providers.provider_for(shop.workspace_id, replace(profile, max_tokens=5)) is new
        said = "".join([event.text async for event in stream if isinstance(event, Text)])
        await providers.close_providers()
        return said

    assert asyncio.run(change()) == "abcd"


def test_user_ids_are_hashes_of_letters_and_digits_and_tell_visitors_apart_only_where_the_owner_wants_it(
    shop: Conversation,
) -> None:
    from chatbot.store import view_inbox
    from chatbot.turn.values import Question

    ask_as = [Question("t", "c", "x", view_inbox(shop.inbox), contact=contact) for contact in ("cnt_1", "cnt_2")]
    per_inbox = {providers.user_id("inbox", question) for question in ask_as}
    per_visitor = {providers.user_id("visitor", question) for question in ask_as}
    assert (len(per_inbox), len(per_visitor), providers.user_id("off", ask_as[0])) == (1, 2, "")
    assert all(
        name.replace("_", "").isalnum() and name.isascii() and len(name) <= 64 for name in per_inbox | per_visitor
    )
    assert "cnt_1" not in "".join(per_visitor)


def test_an_interrupted_turn_is_logged_like_any_other(shop: Conversation, servers: Any, mei: User) -> None:
    connect(shop.workspace, servers[1])
    servers[0].scripts.append(answer(["Refunds "] * 100, pause_s=0.05))
    turn = services.add_visitor_message(conversation_id=shop.pk, text=QUESTION, client_id="1").turn
    assert turn

    async def cut_in() -> None:
        live = Hub()
        live.start()
        task = Runner(live).start(turn, conversation=shop.public_id, pace=0)
        while not (log := live.running(shop.public_id)) or not log.released:
            await asyncio.sleep(0.02)
        shown = await live.hold_here(shop.public_id, "a hold")
        await cross(services.take_over, conversation_id=shop.pk, agent=mei, shown=shown)
        await task
        await live.stop()
        await providers.close_providers()

    asyncio.run(cut_in())
    turn.refresh_from_db()
    assert turn.outcome == Turn.Outcome.INTERRUPTED
    assert turn.passages
    assert turn.evidence
    assert turn.timings_ms
    assert (turn.source, turn.model) == ("generated", "deepseek-flash")
    assert turn.first_text_ms is not None
    assert turn.total_ms is not None
