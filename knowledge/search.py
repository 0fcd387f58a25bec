"""Hybrid search over the live versions: what the chat, the terminal, the test page and the evaluation all call.

Two legs look for candidates: the lexical one (coverage, see `knowledge.lexicon`) and the dense one (cosine). Each
candidate then gets both of its scores, exactly, and they are fused by weight. Ranks are not fused: rank fusion with an
encoder that does not know the language takes Chinese from 93 % to 39 % (docs/decisions/0004).

The weight of the dense leg depends on what is compared. A visitor's question and a FAQ's question are two phrasings of
one sentence, which the encoder was trained to recognise; a question and a passage share mostly words. And it shrinks
with the share of the question that the encoder understands.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from django.utils import timezone

from knowledge.embedding import Vectors, encoder, question_vector
from knowledge.index import IndexUnavailable, OpenIndex, engine
from knowledge.lexicon import Lexicon
from knowledge.models import Chunk, Collection, Document, Entry, Version
from knowledge.roster import Roster
from knowledge.segment import legs
from workspace.models import Workspace

DENSE_WEIGHT_QUESTION = 0.85
DENSE_WEIGHT_PASSAGE = 0.7
UNDERSTANDING_POWER = 1  # how fast the dense leg's weight falls with what the encoder does not understand

CANDIDATES = 50  # a leg


@dataclass(frozen=True)
class Passage:
    """A chunk as retrieved. `text` is what may be quoted; `question` is set for FAQ entries.

    `score` is the fused one, `cosine` and `coverage` are the legs' (see `knowledge.lexicon`), 0 to about 1.
    """

    id: str
    document: str
    title: str
    heading: str
    question: str
    text: str
    url: str
    score: float
    cosine: float
    coverage: float


@dataclass(frozen=True)
class Found:
    """Passages, best first, and the versions they come from (``"col_…:3"``)."""

    passages: tuple[Passage, ...]
    versions: tuple[str, ...]
    understood: float


@dataclass(frozen=True)
class _Candidate:
    version: "_LiveVersion"
    point: int
    score: float
    cosine: float
    coverage: float


@dataclass(frozen=True)
class _LiveVersion:
    """A version with everything ranking needs in memory."""

    key: str
    encoder: str
    index: OpenIndex
    lexicon: Lexicon
    roster: Roster


def search(
    *,
    workspace: Workspace | int,
    question: str,
    collections: Sequence[str] = (),
    limit: int = 6,
    draft: bool = False,
) -> Found:
    """The best passages for `question` in the live versions of `collections` (public ids; none: all of them).

    With `draft`, in the drafts of those collections that have one.

    Raises `knowledge.index.IndexUnavailable` or `knowledge.embedding.EncoderUnavailable`.
    """
    try:
        live = live_versions(workspace, collections, draft)
    except (IndexUnavailable, Version.DoesNotExist):  # published anew between reading its number and opening it
        live = live_versions(workspace, collections, draft)
    if not live:
        return Found((), (), 0.0)
    vector, understood = question_vector(question)
    ranked = sorted(
        (candidate for version in live for candidate in _candidates(version, question, vector, understood)),
        key=lambda candidate: -candidate.score,
    )
    passages = _load(workspace, _best_of_each(ranked), limit)
    return Found(tuple(passages), tuple(version.key for version in live), understood)


def live_versions(
    workspace: Workspace | int, collections: Sequence[str] = (), draft: bool = False
) -> list[_LiveVersion]:
    chosen = Collection.objects.of(workspace).order_by("pk")
    if collections:
        chosen = chosen.filter(public_id__in=collections)
    numbers = [
        (public_id, (draft and waiting) or live)
        for public_id, live, waiting in chosen.values_list("public_id", "version", "draft")
    ]
    return [_open(public_id, number) for public_id, number in numbers if number]


def version_key(workspace: Workspace | int, collections: Sequence[str] = (), draft: bool = False) -> str:
    """Names the knowledge an answer would be drawn from now.

    It changes with every publish, delete and switched-off piece, and whenever something becomes or ceases to be valid.
    """
    chosen = Collection.objects.of(workspace).order_by("pk")
    if collections:
        chosen = chosen.filter(public_id__in=collections)
    rows = list(chosen.values_list("pk", "public_id", "version", "draft", "revision", "dated"))
    names = [
        f"{public_id}:{(draft and waiting) or number}.{revision}" for _, public_id, number, waiting, revision, _ in rows
    ]
    if dated := [key for key, *_, is_dated in rows if is_dated]:
        names.append(f"dates:{_dates_passed(workspace, dated)}")
    return ",".join(names)


def _dates_passed(workspace: Workspace | int, collections: Sequence[int]) -> int:
    """How many moments at which something becomes or ceases to be valid lie behind us."""
    now = timezone.now()
    documents = Document.objects.of(workspace).filter(collection__in=collections)
    entries = Entry.objects.of(workspace).filter(document__collection__in=collections)
    return sum(
        rows.filter(**{f"{name}__lte": now}).count()
        for rows in (documents, entries)
        for name in ("valid_from", "valid_until")
    )


@lru_cache(maxsize=64)
def _open(public_id: str, number: int) -> _LiveVersion:
    version = Version.every.select_related("collection").get(collection__public_id=public_id, number=number)
    return _LiveVersion(
        f"{public_id}:{number}",
        version.encoder,
        engine().open(version.index_name),
        Lexicon.from_bytes(bytes(version.lexicon)),
        Roster.from_bytes(bytes(version.roster)),
    )


def _candidates(version: _LiveVersion, question: str, vector: Vectors, understood: float) -> list[_Candidate]:
    sparse, ceiling = version.lexicon.weigh_question(legs(question))
    trust = understood**UNDERSTANDING_POWER if version.encoder == encoder().fingerprint else 0.0
    cosines = version.index.nearest(vector, CANDIDATES) if trust else {}
    matches = version.index.matching(sparse, CANDIDATES)
    if trust and (unseen := matches.keys() - cosines.keys()):
        cosines |= version.index.nearest(vector, len(unseen), among=unseen)
    if unseen := cosines.keys() - matches.keys():
        matches |= version.index.matching(sparse, len(unseen), among=unseen)
    return [
        _fuse(version, point, cosines.get(point, 0.0), matches.get(point, 0.0) / ceiling if ceiling else 0.0, trust)
        for point in cosines.keys() | matches.keys()
    ]


def _fuse(version: _LiveVersion, point: int, cosine: float, coverage: float, trust: float) -> _Candidate:
    weight = trust * (DENSE_WEIGHT_QUESTION if version.roster.questions[point] else DENSE_WEIGHT_PASSAGE)
    return _Candidate(version, point, weight * cosine + (1 - weight) * coverage, cosine, coverage)


def _best_of_each(ranked: Sequence[_Candidate]) -> list[_Candidate]:
    """The first, hence best, chunk of every FAQ entry, and every passage."""
    seen: set[tuple[str, int]] = set()
    kept = []
    for candidate in ranked:
        entry = int(candidate.version.roster.entries[candidate.point])
        group = ("entry", entry) if entry else ("chunk", int(candidate.version.roster.chunks[candidate.point]))
        if group not in seen:
            seen.add(group)
            kept.append(candidate)
    return kept


def _load(workspace: Workspace | int, ranked: Sequence[_Candidate], limit: int) -> list[Passage]:
    """The rows behind the candidates. The database has the last word: what was deleted is not returned."""
    now = timezone.now()
    passages: list[Passage] = []
    for start in range(0, len(ranked), 2 * limit):
        some = ranked[start : start + 2 * limit]
        keys = [int(candidate.version.roster.chunks[candidate.point]) for candidate in some]
        found = Chunk.objects.of(workspace).retrievable(now).filter(pk__in=keys)
        rows = found.select_related("document", "entry").defer("document__content").in_bulk()
        passages += [_passage(rows[key], candidate) for key, candidate in zip(keys, some, strict=True) if key in rows]
        if len(passages) >= limit:
            break
    return passages[:limit]


def _passage(chunk: Chunk, candidate: _Candidate) -> Passage:
    passage = Passage(
        id=chunk.public_id,
        document=chunk.document.public_id,
        title=chunk.document.title,
        heading=chunk.heading,
        question="",
        text=chunk.text,
        url=chunk.document.url,
        score=candidate.score,
        cosine=candidate.cosine,
        coverage=candidate.coverage,
    )
    if chunk.entry:
        return replace(passage, id=chunk.entry.public_id, question=chunk.entry.question, text=chunk.entry.answer)
    return passage
