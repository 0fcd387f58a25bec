"""What the evidence thresholds let through and what they stop, by kind of question.

    python benchmarks/evidence.py [--data DIR]

Answerable: the demo shop's FAQ, asked in a phrasing that was taken out of it before it was indexed. Not answerable: the
same shop asked questions of other knowledge (the public sets in DIR, default $BATON_DATA or ../shared/data). All of them are
asked first, and then after another question of the shop, if they do not lean on it; of the whole shop, and of little shops
with five entries of its FAQ.
"""

import argparse
import csv
import io
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot.settings")
os.environ["BATON_HOME"] = tempfile.mkdtemp(prefix="baton-evidence-")

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402

from chatbot.turn.evidence import ByStrength  # noqa: E402
from chatbot.turn.query import joins, leans  # noqa: E402
from chatbot.turn.values import Grounds, Passage, Query, Retrieved  # noqa: E402
from knowledge import services  # noqa: E402
from knowledge.search import search  # noqa: E402
from knowledge.tasks import HANDLERS  # noqa: E402
from workspace import leases  # noqa: E402
from workspace.models import Workspace  # noqa: E402

DEMO = ROOT / "chatbot" / "management" / "demo"
OTHERS = {
    "web applications (en)": "stackfaq/queries.jsonl",
    "encyclopaedia (en)": "xquad_zh_en/queries.en.jsonl",
    "encyclopaedia (zh)": "xquad_zh_en/queries.zh.jsonl",
    "a database product (zh)": "zh_faq_tidb/queries.jsonl",
}
SAMPLE, SAMPLE_OF_LITTLE = 200, 15
LITTLE, LITTLE_SHOPS = 5, 6  # entries a little shop, and how many of them a language


@dataclass(frozen=True)
class Entry:
    """A row of the demo's FAQ without its first phrasing, which is `held_out`."""

    question: str
    phrasings: tuple[str, ...]
    answer: str
    held_out: str


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("BATON_DATA", ROOT.parent / "shared" / "data"))
    )
    folder = parser.parse_args().data
    random.seed(7)
    call_command("migrate", verbosity=0)
    faq = {path.name.split(".")[1]: entries(path) for path in sorted(DEMO.glob("faq.*.csv"))}
    foreign = {name: texts(folder / path) for name, path in OTHERS.items() if (folder / path).exists()}
    whole = open_shop(faq, sorted(DEMO.glob("*.md")))
    print(f"{'questions':50}{'n':>6}{'answered':>10}{'asked back':>12}{'no source':>11}")
    tables: dict[str, Counter[Grounds]] = {}
    for language, rows in faq.items():
        ask_all(tables, f"answerable, held out ({language})", whole, [row.held_out for row in rows], rows)
    for name, some in foreign.items():
        every = [row for rows in faq.values() for row in rows]
        ask_all(tables, name, whole, random.sample(some, min(SAMPLE, len(some))), every)
    for language, rows in faq.items():
        for _ in range(LITTLE_SHOPS):
            at = random.randrange(len(rows) - LITTLE)
            sold = rows[at : at + LITTLE]
            little = open_shop({language: sold})
            ask_all(tables, f"a little shop ({language}), held out", little, [row.held_out for row in sold], sold)
            for some in foreign.values():
                ask_all(tables, f"a little shop ({language}), other knowledge", little, sample_of(some), sold)
    for name, grounds in tables.items():
        report(name, grounds)


def entries(path: Path) -> list[Entry]:
    _, *rows = csv.reader(path.open(encoding="utf-8", newline=""))
    found = []
    for question, phrasings, answer in rows:
        first, *others = [phrasing.strip() for phrasing in phrasings.split("|")]
        found.append(Entry(question, tuple(others), answer, first))
    return found


def texts(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


def sample_of(some: list[str]) -> list[str]:
    return random.sample(some, min(SAMPLE_OF_LITTLE, len(some)))


def open_shop(faq: dict[str, list[Entry]], others: Sequence[Path] = ()) -> Workspace:
    """A workspace with these entries indexed, and these files."""
    workspace = Workspace.objects.create(name="evidence")
    collection = services.find_or_create_collection(workspace=workspace, name="demo")
    for language, rows in faq.items():
        file = io.StringIO()
        writer = csv.writer(file)
        writer.writerow(["question", "similar questions", "answer"])
        writer.writerows([row.question, " | ".join(row.phrasings), row.answer] for row in rows)
        services.add_file(collection=collection, name=f"faq.{language}.csv", data=file.getvalue().encode())
    for path in others:
        services.add_file(collection=collection, name=path.name, data=path.read_bytes())
    while leases.run_next(HANDLERS):
        pass
    return workspace


def ask_all(
    tables: dict[str, Counter[Grounds]], name: str, shop: Workspace, questions: list[str], sold: list[Entry]
) -> None:
    """Ask each question first, and, if it does not lean back, after the question of another entry."""
    for question in questions:
        tables.setdefault(name, Counter())[judge(shop, question)] += 1
        if not leans(question):
            before = random.Random(question).choice([row.question for row in sold if row.held_out != question])
            tables.setdefault(f"{name}, after another", Counter())[judge(shop, question, before)] += 1


def judge(shop: Workspace, question: str, *before: str) -> Grounds:
    found = search(workspace=shop, question=question, earlier=before, join=partial(joins, question))
    passages = tuple(Passage(**vars(passage)) for passage in found.passages)
    return ByStrength().weigh(Query(question), Retrieved(passages, found.understood, found.strength)).grounds


def report(name: str, grounds: Counter[Grounds]) -> None:
    shares = [grounds[kind] / grounds.total() for kind in (Grounds.ENOUGH, Grounds.UNDERSPECIFIED, Grounds.NONE)]
    print(f"{name:50}{grounds.total():6}{shares[0]:10.0%}{shares[1]:12.0%}{shares[2]:11.0%}")


if __name__ == "__main__":
    main()
