"""Versions come and go whole; what was deleted comes back with none of them."""

import asyncio
import datetime as dt
import hashlib

import pytest
from django.utils import timezone

from chatbot.wiring import warm_up
from knowledge import layers, publishing, search, services, versions
from knowledge.index import engine
from knowledge.models import Chunk, Collection, Document, Entry, SourceText, Vector, Version
from knowledge.reconcile import reconcile
from knowledge.roster import Roster
from knowledge.schedule import Clock, enqueue_due, request_reencoding
from knowledge.segment import CUT_AS
from knowledge.tasks import HANDLERS
from workspace import leases
from workspace.models import Job, Workspace

pytestmark = pytest.mark.django_db

REFUNDS = b"question,answer\nHow long do refunds take?,Refunds take seven days.\n"
NORWAY = b"question,answer\nDo you ship to Norway?,We ship to Norway in ten days.\n"


@pytest.fixture
def shop(workspace: Workspace) -> Collection:
    collection = services.find_or_create_collection(workspace=workspace, name="shop")
    take_in(collection, "refunds.csv", REFUNDS)
    take_in(collection, "norway.csv", NORWAY)
    return collection


def take_in(shop: Collection, name: str = "", data: bytes = b"") -> None:
    if name:
        services.add_file(collection=shop, name=name, data=data)
    while leases.run_next(HANDLERS):
        pass
    shop.refresh_from_db()


def ask(shop: Collection, question: str, draft: bool = False) -> list[str]:
    found = search.search(workspace=shop.workspace, question=question, draft=draft)
    return [passage.text for passage in found.passages]


def made_by_another(shop: Collection) -> Version:
    version = shop.versions.get(number=shop.version)
    Version.every.filter(pk=version.pk).update(encoder="another:384:00000000")
    search._open.cache_clear()
    return version


def document(name: str) -> Document:
    return Document.every.filter(source=name, deleted_at__isnull=True).latest("pk")


def test_a_version_tells_what_changed(shop: Collection) -> None:
    take_in(shop, "refunds.csv", REFUNDS.replace(b"seven", b"three"))
    changes = shop.versions.get(number=shop.version).changes
    assert (changes["added"], changes["removed"]) == (1, 1)
    assert changes["documents"] == [{"title": "refunds", "added": 1, "removed": 1}]


def test_going_back_is_immediate_holds_until_a_person_publishes_and_finds_exactly_what_it_found(
    shop: Collection,
) -> None:
    good = shop.version
    before = search.search(workspace=shop.workspace, question="How long do refunds take?")
    take_in(shop, "refunds.csv", REFUNDS.replace(b"seven", b"ninety"))
    assert ask(shop, "How long do refunds take?")[0] == "Refunds take ninety days."

    assert versions.roll_back(collection=shop, number=good, actor="usr_1")
    after = search.search(workspace=shop.workspace, question="How long do refunds take?")
    assert after == before
    take_in(shop, "hours.csv", b"question,answer\nWhen are you open?,From nine to five.\n")
    assert shop.version == good
    assert ask(shop, "When are you open?", draft=True)[0] == "From nine to five."
    assert "From nine to five." not in ask(shop, "When are you open?")
    assert ask(shop, "How long do refunds take?", draft=True)[0] == "Refunds take ninety days."

    versions.publish_draft(collection=shop, actor="usr_1")
    shop.refresh_from_db()
    assert shop.draft == 0
    assert ask(shop, "When are you open?")[0] == "From nine to five."


def test_a_version_whose_index_was_dropped_is_built_again_exactly(shop: Collection) -> None:
    old = shop.versions.get(number=shop.version)
    before = search.search(workspace=shop.workspace, question="How long do refunds take?")
    take_in(shop, "refunds.csv", REFUNDS.replace(b"seven", b"ninety"))
    engine().drop(old.index_name)
    Version.every.filter(pk=old.pk).update(indexed=False)

    assert not versions.roll_back(collection=shop, number=old.number, actor="usr_1")
    take_in(shop)
    again = shop.versions.get(number=shop.version)
    assert (again.restores, again.digest, again.encoder) == (old.number, old.digest, old.encoder)
    after = search.search(workspace=shop.workspace, question="How long do refunds take?")
    assert [p.text for p in after.passages] == [p.text for p in before.passages]
    assert [p.score for p in after.passages] == pytest.approx([p.score for p in before.passages], abs=1e-6)


