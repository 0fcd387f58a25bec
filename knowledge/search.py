"""Hybrid search over the live versions: what the chat, the terminal, the test page and the evaluation all call.

How a question is held against a version's chunks is `knowledge.ranking`; here are the versions, and the rows behind what
was found.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from django.utils import timezone

from knowledge import ranking
from knowledge.embedding import encoder
from knowledge.index import IndexUnavailable, OpenIndex, engine
from knowledge.lexicon import Lexicon
from knowledge.models import Chunk, Collection, Document, Entry, Version
from knowledge.ranking import DENSE_WEIGHT_PASSAGE as DENSE_WEIGHT_PASSAGE
from knowledge.ranking import UNDERSTANDING_POWER as UNDERSTANDING_POWER
from knowledge.ranking import Asking, Join, Matches
from knowledge.roster import Roster
from workspace.models import Workspace


@dataclass(frozen=True)
class Passage:
    """A chunk as retrieved. `text` is what may be quoted; `question` is set for FAQ entries.

    `score` is the fused one, `cosine` and `coverage` are the legs' (see `knowledge.lexicon`), 0 to about 1; `alone` is the
    fused one without what was asked before. `phrasing` is the wording of a FAQ entry's question by which it was found, empty
    where it was by something else.
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
    alone: float = 0.0
    phrasing: str = ""


@dataclass(frozen=True)
class Found:
    """Passages, best first, and the versions they come from (``"col_…:3"``).

    `strength` is how much speaks for the best of all chunks (see `knowledge.ranking.Matches`), `joined` how much earlier
    questions weighed.
    """

    passages: tuple[Passage, ...]
    versions: tuple[str, ...]
    understood: float
    strength: float = 0.0
    joined: float = 0.0


@dataclass(frozen=True)
class _Candidate:
    version: "_LiveVersion"
    matches: Matches
    at: int
    score: float

    @property
    def point(self) -> int:
        return int(self.matches.points[self.at])


@dataclass(frozen=True)
class _LiveVersion:
    """A version with everything ranking needs in memory."""

    key: str
    encoder: str
    index: OpenIndex
    lexicon: Lexicon
    roster: Roster

    @property
    def is_comparable(self) -> bool:
        """Whether its vectors come from the encoder that questions are embedded with."""
        return self.encoder == encoder().fingerprint


def search(
    *,
    workspace: Workspace | int,
    question: str,
    collections: Sequence[str] = (),
    limit: int = 6,
    draft: bool = False,
    also: Sequence[str] = (),
    earlier: Sequence[str] = (),
    join: Join = lambda related: related,
    leg: str = "",
) -> Found:
    """The best passages for `question` in the live versions of `collections` (public ids; none: all of them).

    `also` are other forms of the question, `earlier` what was asked before it; `join`: see `knowledge.ranking`. With `leg`
    (``dense`` or ``lexical``) that leg alone ranks, for evaluations.

    With `draft`, in the drafts of those collections that have one.

    Raises `knowledge.index.IndexUnavailable` or `knowledge.embedding.EncoderUnavailable`.
    """
    try:
        live = live_versions(workspace, collections, draft)
    except (IndexUnavailable, Version.DoesNotExist):  # published anew between reading its number and opening it
        live = live_versions(workspace, collections, draft)
    if not live:
        return Found((), (), 0.0)
    asking = Asking.of(question, also, earlier)
    matches = [
        ranking.match(asking, version.index, version.lexicon, version.roster.questions, dense=version.is_comparable)
        for version in live
    ]
    matches = ranking.on_the_subject(matches, join, asking.understood)
    scores, share = ranking.joined(matches, join)
    if leg:
        scores = [found.cosine if leg == "dense" else found.coverage for found in matches]
    passages = _load(workspace, _best_of_each(_ranked(live, matches, scores)), limit)
    strength = max((float(found.strength.max()) for found in matches if len(found.points)), default=0.0)
    return Found(tuple(passages), tuple(version.key for version in live), asking.understood, strength, share)


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


def _ranked(
    live: Sequence[_LiveVersion], matches: Sequence[Matches], scores: Sequence[ranking.Scores]
) -> Iterator[_Candidate]:
    """All candidates, best first."""
    which = np.concatenate([np.full(len(each), number) for number, each in enumerate(scores)])
    places = np.concatenate([np.arange(len(each)) for each in scores])
    every = np.concatenate(list(scores))
    for at in np.argsort(-every, kind="stable"):
        number = int(which[at])
        yield _Candidate(live[number], matches[number], int(places[at]), float(every[at]))


def _best_of_each(ranked: Iterable[_Candidate]) -> list[_Candidate]:
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
        cosine=float(candidate.matches.cosine[candidate.at]),
        coverage=float(candidate.matches.coverage[candidate.at]),
        alone=float(candidate.matches.alone[candidate.at]),
        phrasing=chunk.text if candidate.version.roster.questions[candidate.point] else "",
    )
    if chunk.entry:
        return replace(passage, id=chunk.entry.public_id, question=chunk.entry.question, text=chunk.entry.answer)
    return passage
