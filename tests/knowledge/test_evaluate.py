"""An evaluation: its numbers, and that the database and the folders in use never hear of it."""

import json
import os
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command

from workspace.models import Workspace

ROWS = (
    ("returns", "How long may I return a grinder?", "Within 30 days, unopened."),
    ("shipping", "Do you ship to Norway?", "We ship to all of Europe."),
)


@pytest.fixture
def small_set(tmp_path: Path) -> Path:
    (tmp_path / "corpus.jsonl").write_text(
        "\n".join(json.dumps({"id": name, "question": asked, "answers": [told]}) for name, asked, told in ROWS)
    )
    (tmp_path / "queries.jsonl").write_text(
        "\n".join(json.dumps({"id": name, "text": asked}) for name, asked, _ in ROWS)
    )
    (tmp_path / "qrels.tsv").write_text("".join(f"{name}\t{name}\t1\n" for name, _, _ in ROWS))
    return tmp_path


@pytest.mark.django_db(transaction=True)
def test_an_evaluation_prints_its_numbers_and_leaves_the_database_and_the_folders_alone(
    small_set: Path, workspace: Workspace
) -> None:
    before = {path for path in settings.HOME.rglob("*") if "index" in path.parts}
    environment = dict(os.environ)

    out = StringIO()
    call_command("evaluate_retrieval", small_set, "--json", "--no-progress", stdout=out)

    assert json.loads(out.getvalue()) == {"recall@1": 1.0, "recall@5": 1.0, "mrr@10": 1.0, "ndcg@10": 1.0, "queries": 2}
    assert list(Workspace.objects.all()) == [workspace]
    assert {path for path in settings.HOME.rglob("*") if "index" in path.parts} == before
    assert dict(os.environ) == environment


def test_a_conversation_is_asked_by_its_last_turn_after_what_came_before(tmp_path: Path) -> None:
    rows = [
        ("returns", "How long may I return a grinder?", "Within 30 days, unopened."),
        ("shipping", "Do you ship a grinder to Norway?", "We ship to all of Europe."),
        ("beans", "How do I store roasted beans?", "Cool, dark and closed."),
        ("clean", "How do I clean the burrs of my mill?", "With a brush, once a month."),
    ]
    (tmp_path / "corpus.jsonl").write_text(
        "\n".join(json.dumps({"id": name, "question": asked, "answers": [told]}) for name, asked, told in rows)
    )

    def said(name: str, kind: str, *texts: str) -> str:
        turns = [{"role": "assistant" if at % 2 else "user", "text": text} for at, text in enumerate(texts)]
        return json.dumps({"id": name, "answerability": kind, "turns": turns})

    conversations = [said(name, "ANSWERABLE", asked) for name, asked, _ in rows]
    conversations.append(
        said("leaning", "ANSWERABLE", "Shipping to Norway", "To all of Europe.", "and how long does it take")
    )
    conversations += [
        said("gone", "UNANSWERABLE", "Is the opera house in Sydney open on Mondays?"),
        said("vague", "UNDERSPECIFIED", "What of that thing?"),
    ]
    (tmp_path / "conversations.jsonl").write_text("\n".join(conversations))
    (tmp_path / "qrels.tsv").write_text("".join(f"{name}\t{name}\t1\n" for name, *_ in rows) + "leaning\tshipping\t1\n")

    out = StringIO()
    call_command("evaluate_retrieval", tmp_path, "--json", "--no-progress", "--legs", stdout=out)
    scores = json.loads(out.getvalue())

    assert (scores["recall@1"], scores["queries"]) == (1.0, 5), "the last turn is found through the one before"
    assert scores["legs"]["lexical"]["recall@1"] < 1, "its own words lead elsewhere"
    assert (scores["unanswerable_flagged@10"], scores["underspecified_flagged@10"]) == (1.0, 1.0)


def test_a_set_that_is_none_is_told_and_ends_with_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call_command("evaluate_retrieval", tmp_path, "--json", "--no-progress")
    assert ended.value.code == 1
    assert "corpus.jsonl is missing" in capfd.readouterr().err