def test_what_was_deleted_does_not_come_back_with_an_earlier_version(shop: Collection) -> None:
    full = shop.version
    services.delete_document(document=document("refunds.csv"), actor="usr_1")
    assert "Refunds take seven days." not in ask(shop, "How long do refunds take?")
    take_in(shop)
    assert not versions.roll_back(collection=shop, number=full, actor="usr_1")
    take_in(shop)
    assert shop.versions.get(number=shop.version).restores == full
    assert "Refunds take seven days." not in ask(shop, "How long do refunds take?")
    assert ask(shop, "Do you ship to Norway?") == ["We ship to Norway in ten days."]
    assert all(report.is_right for report in reconcile(collection=shop))


def test_deleting_a_document_deletes_its_replaced_readings_too(shop: Collection) -> None:
    old = shop.version
    take_in(shop, "refunds.csv", REFUNDS.replace(b"seven", b"three"))
    services.delete_document(document=document("refunds.csv"), actor="usr_1")
    take_in(shop)
    versions.roll_back(collection=shop, number=old, actor="usr_1")
    take_in(shop)
    assert ask(shop, "How long do refunds take?") == ["We ship to Norway in ten days."]


def test_a_delete_reaches_the_live_version_where_nothing_publishes_itself(shop: Collection) -> None:
    versions.set_automatic(collection=shop, automatic=False, actor="usr_1")
    take_in(shop, "hours.csv", b"question,answer\nWhen are you open?,From nine to five.\n")
    services.delete_document(document=document("refunds.csv"), actor="usr_1")
    take_in(shop)
    live = shop.versions.get(number=shop.version)
    assert (live.reason, live.chunks) == ("cleaned", 2)
    assert "From nine to five." not in ask(shop, "When are you open?")
    assert ask(shop, "When are you open?", draft=True)[0] == "From nine to five."


def test_the_report_counts_vectors_and_finds_what_should_not_be_there(shop: Collection) -> None:
    (right,) = reconcile(collection=shop)
    assert right.is_right
    assert right.vectors == right.chunks == 4
    Document.every.filter(source="refunds.csv").update(deleted_at=timezone.now())  # behind the services' back
    (wrong,) = reconcile(collection=shop)
    assert (wrong.is_right, wrong.deleted, wrong.chunks) == (False, 2, 2)
    take_in(shop)
    (mended,) = reconcile(collection=shop)
    assert mended.is_right
    assert mended.vectors == 2
    shop.refresh_from_db()
    assert shop.report["right"] is True


def test_a_lost_index_is_built_again(shop: Collection) -> None:
    versions.set_automatic(collection=shop, automatic=False, actor="usr_1")
    take_in(shop)
    engine().drop(shop.versions.get(number=shop.version).index_name)
    search._open.cache_clear()
    assert reconcile(collection=shop)[0].vectors == -1
    take_in(shop)
    assert ask(shop, "Do you ship to Norway?")[0] == "We ship to Norway in ten days."


def test_words_of_deleted_documents_are_erased(shop: Collection) -> None:
    gone = document("refunds.csv")
    services.delete_document(document=gone, actor="usr_1")
    take_in(shop)
    reconcile(collection=shop)
    assert not Chunk.every.filter(document=gone).exists()
    assert not Entry.every.filter(document=gone).exists()
    assert not SourceText.every.filter(document=gone).exists()


def stored(shop: Collection) -> set[str]:
    return set(Vector.objects.of(shop.workspace).values_list("text_hash", flat=True))


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_vectors_of_words_that_no_version_holds_any_more_are_removed(shop: Collection) -> None:
    first = hashed("Refunds take seven days.")
    stranger = services.find_or_create_collection(workspace=Workspace.objects.create(name="Bank"), name="bank")
    Vector.objects.of(stranger.workspace).create(encoder="another:384:00000000", text_hash=first, data=b"")
    for number in range(publishing.KEPT_VERSIONS):
        assert first in stored(shop), "a kept version is made of it"
        take_in(shop, "refunds.csv", REFUNDS.replace(b"seven", str(number).encode()))
        reconcile(collection=shop)
    assert first not in stored(shop)
    words = ["How long do refunds take?", "Do you ship to Norway?", "We ship to Norway in ten days."]
    words += [f"Refunds take {number} days." for number in range(publishing.KEPT_VERSIONS)]
    assert stored(shop) == set(map(hashed, words))
    shop.refresh_from_db()
    assert shop.report["unused"] == 1
    reconcile(collection=shop)
    shop.refresh_from_db()
    assert shop.report["unused"] == 0
    assert stored(stranger) == {first}


