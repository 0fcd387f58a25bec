"""How good is the search, on a set of questions with known answers.

A set is a folder with ``corpus.jsonl`` (or ``.jsonl.gz``), ``queries.jsonl`` and ``qrels.tsv``; with a language, those
names carry it (``corpus.zh.jsonl``). In place of the queries there may be ``conversations.jsonl``, whose rows have `turns`
(`role`, `text`): the last turn is the question, in its conversation. Their `answerability`, where given, tells how well
questions without an answer are told from others.

Rows of the corpus with `question` and `answers` are FAQ entries, others documents (`title`, `text`). The corpus is taken in,
cut, published and searched by the very functions the chat uses.
"""

import gzip
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from knowledge import services
from knowledge.ingest.found import Extracted, FaqEntry
from knowledge.models import Document
from knowledge.search import Found, search
from workspace.models import Workspace

DEPTH = 10
ANSWERABLE, FLAGGED, FALSE_ALARMS = "ANSWERABLE", ("UNANSWERABLE", "UNDERSPECIFIED"), 0.1


class BadSet(Exception):
    """The folder does not hold a set. The text says what is missing or wrong."""


@dataclass(frozen=True)
class Scores:
    """Means over the questions, 0 to 1. Recall counts a question's relevant documents found among the first 1 or 5.

    `flagged`, by kind of question: the share whose evidence is weaker than that of all but a tenth of the answerable ones.
    `legs`: the same questions ranked by one leg alone.
    """

    recall_1: float
    recall_5: float
    mrr_10: float
    ndcg_10: float
    queries: int
    flagged: Mapping[str, float] = field(default_factory=dict)
    legs: Mapping[str, "Scores"] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "recall@1": round(self.recall_1, 4),
            "recall@5": round(self.recall_5, 4),
            "mrr@10": round(self.mrr_10, 4),
            "ndcg@10": round(self.ndcg_10, 4),
            "queries": self.queries,
            **{f"{kind.lower()}_flagged@10": round(share, 4) for kind, share in self.flagged.items()},
            **({"legs": {leg: scores.as_dict() for leg, scores in self.legs.items()}} if self.legs else {}),
        }


@dataclass(frozen=True)
class Said:
    """A turn of a conversation. `author` is visitor or bot."""

    author: str
    text: str


Ask = Callable[[Workspace, str, Sequence[Said], int, str], Found]
"""Searches for a question after what was said before it, as the chat would: how many passages, and by which leg alone."""


def ask_directly(workspace: Workspace, question: str, before: Sequence[Said], limit: int, leg: str) -> Found:
    return search(workspace=workspace, question=question, limit=limit, leg=leg)


