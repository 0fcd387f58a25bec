"""The process that reads files: what it may use, what it knows, and what its end means for the worker."""

import base64
import io
import json
import os
import time
import zipfile
from pathlib import Path

import pytest

from knowledge import services
from knowledge.ingest.extract import extract
from knowledge.ingest.found import Unreadable
from knowledge.ingest.verdicts import WORDS
from knowledge.models import Document
from knowledge.tasks import HANDLERS
from workspace import leases
from workspace.models import Workspace


def refusal(name: str, data: bytes) -> Unreadable:
    with pytest.raises(Unreadable) as refused:
        extract(name, data)
    assert refused.value.code in WORDS
    return refused.value


LARGE = b"word " * 4_000_000


def test_a_file_is_read_in_a_process_of_its_own_and_comes_back_whole() -> None:
    found = extract("faq.csv", "问题,相似问法,答案\n多久？,几天？ | 时效,七天\n".encode("gb18030"))
    (entry,) = found.entries
    assert (entry.question, entry.phrasings, entry.answers) == ("多久？", ("几天？", "时效"), ("七天",))


@pytest.mark.parametrize("body", ["while True:\n        pass", "__import__('time').sleep(60)"])
def test_a_file_that_takes_too_long_is_stopped(body: str, settings, monkeypatch, tmp_path: Path) -> None:
    """Whether its reader works without end or waits without end."""
    from knowledge.ingest import extract as module

    readers = tmp_path / "knowledge" / "ingest" / "readers"
    readers.mkdir(parents=True)
    for folder in (readers.parents[1], readers.parent):
        (folder / "__init__.py").write_text("")
    (readers.parent / "found.py").write_text("class Unreadable(Exception):\n    pass\n")
    (readers / "__init__.py").write_text(f"def read(name, data):\n    {body}\n")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    settings.PARSER_SECONDS = 1
    assert refusal("a.md", b"x").code == "too_slow"


def test_a_file_that_takes_too_much_memory_is_stopped(settings) -> None:
    settings.PARSER_MEMORY_BYTES = 60 * 1024 * 1024
    assert refusal("large.md", LARGE).code == "too_heavy"


def test_the_reader_knows_nothing_of_ours(monkeypatch, tmp_path: Path) -> None:
    """What a reader that a file has taken over would find: neither our environment nor our settings, nor a way to write."""
    monkeypatch.setenv("BATON_SECRET_KEY", "the-secret")
    hostile = tmp_path / "knowledge" / "ingest" / "readers"
    hostile.mkdir(parents=True)
    for folder in (hostile.parents[1], hostile.parent):
        (folder / "__init__.py").write_text("")
    (hostile.parent / "found.py").write_text("class Unreadable(Exception):\n    code, detail = '', ''\n")
    (hostile / "__init__.py").write_text(
        "import os, sys, dataclasses\n"
        "@dataclasses.dataclass\n"
        "class Found:\n    title: str\n    media_type: str\n    markdown: str\n    entries: tuple = ()\n"
        "    parts: tuple = ()\n    note: str = ''\n    note_detail: str = ''\n"
        "def read(name, data):\n"
        f"    try:\n        with open('{tmp_path}/taken', 'w') as file:\n            file.write('x')\n        wrote = True\n"
        "    except OSError:\n        wrote = False\n"
        "    return Found('t', 'm', repr((sorted(os.environ), 'django' in sys.modules, wrote)))\n"
    )
    from knowledge.ingest import extract as module

    monkeypatch.setattr(module, "ROOT", tmp_path)
    environment, has_django, wrote = eval(extract("a.md", b"x").markdown)
    assert {name for name in environment if name not in {"LC_CTYPE", "PATH", "LANG"}} == {
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
    }
    assert (has_django, wrote) == (False, False)


@pytest.mark.parametrize(
    "answer",
    ["", "nonsense", "[]", '{"refused": "no such code", "detail": "x"}', '{"found": {"title": "t"}}', '{"found": []}'],
)
def test_what_a_reader_answers_is_not_believed(answer: str, monkeypatch, tmp_path: Path) -> None:
    from knowledge.ingest import extract as module

    program = tmp_path / "parser.py"
    program.write_text(f"print({answer!r}, end='')")
    monkeypatch.setattr(module, "PARSER", program)
    assert refusal("a.md", b"x").code == "reader_failed"


