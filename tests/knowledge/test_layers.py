"""What a person changed survives every reading of its source, and every clash is a person's to settle."""

import pytest

from knowledge import layers, services
from knowledge.models import Chunk, Collection, Document, Edit, Entry
from knowledge.search import search
from knowledge.tasks import HANDLERS
from workspace import leases
from workspace.models import AuditRow, Workspace

pytestmark = pytest.mark.django_db

FAQ = (
    b"question,similar questions,answer\n"
    b"How long do refunds take?,refund time,Refunds take seven days.\n"
    b"Do you ship to Norway?,,We ship to Norway in ten days.\n"
)
GUIDE = (
    "# Grinder care\n\n## Burrs\n\nBrush the burrs every two weeks. Never wash them with water.\n\n"
    "## Static\n\nAdd one drop of water to the beans before grinding."
)


@pytest.fixture
def shop(workspace: Workspace) -> Collection:
    return services.find_or_create_collection(workspace=workspace, name="shop")


def take_in(shop: Collection, name: str = "", data: bytes | str = b"") -> None:
    if name:
        services.add_file(collection=shop, name=name, data=data.encode() if isinstance(data, str) else data)
    while leases.run_next(HANDLERS):
        pass
    shop.refresh_from_db()


def ask(shop: Collection, question: str) -> str:
    passages = search(workspace=shop.workspace, question=question).passages
    return passages[0].text if passages else ""


def passage(words: str) -> Chunk:
    return Chunk.every.filter(text__contains=words, kind="passage", current=True).latest("pk")


def entry(question: str) -> Entry:
    return Entry.every.filter(question=question, current=True).latest("pk")


def test_an_edit_applies_from_the_next_version_on_and_the_source_text_is_kept(shop: Collection) -> None:
    take_in(shop, "guide.md", GUIDE)
    row = passage("two weeks")
    layers.change_piece(row=row, content={"heading": row.heading, "text": "Brush the burrs every week."}, actor="usr_1")
    take_in(shop)
    assert ask(shop, "How often should I brush the burrs?") == "Brush the burrs every week."
    assert "two weeks" in Document.every.get(source="guide.md").text.parts[0]
    assert AuditRow.objects.of(shop.workspace).filter(action="edit.change", actor="usr_1").exists()


def test_an_edit_outlives_a_new_reading_in_which_its_piece_is_unchanged(shop: Collection) -> None:
    take_in(shop, "guide.md", GUIDE)
    row = passage("two weeks")
    layers.change_piece(row=row, content={"heading": row.heading, "text": "Brush the burrs every week."}, actor="usr_1")
    take_in(shop, "guide.md", GUIDE.replace("one drop", "two drops"))
    assert ask(shop, "How often should I brush the burrs?") == "Brush the burrs every week."
    assert "two drops" in ask(shop, "What helps against static when grinding?")
    assert Edit.every.get().state == "active"


def test_an_edit_outlives_a_paragraph_put_before_its_piece(shop: Collection) -> None:
    take_in(shop, "guide.md", GUIDE)
    row = passage("two weeks")
    layers.change_piece(row=row, content={"heading": row.heading, "text": "Brush the burrs every week."}, actor="usr_1")
    take_in(shop, "guide.md", GUIDE.replace("## Burrs\n\n", "## Burrs\n\nBurrs are the two steel rings.\n\n"))
    assert ask(shop, "How often should I brush the burrs?") == "Brush the burrs every week."
    current = Chunk.every.filter(document__status="live", current=True, heading__endswith="Burrs")
    assert sorted(current.values_list("text", flat=True)) == [
        "Brush the burrs every week.",
        "Burrs are the two steel rings.",
    ]


def clash_on_burrs(shop: Collection) -> Edit:
    take_in(shop, "guide.md", GUIDE)
    row = passage("two weeks")
    layers.change_piece(row=row, content={"heading": row.heading, "text": "Brush the burrs every week."}, actor="usr_1")
    take_in(shop, "guide.md", GUIDE.replace("two weeks", "three weeks"))
    edit = Edit.every.get()
    assert edit.state == "clash"
    assert "three weeks" in edit.theirs["text"]
    assert "two weeks" in edit.base["text"]
    return edit


def test_a_piece_that_both_changed_clashes_and_the_persons_words_stand_until_it_is_settled(shop: Collection) -> None:
    clash_on_burrs(shop)
    assert ask(shop, "How often should I brush the burrs?") == "Brush the burrs every week."


@pytest.mark.parametrize(
    ("choice", "third", "said"),
    [
        (layers.KEEP_MINE, None, "every week."),
        (layers.TAKE_THEIRS, None, "three weeks"),
        (layers.WRITE_THIRD, "Brush the burrs every ten days.", "ten days"),
    ],
)
def test_a_clash_is_settled_in_three_ways_and_stays_settled(
    shop: Collection, choice: str, third: str | None, said: str
) -> None:
    edit = clash_on_burrs(shop)
    content = {"heading": "Grinder care › Burrs", "text": third} if third else None
    layers.settle(edit=edit, choice=choice, content=content, actor="usr_1")
    take_in(shop)
    assert said in ask(shop, "How often should I brush the burrs?")
    take_in(shop, "guide.md", GUIDE.replace("two weeks", "three weeks").replace("one drop", "two drops"))
    assert said in ask(shop, "How often should I brush the burrs?")
    assert not Edit.every.filter(state="clash").exists()
    brushed = Chunk.every.filter(document__status="live", current=True, text__contains="Brush the burrs")
    assert brushed.count() == 1