def evaluate(
    folder: Path,
    language: str = "",
    *,
    ask: Ask = ask_directly,
    legs: Sequence[str] = (),
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Scores:
    """Score the search on a set, and `legs` (``dense``, ``lexical``) by themselves. Raises `BadSet`.

    It leaves a workspace behind: for a database that the caller throws away (`manage.py evaluate_retrieval` does).
    """
    dot = f".{language}" if language else ""
    corpus = list(_rows(folder, f"corpus{dot}.jsonl"))
    questions = list(_questions(folder, dot))
    relevant = _relevant(folder / f"qrels{dot}.tsv")
    workspace = Workspace.objects.create(name="evaluation")
    names = _take_in(workspace, corpus, progress)
    ranks: dict[str, list[tuple[list[str], set[str]]]] = {leg: [] for leg in ("", *legs)}
    strengths = defaultdict[str, list[float]](list)
    for at, question in enumerate(questions):
        wanted = relevant.get(question.id)
        if wanted or question.kind:
            for leg in ranks if wanted else ("",):
                found = ask(workspace, question.text, question.before, 3 * DEPTH, leg)
                if not leg:
                    strengths[question.kind].append(found.strength)
                if wanted:
                    ranking = dict.fromkeys(names[passage.document] for passage in found.passages)
                    ranks[leg].append((list(ranking)[:DEPTH], wanted))
        progress("ask", at + 1, len(questions))
    if not ranks[""]:
        raise BadSet("no question has a relevant document in the corpus")
    alone = {leg: _score(ranks[leg]) for leg in legs}
    return replace(_score(ranks[""]), flagged=_flagged(strengths), legs=alone)


@dataclass(frozen=True)
class _Question:
    id: str
    text: str
    before: tuple[Said, ...] = ()
    kind: str = ""


def _questions(folder: Path, dot: str) -> Iterator[_Question]:
    names = [f"conversations{dot}.jsonl", f"conversations{dot}.jsonl.gz"]
    if not any((folder / name).exists() for name in names):
        for row in _rows(folder, f"queries{dot}.jsonl"):
            yield _Question(str(row["id"]), str(row["text"]))
        return
    for row in _rows(folder, f"conversations{dot}.jsonl"):
        try:
            said = [Said("visitor" if turn["role"] == "user" else "bot", str(turn["text"])) for turn in row["turns"]]
            *before, last = said
        except (KeyError, TypeError, ValueError):
            raise BadSet(f"the conversation {row['id']} has no turns with role and text") from None
        yield _Question(str(row["id"]), last.text, tuple(before), str(row.get("answerability") or ""))


def _flagged(strengths: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """By kind: the share below the strength that a tenth of the answerable questions stay under."""
    if not strengths.get(ANSWERABLE):
        return {}
    limit = float(np.quantile(strengths[ANSWERABLE], FALSE_ALARMS))
    return {
        kind: sum(1 for one in strengths[kind] if one < limit) / len(strengths[kind])
        for kind in FLAGGED
        if strengths.get(kind)
    }


def _take_in(
    workspace: Workspace, corpus: list[dict[str, Any]], progress: Callable[[str, int, int], None]
) -> dict[str, str]:
    """Make one document a row; returns document public id -> row id."""
    collection = services.find_or_create_collection(workspace=workspace, name="evaluation")
    names: dict[str, str] = {}
    for at, row in enumerate(corpus):
        document = Document.objects.of(workspace).create(
            collection=collection,
            title=str(row.get("title") or row.get("question") or row["id"])[:200],
            source=str(row["id"]),
            media_type="application/jsonl",
            content_hash="",
            size_bytes=0,
            status=Document.Status.READ,
        )
        services.store(document, _extracted(row))
        names[document.public_id] = str(row["id"])
        progress("read", at + 1, len(corpus))
    services.publish(collection=collection, progress=progress)
    return names


def _extracted(row: Mapping[str, Any]) -> Extracted:
    if "question" in row:
        return Extracted("", "", entries=(FaqEntry(row["question"], tuple(row["answers"])),))
    title = str(row.get("title") or "")
    return Extracted(title, "", markdown=f"# {title}\n\n{row['text']}" if title else str(row["text"]))


def _score(ranks: list[tuple[list[str], set[str]]]) -> Scores:
    recall_1 = recall_5 = mrr = ndcg = 0.0
    for ranking, wanted in ranks:
        hits = [at for at, name in enumerate(ranking) if name in wanted]
        recall_1 += sum(1 for at in hits if at < 1) / min(1, len(wanted))
        recall_5 += sum(1 for at in hits if at < 5) / min(5, len(wanted))
        mrr += 1 / (hits[0] + 1) if hits else 0
        ideal = sum(1 / math.log2(at + 2) for at in range(min(DEPTH, len(wanted))))
        ndcg += sum(1 / math.log2(at + 2) for at in hits) / ideal
    count = len(ranks)
    return Scores(recall_1 / count, recall_5 / count, mrr / count, ndcg / count, count)


def _rows(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    path, packed = folder / name, folder / f"{name}.gz"
    if not path.exists() and not packed.exists():
        raise BadSet(f"{path} is missing")
    with gzip.open(packed, "rt", encoding="utf-8") if packed.exists() else path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    row = json.loads(line)
                except ValueError:
                    raise BadSet(f"{name} line {number} is not JSON") from None
                if not isinstance(row, dict) or "id" not in row:
                    raise BadSet(f"{name} line {number} has no id")
                yield row


def _relevant(path: Path) -> dict[str, set[str]]:
    """question id -> ids of its relevant rows; a header row and a score of 0 are passed over."""
    if not path.exists():
        raise BadSet(f"{path} is missing")
    relevant: dict[str, set[str]] = defaultdict(set)
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = line.split("\t")
        if len(cells) < 2 or cells[0] == "query-id":
            continue
        question, document = cells[0], cells[2] if len(cells) > 3 else cells[1]
        if len(cells) < 3 or cells[-1] != "0":
            relevant[question].add(document)
    return relevant
