"""Make the environment in ``.venv`` from the pinned versions of ``constraints.txt``. Needs Python and nothing else.

``python deploy/install.py`` installs what serves; ``--dev`` adds what tests and checks. Says what it will download, and how
much, before it begins; does nothing when the environment is already as the files say. ``INDEX`` names the owner's own package
index, ``TORCH_INDEX`` another one that holds PyTorch's CPU packages.
"""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
CONSTRAINTS = ROOT / "constraints.txt"
STAMP = VENV / "installed.json"
HEAD_S = 15.0


class CannotInstall(Exception):
    """In words for the person at the terminal."""


def main() -> None:
    try:
        install(dev="--dev" in sys.argv[1:])
    except CannotInstall as problem:
        sys.exit(f"\n{problem}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. Run the same command again to go on.")


def install(dev: bool) -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - the very thing that is checked
        raise CannotInstall(
            f"Baton needs Python 3.11 or newer; this is {sys.version.split()[0]}. Name another: make run PYTHON=python3.11"
        )
    wanted = {"files": _fingerprint(), "dev": dev}
    held = _held()
    if held and held["files"] == wanted["files"] and (held["dev"] or not dev) and PYTHON.exists():
        return
    _make_venv()
    packages = _packages(dev)
    print("Looking up what has to be downloaded …", flush=True)
    report = _report(packages)
    _announce(report)
    began = time.monotonic()
    _pip("install", *_from(), "-c", str(CONSTRAINTS), *packages)
    STAMP.write_text(json.dumps(wanted))
    print(f"The environment is ready in .venv ({time.monotonic() - began:.0f} s).", flush=True)


def _fingerprint() -> str:
    both = CONSTRAINTS.read_bytes() + (ROOT / "pyproject.toml").read_bytes()
    return hashlib.sha256(both + sys.version.encode()).hexdigest()


def _held() -> dict[str, Any] | None:
    try:
        held: dict[str, Any] = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return None
    return held


def _make_venv() -> None:
    if PYTHON.exists():
        return
    if importlib.util.find_spec("ensurepip") is None:
        raise CannotInstall("This Python cannot make environments. On Debian and Ubuntu: apt install python3-venv")
    print("Making the environment in .venv …", flush=True)
    done = subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False)
    if done.returncode:
        raise CannotInstall("The environment could not be made. On Debian and Ubuntu: apt install python3-venv")


def _packages(dev: bool) -> list[str]:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"]["dev"] if dev else []
    return [*project["dependencies"], *extra]


def _from() -> list[str]:
    """Where packages come from, besides what pip is already told on this machine."""
    chosen = []
    if index := os.environ.get("INDEX"):
        chosen += ["--index-url", index]
    if torch := os.environ.get("TORCH_INDEX"):
        chosen += ["--extra-index-url", torch]
    return chosen


def _report(packages: list[str]) -> list[dict[str, Any]]:
    """What pip would install now."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        _pip("install", "--quiet", "--dry-run", "--report", str(path), *_from(), "-c", str(CONSTRAINTS), *packages)
        found: list[dict[str, Any]] = json.loads(path.read_text())["install"]
    return found


def _announce(report: list[dict[str, Any]]) -> None:
    with ThreadPoolExecutor(16) as pool:
        sizes = list(pool.map(_size, (each["download_info"]["url"] for each in report)))
    known = sum(size for size in sizes if size)
    unknown = sum(size is None for size in sizes)
    more = f", and {unknown} whose size their server does not tell" if unknown else ""
    print(f"{len(report)} packages, {known / 1e6:,.0f} MB to download or to take from a cache{more}.", flush=True)
    if any(each["metadata"]["name"].startswith("nvidia-") for each in report):
        print(
            "\n  Your package index offers PyTorch with CUDA, which is several times as large and which Baton does not use.\n"
            "  For the CPU build, stop here (Ctrl+C) and name the index of PyTorch's CPU packages, which its installation\n"
            "  page shows:  make install TORCH_INDEX=…\n",
            flush=True,
        )


def _size(url: str) -> int | None:
    """Bytes, or None when nobody tells."""
    parts = urllib.parse.urlsplit(url)
    try:
        if parts.scheme == "file":
            return Path(urllib.request.url2pathname(parts.path)).stat().st_size
        if parts.scheme != "https":
            return None
        ask = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(ask, timeout=HEAD_S) as answer:
            length = answer.headers.get("Content-Length")
        return int(length) if length else None
    except (OSError, ValueError):
        return None


def _pip(*arguments: str) -> None:
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", *arguments]
    if subprocess.run(command, check=False).returncode:
        raise CannotInstall("pip could not do this; its own message is above. Nothing else was changed.")


if __name__ == "__main__":
    main()