def test_a_piece_the_source_dropped_is_kept_or_let_go_by_a_person(shop: Collection) -> None:
    take_in(shop, "guide.md", GUIDE)
    row = passage("two weeks")
    layers.change_piece(row=row, content={"heading": row.heading, "text": "Brush the burrs every week."}, actor="usr_1")
    take_in(shop, "guide.md", "# Grinder care\n\n## Static\n\nAdd one drop of water to the beans before grinding.")
    edit = Edit.every.get()
    assert (edit.state, edit.theirs) == ("clash", None)
    assert "every week" in ask(shop, "How often should I brush the burrs?")

    layers.settle(edit=edit, choice=layers.TAKE_THEIRS, actor="usr_1")
    take_in(shop)
    assert "every week" not in ask(shop, "How often should I brush the burrs?")


def test_what_was_added_to_a_document_is_there_after_every_reading(shop: Collection) -> None:
    take_in(shop, "guide.md", GUIDE)
    document = Document.every.get(source="guide.md")
    added = {"heading": "Grinder care › Noise", "text": "A squeaking grinder needs a new belt."}
    layers.add_piece(document=document, content=added, actor="usr_1")
    take_in(shop, "guide.md", GUIDE.replace("two weeks", "three weeks"))
    assert ask(shop, "My grinder squeaks, what does it need?") == "A squeaking grinder needs a new belt."
    assert Chunk.every.filter(document__status="live", current=True, text=added["text"]).count() == 1


def test_fields_of_an_entry_that_only_one_side_changed_are_merged(shop: Collection) -> None:
    take_in(shop, "faq.csv", FAQ)
    row = entry("How long do refunds take?")
    mine = {"question": row.question, "phrasings": ["refund time"], "answers": ["Refunds take three days."]}
    layers.change_piece(row=row, content=mine, actor="usr_1")
    take_in(shop, "faq.csv", FAQ.replace(b"refund time", b"when is my money back"))
    assert ask(shop, "when is my money back") == "Refunds take three days."
    assert Edit.every.get().state == "active"

    take_in(shop, "faq.csv", FAQ.replace(b"refund time", b"when is my money back").replace(b"seven", b"nine"))
    assert Edit.every.get().state == "clash"
    assert ask(shop, "How long do refunds take?") == "Refunds take three days."


def test_a_source_that_comes_to_say_the_same_ends_the_edit(shop: Collection) -> None:
    take_in(shop, "faq.csv", FAQ)
    row = entry("How long do refunds take?")
    content = layers.piece_of(row) | {"answers": ["Refunds take three days."]}
    layers.change_piece(row=row, content=content, actor="usr_1")
    take_in(shop, "faq.csv", FAQ.replace(b"seven", b"three"))
    assert Edit.every.get().state == "ended"
    assert ask(shop, "How long do refunds take?") == "Refunds take three days."


def test_a_piece_switched_off_is_out_at_once_and_stays_out_when_it_is_read_again(shop: Collection) -> None:
    take_in(shop, "faq.csv", FAQ)
    layers.switch_piece(row=entry("How long do refunds take?"), off=True, actor="usr_1")
    assert "Refunds" not in ask(shop, "How long do refunds take?")
    take_in(shop, "faq.csv", FAQ.replace(b"ten days", b"two weeks"))
    assert "Refunds" not in ask(shop, "How long do refunds take?")
    assert "two weeks" in ask(shop, "Do you ship to Norway?")

    layers.switch_piece(row=entry("How long do refunds take?"), off=False, actor="usr_1")
    take_in(shop)
    assert ask(shop, "How long do refunds take?") == "Refunds take seven days."


def test_undoing_an_edit_brings_the_sources_words_back(shop: Collection) -> None:
    take_in(shop, "guide.md", GUIDE)
    row = passage("two weeks")
    edit = layers.change_piece(row=row, content={"heading": row.heading, "text": "Brush them daily."}, actor="usr_1")
    layers.end_edit(edit=edit, actor="usr_1")
    take_in(shop)
    assert "two weeks" in ask(shop, "How often should I brush the burrs?")
    assert Chunk.every.filter(document__source="guide.md", current=True).count() == 2


def test_a_written_answer_is_found_by_the_next_question_of_its_kind(shop: Collection) -> None:
    layers.write_answer(
        collection=shop,
        title="Written here",
        question="Can I pay with a gift card?",
        phrasings=["do you take vouchers"],
        answer="Yes, gift cards are accepted at the checkout.",
        actor="usr_1",
    )
    take_in(shop)
    for question in ("Can I pay with a gift card?", "do you take vouchers?", "paying with gift cards"):
        assert ask(shop, question).startswith("Yes, gift cards")
    with pytest.raises(layers.Unwritable):
        layers.write_answer(collection=shop, title="x", question="?", phrasings=[], answer="  ", actor="usr_1")


def test_deleting_a_document_ends_its_edits(shop: Collection) -> None:
    take_in(shop, "guide.md", GUIDE)
    row = passage("two weeks")
    layers.change_piece(row=row, content={"heading": row.heading, "text": "Brush them daily."}, actor="usr_1")
    take_in(shop)
    services.delete_document(document=Document.every.get(source="guide.md"), actor="usr_1")
    assert ask(shop, "How often should I brush the burrs?") == ""
    take_in(shop, "guide.md", GUIDE)
    assert "two weeks" in ask(shop, "How often should I brush the burrs?")