def test_a_reader_that_dies_is_a_verdict(monkeypatch, tmp_path: Path) -> None:
    from knowledge.ingest import extract as module

    program = tmp_path / "parser.py"
    program.write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr(module, "PARSER", program)
    problem = refusal("a.md", b"x")
    assert (problem.code, problem.detail) == ("reader_failed", "signal 11")


@pytest.mark.django_db
def test_an_archive_becomes_documents_and_says_what_it_left(workspace: Workspace) -> None:
    def zipped(**files: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return file.getvalue()

    def rows() -> dict[str, tuple[str, str, str]]:
        kept = Document.objects.of(workspace).kept().filter(collection=shop)
        return {row.source: (row.status, row.error, row.error_detail) for row in kept}

    def take_in(data: bytes) -> None:
        services.add_file(collection=shop, name="all.zip", data=data)
        while leases.run_next(HANDLERS):
            pass

    shop = services.find_or_create_collection(workspace=workspace, name="shop")
    take_in(
        zipped(**{"a.md": b"# A\n\nOne.", "b/c.txt": b"Two.", "x.png": b"p", "in.zip": b"PK", "gone.md": b"Three."})
    )
    assert rows() == {
        "all.zip": ("live", "unpacked", "3; – .png ×1"),
        "all.zip/a.md": ("live", "", ""),
        "all.zip/b/c.txt": ("live", "", ""),
        "all.zip/gone.md": ("live", "", ""),
        "all.zip/in.zip": ("failed", "nested_archive", ""),
    }

    take_in(zipped(**{"a.md": b"# A\n\nOne.", "b/c.txt": b"Another."}))
    assert {source: status for source, (status, _, _) in rows().items() if status == "live"} == {
        "all.zip": "live", "all.zip/a.md": "live", "all.zip/b/c.txt": "live",
    }  # fmt: skip
    assert "all.zip/gone.md" not in rows()

    take_in(zipped(**{"../out.md": b"x"}))
    failed = Document.objects.of(workspace).kept().get(source="all.zip", status="failed")
    assert (failed.error, failed.error_detail) == ("unsafe_name", "../out.md")


def test_every_upload_of_the_hostile_set_ends_in_a_verdict(data_folder: Path) -> None:
    folder = data_folder / "security" / "uploads"
    if not folder.is_dir():
        pytest.skip("no hostile uploads in the test data")
    verdicts = {}
    for line in (folder / "manifest.jsonl").read_text().splitlines():
        row = json.loads(line)
        data = (folder / row["file"]).read_bytes()
        if "base64" in row["expect"]:
            data = base64.b64decode(data)
        started = time.monotonic()
        try:
            verdicts[row["file"]] = "indexed" if extract(row["claimed_name"], data).markdown else "none"
        except Unreadable as problem:
            assert problem.code in WORDS  # noqa: PT017 - which one is looked at below
            verdicts[row["file"]] = problem.code
        assert time.monotonic() - started < 30
        if row["expect"] == "index":
            assert verdicts[row["file"]] == "indexed", row["file"]
        if row["expect"].startswith(("reject", "clear error")) and "or" not in row["expect"].split():
            assert verdicts[row["file"]] != "indexed", row["file"]
    assert len(verdicts) == len(list((folder / "files").iterdir()))


def test_an_entity_that_names_a_file_reads_none(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("the-canary")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(
            "word/document.xml",
            f"<?xml version='1.0'?><!DOCTYPE d [<!ENTITY c SYSTEM 'file://{canary}'>]>"
            "<w:document xmlns:w='http://schemas.openxmlformats.org/wordprocessingml/2006/main'>"
            "<w:body><w:p><w:r><w:t>&c;</w:t></w:r></w:p></w:body></w:document>",
        )
    assert refusal("a.docx", file.getvalue()).code == "unsafe"
    assert os.path.exists(canary)