def test_the_vectors_of_a_deleted_document_go_with_its_words(shop: Collection) -> None:
    services.delete_document(document=document("refunds.csv"), actor="usr_1")
    take_in(shop)
    reconcile(collection=shop)
    assert stored(shop) == {hashed("Do you ship to Norway?"), hashed("We ship to Norway in ten days.")}


def test_vectors_of_another_encoder_stay_as_long_as_a_kept_version_is_made_of_them(shop: Collection) -> None:
    Vector.objects.of(shop.workspace).update(encoder="another:384:00000000")
    old = made_by_another(shop)
    take_in(shop, "hours.csv", b"question,answer\nWhen are you open?,From nine to five.\n")
    others = Vector.objects.of(shop.workspace).filter(encoder="another:384:00000000")
    reconcile(collection=shop)
    assert others.count() == 4
    Version.every.filter(collection=shop).exclude(number=shop.version).delete()
    reconcile(collection=shop)
    assert not others.exists()
    assert old.number < shop.version
    assert len(stored(shop)) == 6


def test_a_document_and_an_entry_are_found_only_while_they_are_valid(shop: Collection) -> None:
    now, day = timezone.now(), dt.timedelta(days=1)
    version, key = shop.version, search.version_key(shop.workspace)
    layers.set_dates(row=document("norway.csv"), valid_from=now + day, valid_until=None, actor="usr_1")
    assert "We ship to Norway in ten days." not in ask(shop, "Do you ship to Norway?")
    entry = Entry.every.get(question="How long do refunds take?", current=True)
    layers.set_dates(row=entry, valid_from=None, valid_until=now - day, actor="usr_1")
    assert ask(shop, "How long do refunds take?") == []
    shop.refresh_from_db()
    assert shop.version == version
    assert search.version_key(shop.workspace) != key

    layers.set_dates(row=document("norway.csv"), valid_from=now - day, valid_until=now + day, actor="usr_1")
    assert ask(shop, "Do you ship to Norway?") == ["We ship to Norway in ten days."]


def test_answers_kept_from_before_a_date_are_not_given_after_it(shop: Collection, monkeypatch) -> None:
    now = timezone.now()
    layers.set_dates(row=document("norway.csv"), valid_from=None, valid_until=now + dt.timedelta(days=1), actor="u")
    before = search.version_key(shop.workspace)
    monkeypatch.setattr(timezone, "now", lambda: now + dt.timedelta(days=2))
    assert search.version_key(shop.workspace) != before
    assert ask(shop, "Do you ship to Norway?") == ["Refunds take seven days."]


def test_dates_of_an_entry_outlive_a_new_reading(shop: Collection) -> None:
    entry = Entry.every.get(question="How long do refunds take?")
    past = timezone.now() - dt.timedelta(days=1)
    layers.set_dates(row=entry, valid_from=None, valid_until=past, actor="usr_1")
    take_in(shop, "refunds.csv", REFUNDS.replace(b"seven", b"three"))
    assert "Refunds take three days." not in ask(shop, "How long do refunds take?")


def test_only_so_many_versions_and_indexes_are_kept(shop: Collection) -> None:
    for number in range(publishing.KEPT_VERSIONS):
        take_in(shop, "refunds.csv", REFUNDS.replace(b"seven", str(number).encode()))
    kept = list(shop.versions.order_by("-number"))
    assert len(kept) == publishing.KEPT_VERSIONS
    assert sum(version.indexed for version in kept) == publishing.KEPT_INDEXES
    versions.roll_back(collection=shop, number=kept[-1].number, actor="usr_1")
    take_in(shop)
    restored = Roster.from_bytes(bytes(shop.versions.get(number=shop.version).roster))
    assert restored.chunks.tolist() == Roster.from_bytes(bytes(kept[-1].roster)).chunks.tolist()


