"""``manage.py ingest``: what is taken in, what is not, and the sums of both."""

import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from knowledge.ingest.found import MAX_BYTES
from tests.serving import ROOT
from workspace.models import Workspace


@pytest.mark.django_db(transaction=True)
def test_the_files_taken_in_unchanged_and_refused_are_all_that_were_given(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "good.md").write_text("# Returns\n\nWithin 30 days.")
    call_command("ingest", str(tmp_path), "--collection", "support", "--no-progress", stdout=StringIO())
    (tmp_path / "more.md").write_text("# Shipping\n\nTo all of Europe.")
    (tmp_path / "binary.md").write_bytes(b"\x00\x01\x02")
    with (tmp_path / "huge.txt").open("wb") as huge:
        huge.truncate(MAX_BYTES + 1)

    out, err = StringIO(), StringIO()
    with pytest.raises(CommandError, match="2 of 4 files could not be read"):
        call_command("ingest", str(tmp_path), "--collection", "support", "--no-progress", stdout=out, stderr=err)
    assert "1 of 4 files taken in, 1 unchanged, version 2 is live" in out.getvalue()
    assert "huge.txt" in err.getvalue()
    assert "binary.md" in err.getvalue()


def test_loading_the_encoder_draws_no_progress_of_its_own() -> None:
    load = "from knowledge.embedding import SHIPPED, SentenceTransformerEncoder; SentenceTransformerEncoder(SHIPPED)"
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", load],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0
    assert "Loading" not in done.stdout + done.stderr
