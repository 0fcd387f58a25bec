"""A conversation over a very small knowledge base: what is asked next is judged by itself, or together with what it leans on."""

from pathlib import Path

import pytest

from chatbot.retriever import look_up
from chatbot.turn.evidence import ByStrength
from chatbot.turn.query import leans
from chatbot.turn.values import Grounds, InboxView, Passage, Query, Retrieved
from knowledge import services
from knowledge.search import Found
from knowledge.tasks import HANDLERS
from workspace import leases
from workspace.models import Workspace

pytestmark = pytest.mark.django_db

EN = b"question,answer\nHow long do refunds take?,Refunds take seven days.\nDo you ship to Norway?,In ten days.\n"
ZH = "问题,答案\n退款多久到账？,退款七个工作日到账。\n可以寄到挪威吗？,可以，约十天。\n".encode()
FIRST = {"en": "How long do refunds take?", "zh": "退款多久到账？"}


@pytest.fixture(params=["en", "zh"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def shop(workspace: Workspace, language: str) -> InboxView:
    collection = services.find_or_create_collection(workspace=workspace, name="shop")
    services.add_file(collection=collection, name="faq.csv", data={"en": EN, "zh": ZH}[language])
    while leases.run_next(HANDLERS):
        pass
    return InboxView(id="", workspace=workspace.pk, business="", language=language)


def after_the_first(shop: InboxView, text: str) -> tuple[Found, Grounds]:
    """What is found for a question asked after `FIRST`, and whether it is enough."""
    query = Query(text, (FIRST[shop.language],))
    found = look_up(shop, query)
    passages = tuple(Passage(**vars(passage)) for passage in found.passages)
    evidence = ByStrength().weigh(query, Retrieved(passages, found.understood, found.strength, found.joined))
    return found, evidence.grounds


OTHERS = {
    "en": ("Which football team won the cup in 1974?", "Where was Ludwig van Beethoven born?"),
    "zh": ("1974年哪支球队夺得了世界杯冠军？", "贝多芬出生在哪座城市？"),
}
FOLLOW_UPS = {"en": "And how long does that take at the weekend?", "zh": "那要多久才到账呢？"}
SECOND = {"en": "Can you deliver an order to Norway?", "zh": "能不能寄到挪威去？"}


def test_a_change_of_subject_is_not_answered_from_the_source_of_the_question_before(
    shop: InboxView, language: str
) -> None:
    for text in OTHERS[language]:
        assert not leans(text)
        found, grounds = after_the_first(shop, text)
        assert grounds is Grounds.NONE, text
        assert found.joined == 0
        alone = look_up(shop, Query(text))
        assert found.strength == pytest.approx(alone.strength, abs=1e-6), text


def test_what_leans_on_the_question_before_is_judged_together_with_it(shop: InboxView, language: str) -> None:
    found, grounds = after_the_first(shop, FOLLOW_UPS[language])
    assert grounds is Grounds.ENOUGH
    assert found.joined > 0
    assert found.passages[0].question == FIRST[language]


def test_another_question_with_a_source_is_answered_from_its_own(shop: InboxView, language: str) -> None:
    found, grounds = after_the_first(shop, SECOND[language])
    assert grounds is Grounds.ENOUGH
    assert "10" in found.passages[0].text or "ten" in found.passages[0].text or "十" in found.passages[0].text


FIVE = (
    "问题,相似问法,答案\n"
    "退款退到哪里？,钱退到哪儿了 | 退款是退到哪里的,都是原路退回付款账户。\n"
    "退款多久到账？,什么时候能收到退款,七个工作日。\n"
    "可以寄到哪里？,都能寄到哪些地方,全国都可以寄。\n"
    "保修期有多长？,保修多久,两年。\n"
    "怎么开发票？,发票在哪里开,在账户里申请。\n"
).encode()
DEMO = Path(__file__).parents[2] / "chatbot" / "management" / "demo" / "faq.zh.csv"
UNRELATED = ("法国的首都是哪里？", "珠穆朗玛峰有多高？", "世界杯多久举办一次？", "恐龙是什么时候灭绝的？")


def asked_first(workspace: Workspace, faq: bytes, *questions: str) -> dict[str, Grounds]:
    """Whether there is enough to answer each question in a shop with this FAQ."""
    collection = services.find_or_create_collection(workspace=workspace, name="shop")
    services.add_file(collection=collection, name="faq.csv", data=faq)
    while leases.run_next(HANDLERS):
        pass
    inbox, judged = InboxView(id="", workspace=workspace.pk, business="", language="zh"), {}
    for text in questions:
        found = look_up(inbox, Query(text))
        passages = tuple(Passage(**vars(passage)) for passage in found.passages)
        retrieved = Retrieved(passages, found.understood, found.strength, found.joined)
        judged[text] = ByStrength().weigh(Query(text), retrieved).grounds
    return judged


def test_a_chinese_shop_with_five_entries_has_no_source_for_what_only_shares_question_words(
    workspace: Workspace,
) -> None:
    judged = asked_first(workspace, FIVE, *UNRELATED, "退款会退到哪里", "发票怎么开")
    assert {text: judged[text] for text in UNRELATED} == dict.fromkeys(UNRELATED, Grounds.NONE)
    assert judged["退款会退到哪里"] == judged["发票怎么开"] == Grounds.ENOUGH


def test_the_demo_shop_has_no_source_for_what_only_shares_question_words(workspace: Workspace) -> None:
    judged = asked_first(workspace, DEMO.read_bytes(), *UNRELATED, "退款会退到哪里")
    assert judged == dict.fromkeys(UNRELATED, Grounds.NONE) | {"退款会退到哪里": Grounds.ENOUGH}


@pytest.mark.parametrize("question", ["在哪里？", "要多久？", "怎么办？"])
def test_question_words_alone_are_never_enough(workspace: Workspace, question: str) -> None:
    assert asked_first(workspace, FIVE, question) != {question: Grounds.ENOUGH}
