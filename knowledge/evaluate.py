"""How good is the search, on a set of questions with known answers.

A set is a folder with ``corpus.jsonl`` (or ``.jsonl.gz``), ``queries.jsonl`` and ``qrels.tsv``; with a language, those
names carry it (``corpus.zh.jsonl``). Rows of the corpus with `question` and `answers` are FAQ entries, others documents
(`title`, `text`). The corpus is taken in, cut, published and searched by the very functions the chat uses.
"""

import gzip
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knowledge import services
from knowledge.ingest.found import Extracted, FaqEntry
from knowledge.models import Document
from knowledge.search import search
from workspace.models import Workspace

DEPTH = 10


class BadSet(Exception):
    """The folder does not hold a set. The text says what is missing or wrong."""


@dataclass(frozen=True)
class Scores:
    """Means over the questions, 0 to 1. Recall counts a question's relevant documents found among the first 1 or 5."""

    recall_1: float
    recall_5: float
    mrr_10: float
    ndcg_10: float
    queries: int

    def as_dict(self) -> dict[str, float | int]:
        return {
            "recall@1": round(self.recall_1, 4),
            "recall@5": round(self.recall_5, 4),
            "mrr@10": round(self.mrr_10, 4),
            "ndcg@10": round(self.ndcg_10, 4),
            "queries": self.queries,
        }


def evaluate(
    folder: Path, language: str = "", *, progress: Callable[[str, int, int], None] = lambda *_: None
) -> Scores:
    """Score the search on a set. Raises `BadSet`.

    It leaves a workspace behind: for a database that the caller throws away (`manage.py evaluate_retrieval` does).
    """
    dot = f".{language}" if language else ""
    corpus = list(_rows(folder, f"corpus{dot}.jsonl"))
    questions = list(_rows(folder, f"queries{dot}.jsonl"))
    relevant = _relevant(folder / f"qrels{dot}.tsv")
    workspace = Workspace.objects.create(name="evaluation")
    names = _take_in(workspace, corpus, progress)
    ranks = []
    for at, row in enumerate(questions):
        wanted = relevant.get(str(row["id"]))
        if wanted:
            ranks.append((_ranking(workspace, str(row["text"]), names), wanted))
        progress("ask", at + 1, len(questions))
    if not ranks:
        raise BadSet("no question has a relevant document in the corpus")
    return _score(ranks)


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


def _ranking(workspace: Workspace, question: str, names: Mapping[str, str]) -> list[str]:
    """Row ids, best chunk first, each once."""
    found = search(workspace=workspace, question=question, limit=3 * DEPTH).passages
    return list(dict.fromkeys(names[passage.document] for passage in found))[:DEPTH]


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
