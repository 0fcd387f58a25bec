"""What the README tells an owner to do before the first start in production, done as it says, in a folder of its own."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urljoin

import pytest

from tests.environment import free_port
from tests.serving import ROOT

HASHED = re.compile(r"\.[0-9a-f]{12}\.\w+$")
IMPORTED = re.compile(r"""(?:from|import)\s*\(?\s*["'](\.[^"']+\.js)["']""")
ASK = """
import asyncio, json, sys
import httpx
from django.templatetags.static import static
from chatbot.asgi import application

async def ask():
    server, out = httpx.ASGITransport(app=application), {}
    async with httpx.AsyncClient(transport=server, base_url="https://chat.example.com") as client:
        for name in sys.stdin.read().split():
            plainly, file = name.startswith("http:"), name.removeprefix("http:")
            path = static(file) if not file.startswith("/") else file
            found = await client.get(path, headers={"X-Forwarded-Proto": "http" if plainly else "https"})
            out[name] = [path, found.status_code, found.text, dict(found.headers)]
    print(json.dumps(out))

asyncio.run(ask())
"""


class Answer(NamedTuple):
    path: str
    status: int
    text: str
    headers: dict[str, str]


def production(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a production server that has its data in `folder`."""
    names = {
        name: value for name, value in os.environ.items() if not name.startswith(("BATON_", "DEEPSEEK_", "DJANGO_"))
    }
    return names | {
        "BATON_PRODUCTION": "1",
        "BATON_SECRET_KEY": "a secret of this test, which is long enough: 0123456789 abcdefghi",
        "BATON_KEYS": os.environ["BATON_KEYS"],
        "BATON_HOSTS": "chat.example.com",
        "BATON_HOME": str(folder),
        "DATABASE_URL": f"sqlite:///{folder / 'baton.sqlite3'}",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        **more,
    }


def manage(environment: dict[str, str], *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT, env=environment, input=stdin, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def get(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Answer]]:
    """Asks a production server whose static files were collected. Names without a slash in front are static files."""
    environment = production(tmp_path_factory.mktemp("production"))
    for step in (["migrate", "--verbosity", "0"], ["collectstatic", "--noinput", "--verbosity", "0"]):
        done = manage(environment, *step)
        assert done.returncode == 0, done.stderr

    def ask(*names: str) -> list[Answer]:
        done = manage(environment, "shell", "--verbosity", "0", "-c", ASK, stdin="\n".join(names))
        assert done.returncode == 0, done.stderr
        answers = json.loads(done.stdout.splitlines()[-1])
        return [Answer(*answers[name]) for name in names]

    return ask


def test_the_pages_are_served_once_the_static_files_are_collected(get: Callable[..., list[Answer]]) -> None:
    pages = get("/login/", "/admin/login/", "/shop/")
    assert [page.status for page in pages[:2]] == [200, 200]
    files = sorted({path for page in pages for path in re.findall(r'(?:src|href)="(/static/[^"#]+)', page.text)})
    assert files
    assert all(HASHED.search(path) for path in files), files
    assert {file.status for file in get(*files)} == {200}


def test_a_static_file_is_guarded_like_a_page(get: Callable[..., list[Answer]]) -> None:
    plain, file, page = get("http:widget/panel/main.js", "widget/panel/main.js", "/login/")
    assert plain.status == 301
    assert plain.headers["location"] == f"https://chat.example.com{plain.path}"
    guards = ("strict-transport-security", "referrer-policy", "x-content-type-options")
    assert [file.headers[name] for name in guards] == [page.headers[name] for name in guards]


def test_every_module_of_ours_imports_hashed_names_that_are_there(get: Callable[..., list[Answer]]) -> None:
    wanted, seen = {"desk/main.js", "widget/panel/main.js"}, set[str]()
    while wanted:
        imported: set[str] = set()
        for path, status, text, _ in get(*sorted(wanted)):
            assert status == 200, path
            assert HASHED.search(path), path
            seen.add(path)
            code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
            imported |= {urljoin(path, name) for name in IMPORTED.findall(code)}
        wanted = imported - seen
    assert len(seen) > 10


def test_the_printed_keys_are_all_that_a_first_setting_needs(tmp_path: Path) -> None:
    printed = manage(production(tmp_path, BATON_KEYS=""), "new_key").stdout.strip()
    name, _, value = printed.partition("=")
    assert name == "BATON_KEYS"
    done = manage(production(tmp_path, BATON_KEYS=value), "check", "--deploy")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ("", "BATON_KEYS is not set"),
        ("k1:c2hvcnQ=", "entry 'k1' is not a name and 32 bytes"),
        ("nonsense", "entry 'nonsense' is not a name and 32 bytes"),
        (f"k1:{base64.b64encode(bytes(32)).decode()}", "needs an 'index' key"),
    ],
)
def test_keys_that_cannot_be_used_are_told_in_one_sentence_and_stop_the_start(
    keys: str, sentence: str, tmp_path: Path
) -> None:
    environment = production(tmp_path, BATON_KEYS=keys)
    server = [sys.executable, "-m", "uvicorn", "chatbot.asgi:application", "--port", str(free_port())]
    for done in (
        manage(environment, "check", "--deploy"),
        subprocess.run(server, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120),
    ):
        assert done.returncode
        assert done.stderr.count(sentence) == 1, done.stderr
        assert "Traceback" not in done.stderr