def test_another_encoder_makes_a_new_version_and_never_mixes(shop: Collection, monkeypatch) -> None:
    old = shop.versions.get(number=shop.version)
    Version.every.filter(pk=old.pk).update(encoder="another:384:00000000")
    search._open.cache_clear()
    passages = search.search(workspace=shop.workspace, question="How long do refunds take?").passages
    assert passages[0].text == "Refunds take seven days."
    assert {passage.cosine for passage in passages} == {0.0}
    assert reconcile(collection=shop)[0].other_encoder
    take_in(shop)
    assert shop.version == old.number + 1
    assert search.search(workspace=shop.workspace, question="refunds").passages[0].cosine > 0


def builds(shop: Collection) -> int:
    return Job.objects.of(shop.workspace).filter(kind=publishing.PUBLISH_JOB).exclude(status=Job.Status.DONE).count()


def test_who_starts_with_another_encoder_asks_once_and_words_serve_meanwhile(shop: Collection) -> None:
    old = made_by_another(shop)
    assert request_reencoding()
    assert request_reencoding()
    assert builds(shop) == 1
    assert ask(shop, "How long do refunds take?")[0] == "Refunds take seven days."

    def others_start_meanwhile(job: Job) -> None:
        request_reencoding()
        HANDLERS[publishing.PUBLISH_JOB](job)

    assert leases.run_next({publishing.PUBLISH_JOB: others_start_meanwhile})
    assert builds(shop) == 0
    shop.refresh_from_db()
    assert shop.version == old.number + 1
    assert shop.versions.get(number=shop.version).encoder == old.encoder
    request_reencoding()
    assert builds(shop) == 0


def test_a_draft_of_another_encoder_is_built_anew_too(shop: Collection) -> None:
    versions.set_automatic(collection=shop, automatic=False, actor="usr_1")
    take_in(shop, "hours.csv", b"question,answer\nWhen are you open?,From nine to five.\n")
    draft = shop.draft
    Version.every.filter(collection=shop, number=draft).update(encoder="another:384:00000000")
    request_reencoding()
    take_in(shop)
    assert shop.draft > draft
    assert shop.versions.get(number=shop.draft).encoder == shop.versions.get(number=shop.version).encoder


@pytest.mark.parametrize("automatic", [True, False])
def test_what_was_cut_otherwise_is_built_anew_once_and_serves_meanwhile(shop: Collection, automatic: bool) -> None:
    versions.set_automatic(collection=shop, automatic=automatic, actor="usr_1")
    shop.refresh_from_db()
    old = shop.versions.get(number=shop.version)
    assert old.cut_as == CUT_AS
    vectors = list(Vector.objects.of(shop.workspace).order_by("pk").values_list("pk", flat=True))
    Version.every.filter(pk=old.pk).update(cut_as=CUT_AS - 1)
    assert request_reencoding()
    assert request_reencoding()
    assert builds(shop) == 1
    assert ask(shop, "How long do refunds take?")[0] == "Refunds take seven days."
    assert versions.roll_back(collection=shop, number=old.number, actor="usr_1") is False
    versions.set_automatic(collection=shop, automatic=automatic, actor="usr_1")
    take_in(shop)
    live = shop.versions.get(number=shop.version)
    assert (live.number > old.number, live.cut_as) == (True, CUT_AS)
    assert list(Vector.objects.of(shop.workspace).order_by("pk").values_list("pk", flat=True)) == vectors
    request_reencoding()
    assert builds(shop) == 0


def test_a_worker_looks_at_the_encoder_when_it_starts_and_never_again(shop: Collection) -> None:
    old, clock = made_by_another(shop), Clock()
    clock()
    assert builds(shop) == 1
    take_in(shop)
    assert shop.version == old.number + 1
    made_by_another(shop)
    clock._looked_at = None  # a minute has passed
    clock()
    assert builds(shop) == 0, "else old and new processes, beside each other for a while, would never come to rest"


@pytest.mark.django_db(transaction=True)
def test_a_server_that_warms_up_with_another_encoder_asks(shop: Collection) -> None:
    made_by_another(shop)
    asyncio.run(warm_up([]))
    assert builds(shop) == 1


def test_every_live_collection_is_reconciled_once_a_period(shop: Collection) -> None:
    now = timezone.now()
    enqueue_due(now)
    enqueue_due(now)
    assert Job.objects.of(shop.workspace).filter(kind="reconcile_collection").count() == 1
    take_in(shop)
    assert shop.report["right"]


def test_a_stranger_cannot_go_back_for_us(shop: Collection) -> None:
    with pytest.raises(versions.UnknownVersion):
        versions.roll_back(collection=shop, number=999, actor="usr_1")
