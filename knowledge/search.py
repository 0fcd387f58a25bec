"""Hybrid search over the live versions: what the chat, the terminal, the test page and the evaluation all call.

How a question is held against a version's chunks is `knowledge.ranking`; here are the versions, and the rows behind what
was found.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from django.utils import timezone

from knowledge import ranking, reranking
from knowledge.embedding import encoder
from knowledge.index import IndexUnavailable, OpenIndex, engine
from knowledge.lexicon import Lexicon
from knowledge.models import Chunk, Collection, Document, Entry, Version
from knowledge.ranking import DENSE_WEIGHT_PASSAGE as DENSE_WEIGHT_PASSAGE
from knowledge.ranking import UNDERSTANDING_POWER as UNDERSTANDING_POWER
from knowledge.ranking import Asking, Join, Matches
from knowledge.reranking import Reranker
from knowledge.roster import Roster
from workspace.models import Workspace
from workspace.prepared import Rows

SAMPLE = 60  # texts: enough to tell what a fifth of the knowledge is written in


@dataclass(frozen=True)
class Passage:
    """A chunk as retrieved. `text` is what may be quoted; `question` is set for FAQ entries.

    `score` is the fused one, `cosine` and `coverage` are the legs' (see `knowledge.lexicon`), 0 to about 1; `alone` is the
    fused one without what was asked before. `phrasing` is the wording of a FAQ entry's question by which it was found, empty
    where it was by something else. `reranked` is what `knowledge.reranking` makes of it, where it was looked at again.
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
    reranked: float | None = None


@dataclass(frozen=True)
class Found:
    """Passages, best first, and the versions they come from (``"col_…:3"``).

    `strength` is how much speaks for the best of all chunks (see `knowledge.ranking.Matches`), `understood` the share that the
    encoder understands of the form of the question by which it does, `joined` how much earlier questions weighed.
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

    `also` are other forms of the question, `earlier` what was asked before it; `join`: see `knowledge.ranking`. Where the
    first scores lie close, the reranker says which comes first, if one is set; but not for words that lean wholly on earlier
    ones, and say nothing by themselves. With `leg` (``dense`` or ``lexical``) that leg alone ranks, for evaluations.

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
    matches = ranking.on_the_subject(asking, matches, join)
    scores, share = ranking.joined(matches, join)
    if leg:
        scores = [found.cosine if leg == "dense" else found.coverage for found in matches]
    best = _best_of_each(_ranked(live, matches, scores))
    judge = None if leg or (share == ranking.CONTEXT and not also) else reranking.reranker()
    passages = _load(workspace, best, max(limit, reranking.CANDIDATES) if judge else limit)
    if judge:
        passages = _looked_at_again(judge, (question, *also), passages)
    strength, understood = ranking.evidence(asking, matches)
    return Found(tuple(passages[:limit]), tuple(version.key for version in live), understood, strength, share)


def sample(versions: Sequence[str]) -> list[str]:
    """Texts from all over these versions (see `Found.versions`), the more of one the larger it is; none of one that is gone."""
    try:
        rosters = [_open(*_named(key)).roster.chunks for key in versions]
    except (IndexUnavailable, Version.DoesNotExist):
        return []
    chunks = np.concatenate([np.zeros(0, np.int64), *rosters])
    places = np.linspace(0, len(chunks) - 1, min(SAMPLE, len(chunks))).astype(int)
    return list(Chunk.every.filter(pk__in=chunks[places].tolist()).values_list("text", flat=True))


def _named(key: str) -> tuple[str, int]:
    public_id, _, number = key.rpartition(":")
    return public_id, int(number)


_COLLECTIONS = Rows(
    lambda workspace: (
        Collection.objects.of(workspace).order_by("pk").only("public_id", "version", "draft", "revision", "dated")
    ),
    workspace=int,
)


def live_versions(
    workspace: Workspace | int, collections: Sequence[str] = (), draft: bool = False
) -> list[_LiveVersion]:
    numbers = [(each.public_id, (draft and each.draft) or each.version) for each in _chosen(workspace, collections)]
    return [_open(public_id, number) for public_id, number in numbers if number]


def version_key(workspace: Workspace | int, collections: Sequence[str] = (), draft: bool = False) -> str:
    """Names the knowledge an answer would be drawn from now.

    It changes with every publish, delete and switched-off piece, and whenever something becomes or ceases to be valid.
    """
    chosen = _chosen(workspace, collections)
    names = [f"{each.public_id}:{(draft and each.draft) or each.version}.{each.revision}" for each in chosen]
    if dated := [each.pk for each in chosen if each.dated]:
        names.append(f"dates:{_dates_passed(workspace, dated)}")
    return ",".join(names)


def _chosen(workspace: Workspace | int, collections: Sequence[str]) -> list[Collection]:
    """The collections of these public ids, or all of them."""
    every = _COLLECTIONS.all(workspace=getattr(workspace, "pk", workspace))
    return [each for each in every if not collections or each.public_id in collections]


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


AT_A_TIME = 12
_CHUNKS = Rows(
    lambda workspace, now, keys: (
        Chunk.objects.of(workspace)
        .retrievable(now)
        .filter(pk__in=keys)
        .select_related("document", "entry")
        .defer("document__content")
        .order_by()
    ),
    workspace=int,
    now=dt.datetime,
    keys=(int,) * AT_A_TIME,
)


def _load(workspace: Workspace | int, ranked: Sequence[_Candidate], limit: int) -> list[Passage]:
    """The rows behind the candidates. The database has the last word: what was deleted is not returned."""
    now = timezone.now()
    passages: list[Passage] = []
    for start in range(0, len(ranked), AT_A_TIME):
        some = ranked[start : start + AT_A_TIME]
        keys = [int(candidate.version.roster.chunks[candidate.point]) for candidate in some]
        found = _CHUNKS.all(workspace=getattr(workspace, "pk", workspace), now=now, keys=keys)
        rows = {chunk.pk: chunk for chunk in found}
        passages += [_passage(rows[key], candidate) for key, candidate in zip(keys, some, strict=True) if key in rows]
        if len(passages) >= limit:
            break
    return passages[:limit]


def _looked_at_again(judge: Reranker, questions: Sequence[str], passages: list[Passage]) -> list[Passage]:
    """The first ones in the order that the reranker gives them, if they are close; behind them nothing changes."""
    count = reranking.how_many([passage.score for passage in passages])
    first, rest = passages[:count], passages[count:]
    texts = ["\n".join(filter(None, (each.question or each.heading, each.text))) for each in first]
    opinions = judge.opinions(questions, texts) if first else None
    if opinions is None:
        return passages
    judged = sorted(zip(opinions, first, strict=True), key=lambda each: -each[0])
    return [replace(passage, reranked=opinion) for opinion, passage in judged] + rest


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
