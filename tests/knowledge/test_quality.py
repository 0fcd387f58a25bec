"""What the owner is told of the quality of a collection: gold sets, findings, questions without an answer."""

import pytest

from knowledge import findings, gold, grouping, layers, services, versions
from knowledge.models import Collection, Finding, GoldRun
from knowledge.tasks import HANDLERS
from workspace import leases
from workspace.models import Workspace

pytestmark = pytest.mark.django_db

FAQ = """question,answer
How long do refunds take?,Refunds take seven days.
How long does a refund take to arrive?,Refunds take fourteen days after we have your parcel.
Do you ship to Norway?,We ship to Norway in ten days.
Do you deliver to Norway?,"Yes, we ship to Norway in ten days."
Can I pay with a gift card?,Yes.
退款多久到账？,退款七个工作日到账。
退款要多久才到账？,退款三个工作日到账。
可以开发票吗？,可以，下单时选择。
"""
GUIDE = "# Care\n\n## Burrs\n\nBrush the burrs of your grinder every two weeks and never wash them with water."


@pytest.fixture
def shop(workspace: Workspace) -> Collection:
    return services.find_or_create_collection(workspace=workspace, name="shop")


def take_in(shop: Collection, name: str = "", data: str = "") -> None:
    if name:
        services.add_file(collection=shop, name=name, data=data.encode())
    while leases.run_next(HANDLERS):
        pass
    shop.refresh_from_db()


def test_a_gold_set_is_asked_of_every_version_and_of_the_draft(shop: Collection) -> None:
    take_in(shop, "faq.csv", FAQ)
    take_in(shop, "guide.md", GUIDE)
    gold_set = gold.find_or_create_set(collection=shop, name="main")
    gold.add_questions(
        gold_set=gold_set,
        wanted=[
            gold.Wanted("how often do I brush the burrs", "guide.md"),
            gold.Wanted("is a gift card fine for paying", "faq.csv", "Can I pay with a gift card?"),
            gold.Wanted("is a gift card fine for paying?", "guide.md"),
        ],
        actor="usr_1",
    )
    take_in(shop)
    run = GoldRun.objects.of(shop.workspace).get(gold_set=gold_set, version=shop.version)
    assert (run.questions, run.hits_1) == (3, 2)
    assert run.reciprocal_rank == pytest.approx((1 + 1 + 1 / max(2, run.ranks[str(gold_set.questions.last().pk)])) / 3)

    versions.set_automatic(collection=shop, automatic=False, actor="usr_1")
    take_in(shop, "guide.md", GUIDE.replace("burrs", "blades").replace("Burrs", "Blades"))
    assert shop.draft
    assert set(gold_set.runs.values_list("version", flat=True)) >= {shop.version, shop.draft}
    with pytest.raises(gold.UnknownDocument):
        gold.add_questions(gold_set=gold_set, wanted=[gold.Wanted("x", "nothing.csv")], actor="usr_1")


def pairs(shop: Collection, kind: str) -> set[frozenset[str]]:
    from knowledge.models import Entry

    questions = dict(Entry.objects.of(shop.workspace).values_list("public_id", "question"))
    rows = Finding.objects.of(shop.workspace).filter(kind=kind, set_aside_at__isnull=True)
    return {frozenset((questions.get(row.one, row.one), questions.get(row.other, row.other))) for row in rows}


def test_the_same_question_with_other_figures_contradicts_and_with_the_same_answer_is_a_duplicate(
    shop: Collection,
) -> None:
    take_in(shop, "faq.csv", FAQ)
    findings.request_findings(shop)
    take_in(shop)
    assert pairs(shop, "conflict") == {
        frozenset(("How long do refunds take?", "How long does a refund take to arrive?")),
        frozenset(("退款多久到账？", "退款要多久才到账？")),
    }
    assert pairs(shop, "duplicate") == {frozenset(("Do you ship to Norway?", "Do you deliver to Norway?"))}


def test_what_was_set_aside_is_not_found_again(shop: Collection) -> None:
    take_in(shop, "faq.csv", FAQ)
    findings.request_findings(shop)
    take_in(shop)
    for finding in Finding.objects.of(shop.workspace).filter(kind="conflict"):
        findings.set_aside(finding=finding, actor="usr_1")
    findings.request_findings(shop)
    take_in(shop, "guide.md", GUIDE)
    assert pairs(shop, "conflict") == set()
    assert len(pairs(shop, "duplicate")) == 1


def test_passages_that_are_alike_but_for_a_figure_contradict(shop: Collection) -> None:
    take_in(shop, "guide.md", GUIDE)
    take_in(shop, "old.md", GUIDE.replace("# Care", "# Old care").replace("two weeks", "six weeks"))
    findings.request_findings(shop)
    take_in(shop)
    (finding,) = Finding.objects.of(shop.workspace)
    assert finding.kind == "conflict"


def test_questions_that_ask_the_same_are_put_together_in_both_languages() -> None:
    questions = [
        "Can I pay with a gift card?",
        "你们支持货到付款吗",
        "do you take gift cards as payment",
        "支持货到付款吗？",
        "Where is your shop in Berlin?",
        "paying with a gift card possible?",
    ]
    assert grouping.group(questions) == [[0, 2, 5], [1, 3], [4]]


def test_questions_that_have_an_answer_by_now_or_were_set_aside_are_known(shop: Collection) -> None:
    asked = ["Can I pay with Bitcoin?", "do you take bitcoin", "Who are you?"]
    assert grouping.answered_since(shop.workspace, asked) == set()
    layers.write_answer(
        collection=shop, title="Written", question=asked[0], phrasings=[asked[1]], answer="No.", actor="usr_1"
    )
    grouping.set_aside(workspace=shop.workspace, questions=[asked[2]])
    assert grouping.answered_since(shop.workspace, asked) == {
        "can i pay with bitcoin?", "do you take bitcoin", "who are you?",
    }  # fmt: skip
