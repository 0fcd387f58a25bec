"""What the evidence thresholds let through and what they stop, by kind of question.

    python benchmarks/evidence.py [--data DIR]

Answerable: the demo shop's FAQ, asked in a phrasing that was taken out of it before it was indexed. Not answerable: the
same shop asked questions of other knowledge (the public sets in DIR, default $BATON_DATA or ../shared/data).
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
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot.settings")
os.environ["BATON_HOME"] = tempfile.mkdtemp(prefix="baton-evidence-")

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402

from chatbot.turn.evidence import ByStrength  # noqa: E402
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
SAMPLE = 200


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("BATON_DATA", ROOT.parent / "shared" / "data"))
    )
    folder = parser.parse_args().data
    random.seed(7)
    call_command("migrate", verbosity=0)
    workspace = Workspace.objects.create(name="evidence")
    held_out = index_demo(workspace)
    print(f"{'questions':32}{'n':>6}{'answered':>10}{'asked back':>12}{'no source':>11}")
    for language, questions in held_out.items():
        report(workspace, f"answerable, held out ({language})", questions)
    for name, path in OTHERS.items():
        if (folder / path).exists():
            rows = [json.loads(line)["text"] for line in (folder / path).read_text(encoding="utf-8").splitlines()]
            report(workspace, name, random.sample(rows, min(SAMPLE, len(rows))))


def index_demo(workspace: Workspace) -> dict[str, list[str]]:
    """Index the demo shop without one phrasing of each entry; returns those."""
    collection = services.find_or_create_collection(workspace=workspace, name="demo")
    held_out: dict[str, list[str]] = {}
    for path in sorted(DEMO.glob("faq.*.csv")):
        header, *rows = csv.reader(path.open(encoding="utf-8", newline=""))
        kept = io.StringIO()
        writer = csv.writer(kept)
        writer.writerow(header)
        for question, phrasings, answer in rows:
            first, *others = [phrasing.strip() for phrasing in phrasings.split("|")]
            held_out.setdefault(path.name.split(".")[1], []).append(first)
            writer.writerow([question, " | ".join(others), answer])
        services.add_file(collection=collection, name=path.name, data=kept.getvalue().encode())
    for path in DEMO.glob("*.md"):
        services.add_file(collection=collection, name=path.name, data=path.read_bytes())
    while leases.run_next(HANDLERS):
        pass
    return held_out


def report(workspace: Workspace, name: str, questions: list[str]) -> None:
    grounds: Counter[Grounds] = Counter()
    for question in questions:
        found = search(workspace=workspace, question=question)
        passages = tuple(Passage(**vars(passage)) for passage in found.passages)
        grounds[ByStrength().weigh(Query(question), Retrieved(passages, found.understood, found.strength)).grounds] += 1
    shares = [grounds[kind] / len(questions) for kind in (Grounds.ENOUGH, Grounds.UNDERSPECIFIED, Grounds.NONE)]
    print(f"{name:32}{len(questions):6}{shares[0]:10.0%}{shares[1]:12.0%}{shares[2]:11.0%}")


if __name__ == "__main__":
    main()
