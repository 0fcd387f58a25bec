"""Where a version says the same twice, and where it says different things of the same: for its owner to put right.

FAQ entries are compared by their questions, then by their answers; passages by their words. Two texts are near when the
words they share and, where the encoder understands them, their vectors say so. The limits were set by hand on texts in
both languages; a finding is a question to the owner, nothing is changed by it.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from django.db import transaction
from django.utils import timezone

from knowledge.embedding import Vectors, encoder
from knowledge.index import engine
from knowledge.lexicon import Lexicon
from knowledge.merge import overlap
from knowledge.models import Chunk, Collection, Entry, Finding, Version
from knowledge.publishing import alive_chunks, cached_vectors, live_version, text_hash
from knowledge.segment import legs
from workspace import audit, leases
from workspace.chinese import simplified

FINDINGS_JOB = "look_for_findings"

NEIGHBOURS = 8  # a leg
SAME_QUESTION_COSINE, SAME_QUESTION_WORDS = 0.87, 0.7
SAME_QUESTION_WORDS_ALONE = 0.5  # where the encoder has no say; such texts are cut finer
SAME_ANSWER_WORDS = 0.6
NEAR_PASSAGE_WORDS = 0.6
SAME_PASSAGE_WORDS = 0.85
UNDERSTOOD = 0.8  # below, the encoder has no say

_FIGURE = re.compile(
    r"\d+(?:[.,:]\d+)*|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fourteen|fifteen|twenty|thirty|"
    r"sixty|ninety|hundred)\b|[一二两三四五六七八九十百千半]+(?=[个天日周月年元小分次折])",
    re.IGNORECASE,
)
_NEGATED = re.compile(
    r"\b(?:not|no|never|cannot|can't|don't|doesn't|isn't|aren't|won't)\b|不|没有|无法|未|勿", re.IGNORECASE
)


@dataclass(frozen=True)
class _Item:
    """What is compared: a FAQ question with its answer, or a passage (`answer` is empty)."""

    row: Chunk
    text: str
    answer: str
    vector: Vectors
    is_understood: bool

    @property
    def id(self) -> str:
        return self.row.entry.public_id if self.row.entry else self.row.public_id


def request_findings(collection: Collection) -> None:
    leases.enqueue(workspace=collection.workspace_id, kind=FINDINGS_JOB, payload={"collection": collection.public_id})


def look_for_findings(*, collection: Collection, progress: Callable[[str, int, int], None]) -> int:
    """Compare the pieces of the live version with their neighbours. What was set aside stays set aside. Returns how many stand.

    Raises `knowledge.index.IndexUnavailable`, `knowledge.embedding.EncoderUnavailable`.
    """
    version = live_version(collection)
    if version is None or version.encoder != encoder().fingerprint:
        return 0
    found = {finding.key: finding for finding in _findings(version, progress)}
    with transaction.atomic():
        rows = Finding.objects.of(collection.workspace_id).filter(collection=collection)
        aside = set(rows.filter(set_aside_at__isnull=False).values_list("key", flat=True))
        rows.filter(set_aside_at__isnull=True).delete()
        Finding.objects.of(collection.workspace_id).bulk_create(
            [finding for key, finding in found.items() if key not in aside], batch_size=500
        )
    return len(found.keys() - aside)


def set_aside(*, finding: Finding, actor: str) -> None:
    with transaction.atomic():
        Finding.objects.of(finding.workspace_id).filter(pk=finding.pk).update(set_aside_at=timezone.now())
        audit.record(
            workspace_id=finding.workspace_id, actor=actor, action="finding.set_aside", target=finding.public_id
        )


def _findings(version: Version, progress: Callable[[str, int, int], None]) -> Iterator[Finding]:
    chunks = alive_chunks(version)
    index = engine().open(version.index_name)
    lexicon = Lexicon.from_bytes(bytes(version.lexicon))
    if len(chunks) != version.chunks:  # points and chunks are numbered alike only while nothing is gone
        return
    items = _items(version, chunks)
    seen: set[tuple[str, str]] = set()
    for done, (at, item) in enumerate(items.items(), 1):
        words = lexicon.weigh_question(legs(item.text)).sparse
        near = {*index.nearest(item.vector, NEIGHBOURS), *index.matching(words, NEIGHBOURS)}
        for other in sorted(near & items.keys()):
            one, two = sorted((item, items[other]), key=lambda each: each.row.pk)
            if other == at or one.id == two.id or (one.id, two.id) in seen or bool(one.answer) != bool(two.answer):
                continue
            kind = _compare(one, two)
            if kind:
                seen.add((one.id, two.id))
                yield _finding(version, kind, one, two)
        progress("compare", done, len(items))


def _items(version: Version, chunks: list[Chunk]) -> dict[int, _Item]:
    """By point number; answers and what is switched off are not compared."""
    entries = Entry.objects.of(version.workspace_id).in_bulk({row.entry_id for row in chunks if row.entry_id})
    hashes = [text_hash(row) for row in chunks]
    vectors = cached_vectors(version.workspace_id, version.encoder, hashes)
    items = {}
    for at, (row, name) in enumerate(zip(chunks, hashes, strict=True)):
        row.entry = entries.get(row.entry_id) if row.entry_id else None
        is_off = row.off or (row.entry is not None and row.entry.off)
        if row.kind == Chunk.Kind.ANSWER or is_off or name not in vectors:
            continue
        vector = np.frombuffer(vectors[name], "<f2").astype(np.float32)
        answer = row.entry.answer if row.entry else ""
        items[at] = _Item(row, row.text, answer, vector, encoder().understood(row.text) >= UNDERSTOOD)
    return items


def _compare(one: _Item, two: _Item) -> str:
    words, cosine = overlap(one.text, two.text), float(one.vector @ two.vector)
    if one.answer:
        is_understood = one.is_understood and two.is_understood
        means_same = is_understood and cosine >= SAME_QUESTION_COSINE
        if not means_same and words < (SAME_QUESTION_WORDS if is_understood else SAME_QUESTION_WORDS_ALONE):
            return ""
        if not means_same and _differ(one.text, two.text):  # "after 7 days" and "after 30 days" are two questions
            return ""
        agree = overlap(one.answer, two.answer) >= SAME_ANSWER_WORDS and not _differ(one.answer, two.answer)
        return Finding.Kind.DUPLICATE if agree else Finding.Kind.CONTRADICTION
    if words < NEAR_PASSAGE_WORDS:
        return ""
    if _differ(one.text, two.text):
        return Finding.Kind.CONTRADICTION
    return Finding.Kind.DUPLICATE if words >= SAME_PASSAGE_WORDS else ""


def _differ(one: str, two: str) -> bool:
    """Each has a figure the other has not, or one denies and the other does not."""
    mine, yours = _figures(one), _figures(two)
    if not (mine <= yours or yours <= mine):
        return True
    return (_NEGATED.search(simplified(one)) is None) != (_NEGATED.search(simplified(two)) is None)


def _figures(text: str) -> frozenset[str]:
    return frozenset(figure.lower().replace(",", "") for figure in _FIGURE.findall(text))


def _finding(version: Version, kind: str, one: _Item, two: _Item) -> Finding:
    said = sorted(f"{item.text}\n{item.answer}" for item in (one, two))
    return Finding(
        workspace_id=version.workspace_id,
        collection=version.collection,
        version=version.number,
        kind=kind,
        one=one.id,
        other=two.id,
        key=hashlib.sha256("\n\n".join(said).encode()).hexdigest(),
        cosine=float(one.vector @ two.vector),
        overlap=overlap(one.text, two.text),
    )
