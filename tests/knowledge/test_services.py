import hashlib

import pytest

from knowledge import publishing, services
from knowledge.models import Chunk, Collection, Document, Vector
from knowledge.search import search, version_key
from knowledge.tasks import HANDLERS
from workspace import leases
from workspace.models import Workspace

pytestmark = pytest.mark.django_db

FAQ = (
    b"question,similar questions,answer\n"
    b"How long do refunds take?,When do I get my money back? | refund time,Refunds take seven days.\n"
    b"Do you ship to Norway?,,We ship to Norway in ten days.\n"
)
FAQ_ZH = (
    "问题,相似问法,答案\n"
    "退款多久到账？,钱什么时候退回来 | 退款时效,退款七个工作日到账。\n"
    "可以寄到挪威吗？,,可以，约十天。\n"
).encode()
GUIDE = (
    b"# Grinder care\n\n## Burrs\n\nBrush the burrs every two weeks. Never wash them with water.\n\n"
    b"## Static\n\nAdd one drop."
)


@pytest.fixture
def shop(workspace: Workspace) -> Collection:
    return services.find_or_create_collection(workspace=workspace, name="shop")


def take_in(shop: Collection, **files: bytes) -> None:
    for name, data in files.items():
        services.add_file(collection=shop, name=name.replace("__", "."), data=data)
    while leases.run_next(HANDLERS):
        pass
    shop.refresh_from_db()


def ask(shop: Collection, question: str) -> list[str]:
    return [passage.text for passage in search(workspace=shop.workspace, question=question).passages]


def test_a_faq_is_found_by_any_phrasing_and_answers_with_its_answer(shop: Collection) -> None:
    take_in(shop, faq__csv=FAQ)
    for question in ("How long do refunds take?", "when will I have my money back", "refund time"):
        assert ask(shop, question)[0] == "Refunds take seven days."


def test_chinese_is_found_although_the_encoder_knows_little_of_it(shop: Collection) -> None:
    take_in(shop, faq__csv=FAQ, faq_zh__csv=FAQ_ZH)
    assert ask(shop, "我的退款什么时候到账")[0] == "退款七个工作日到账。"
    assert ask(shop, "能不能寄到挪威")[0] == "可以，约十天。"


def test_an_entry_counts_once_however_many_of_its_chunks_match(shop: Collection) -> None:
    take_in(shop, faq__csv=FAQ)
    assert len(ask(shop, "refund")) == len(set(ask(shop, "refund"))) == 2


def test_passages_come_with_title_heading_and_scores(shop: Collection) -> None:
    take_in(shop, guide__md=GUIDE)
    best = search(workspace=shop.workspace, question="How often should I brush the burrs?").passages[0]
    assert (best.title, best.heading) == ("Grinder care", "Grinder care › Burrs")
    assert best.text.startswith("Brush the burrs")
    assert 0.3 < best.cosine <= 1.0
    assert best.coverage > 0.0
    assert best.score > 0.4


def test_the_same_file_again_changes_nothing(shop: Collection) -> None:
    take_in(shop, faq__csv=FAQ)
    version = shop.version
    take_in(shop, faq__csv=FAQ)
    assert shop.version == version
    assert Document.objects.of(shop.workspace).count() == 1


def test_a_changed_file_takes_the_old_ones_place_in_one_step(shop: Collection) -> None:
    take_in(shop, faq__csv=FAQ)
    services.add_file(collection=shop, name="faq.csv", data=FAQ.replace(b"seven days", b"three days"))
    assert ask(shop, "How long do refunds take?")[0] == "Refunds take seven days."
    take_in(shop)
    assert ask(shop, "How long do refunds take?")[0] == "Refunds take three days."
    assert "Refunds take seven days." not in ask(shop, "How long do refunds take?")
    assert Document.objects.of(shop.workspace).kept().count() == 1


def test_a_deleted_document_is_out_of_reach_at_once_and_gone_with_the_next_version(shop: Collection) -> None:
    take_in(shop, faq__csv=FAQ, guide__md=GUIDE)
    before, version = version_key(shop.workspace), shop.version
    services.delete_document(document=Document.every.get(source="faq.csv"), actor="usr_1")

    assert "Refunds take seven days." not in ask(shop, "How long do refunds take?")
    assert version_key(shop.workspace) != before
    take_in(shop)
    assert shop.version == version + 1
    assert shop.versions.get(number=shop.version).chunks == Chunk.every.filter(document__source="guide.md").count()


def test_only_what_was_never_encoded_is_encoded(shop: Collection) -> None:
    take_in(shop, faq__csv=FAQ)
    stages: list[tuple[str, int, int]] = []
    services.add_file(collection=shop, name="guide.md", data=GUIDE)
    services.read_document(document=Document.every.get(source="guide.md"))
    services.publish(collection=shop, progress=lambda *step: stages.append(step))
    assert max(total for stage, _, total in stages if stage == "encode") == 2
    hashes = {hashlib.sha256(chunk.indexed_text.encode()).hexdigest() for chunk in Chunk.every.all()}
    assert Vector.every.count() == len(hashes)


def test_a_file_that_cannot_be_read_says_why_and_leaves_the_rest_alone(shop: Collection) -> None:
    take_in(shop, faq__csv=FAQ)
    take_in(shop, table__csv=b"question,price\na,b\n")
    failed = Document.every.get(source="table.csv")
    assert (failed.status, failed.error, failed.error_detail) == ("failed", "no_faq_header", "question, price")
    assert ask(shop, "How long do refunds take?")[0] == "Refunds take seven days."

    take_in(shop, table__csv=FAQ)
    assert Document.objects.of(shop.workspace).kept().filter(source="table.csv").get().status == "live"


def test_two_builders_of_one_collection_take_turns(shop: Collection) -> None:
    with publishing.building(shop), pytest.raises(services.BeingBuilt):
        services.publish(collection=shop)
    services.publish(collection=shop)


def test_an_unknown_collection_is_named_with_those_there_are(shop: Collection) -> None:
    with pytest.raises(services.UnknownCollection) as unknown:
        services.find_collection(workspace=shop.workspace, name="shpo")
    assert unknown.value.names == ("shop",)


def test_workspaces_do_not_find_each_others_knowledge(shop: Collection) -> None:
    take_in(shop, faq__csv=FAQ)
    stranger = Workspace.objects.create(name="stranger")
    assert search(workspace=stranger, question="How long do refunds take?").passages == ()
    forged = search(workspace=stranger, question="How long do refunds take?", collections=[shop.public_id])
    assert forged.passages == ()


def test_an_empty_collection_finds_nothing(shop: Collection) -> None:
    assert ask(shop, "anything") == []
    services.publish(collection=shop)
    assert ask(shop, "anything") == []
