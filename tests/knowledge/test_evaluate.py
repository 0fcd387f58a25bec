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


def test_a_set_that_is_none_is_told_and_ends_with_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call_command("evaluate_retrieval", tmp_path, "--json", "--no-progress")
    assert ended.value.code == 1
    assert "corpus.jsonl is missing" in capfd.readouterr().err
