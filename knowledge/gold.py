"""Gold sets: questions whose right source is known, asked of every version by the very search the chat uses."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from knowledge.models import Collection, Document, GoldQuestion, GoldRun, GoldSet, Version
from knowledge.search import Passage, search
from knowledge.segment import fold
from workspace import audit, leases

GOLD_JOB = "run_gold_set"
DEPTH = 10
LONGEST_QUESTION = 1_000
MOST_QUESTIONS = 2_000


@dataclass(frozen=True)
class Wanted:
    """A question to be added: the source of the document that answers it, and the FAQ question there (empty: any piece)."""

    text: str
    source: str
    expects: str = ""


class UnknownDocument(Exception):
    """No document of the collection has that title or source."""


def find_or_create_set(*, collection: Collection, name: str) -> GoldSet:
    return GoldSet.objects.of(collection.workspace_id).get_or_create(collection=collection, name=name.strip()[:80])[0]


def add_questions(*, gold_set: GoldSet, wanted: Sequence[Wanted], actor: str) -> int:
    """Add questions, or correct what they expect; all or nothing. Returns how many. Raises `UnknownDocument`."""
    with transaction.atomic():
        for row in wanted[:MOST_QUESTIONS]:
            GoldQuestion.objects.of(gold_set.workspace_id).update_or_create(
                gold_set=gold_set,
                text=row.text.strip()[:LONGEST_QUESTION],
                defaults={"source": _source(gold_set, row.source), "expects": row.expects.strip()},
            )
        audit.record(
            workspace_id=gold_set.workspace_id,
            actor=actor,
            action="gold.add",
            target=gold_set.public_id,
            detail={"questions": len(wanted)},
        )
        request_runs(gold_set.collection)
    return len(wanted)


def remove_question(*, question: GoldQuestion, actor: str) -> None:
    with transaction.atomic():
        audit.record(
            workspace_id=question.workspace_id, actor=actor, action="gold.remove", target=question.gold_set.public_id
        )
        request_runs(question.gold_set.collection)
        question.delete()


def request_runs(collection: Collection) -> None:
    """Ask the sets of a collection of its live version and of its draft."""
    sets = GoldSet.objects.of(collection.workspace_id).filter(collection=collection, questions__isnull=False)
    for gold_set in sets.distinct():
        leases.enqueue(workspace=collection.workspace_id, kind=GOLD_JOB, payload={"set": gold_set.public_id})


def run_set(*, gold_set: GoldSet) -> list[GoldRun]:
    """Ask every question of the live version and of the draft, and keep the outcome with the version.

    Raises as `knowledge.search.search` does.
    """
    collection = gold_set.collection
    collection.refresh_from_db()
    runs = []
    if collection.version:
        runs.append(_run(gold_set, collection.version, draft=False))
    if collection.draft:
        runs.append(_run(gold_set, collection.draft, draft=True))
    return runs


def _run(gold_set: GoldSet, number: int, *, draft: bool) -> GoldRun:
    collection = gold_set.collection
    sources = dict(
        Document.objects.of(gold_set.workspace_id).filter(collection=collection).values_list("public_id", "source")
    )
    ranks: dict[str, int] = {}
    for question in gold_set.questions.all():
        found = search(
            workspace=gold_set.workspace_id,
            question=question.text,
            collections=[collection.public_id],
            limit=DEPTH,
            draft=draft,
        )
        hits = (at for at, one in enumerate(found.passages, 1) if _is_right(question, one, sources))
        ranks[str(question.pk)] = next(hits, 0)
    version = Version.objects.of(gold_set.workspace_id).filter(collection=collection, number=number).first()
    run, _ = GoldRun.objects.of(gold_set.workspace_id).update_or_create(
        gold_set=gold_set,
        version=number,
        defaults={
            "encoder": version.encoder if version else "",
            "questions": len(ranks),
            "hits_1": sum(1 for rank in ranks.values() if rank == 1),
            "hits_5": sum(1 for rank in ranks.values() if 1 <= rank <= 5),
            "reciprocal_rank": sum(1 / rank for rank in ranks.values() if rank) / max(1, len(ranks)),
            "ranks": ranks,
        },
    )
    return run


def _is_right(question: GoldQuestion, passage: Passage, sources: dict[str, str]) -> bool:
    if sources.get(passage.document) != question.source:
        return False
    return not question.expects or fold(question.expects) == fold(passage.question)


def _source(gold_set: GoldSet, named: str) -> str:
    rows = Document.objects.of(gold_set.workspace_id).kept().filter(collection=gold_set.collection)
    for name in ("source", "title", "public_id"):
        found = rows.filter(**{name: named.strip()}).order_by("-pk").values_list("source", flat=True).first()
        if found is not None:
            return found
    raise UnknownDocument(named)
