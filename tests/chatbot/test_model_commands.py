"""The two commands around the model door: a provider that is played, and the test of those that are set up."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.management import CommandError, call_command

from chatbot.llm.simulator.app import Simulator
from chatbot.management.listening import address_of, listen
from chatbot.models import ModelCall, Provider
from tests.environment import free_port
from tests.serving import serving
from workspace.models import Workspace

ROOT = Path(__file__).resolve().parents[2]
KEY = {"Authorization": "Bearer sk-test"}


# --- deepseek_simulator ------------------------------------------------------------------------------------------------
@pytest.fixture
def played(tmp_path: Path) -> Iterator[tuple[str, "subprocess.Popen[str]", Path]]:
    """The command in a home where nothing has been set up."""
    port, said = free_port(), tmp_path / "said"
    command = [
        sys.executable,
        "manage.py",
        "deepseek_simulator",
        "--port",
        str(port),
        "--first-ms",
        "0",
        "--pause-ms",
        "0",
    ]
    environment = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    with said.open("w") as out:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**environment, "BATON_HOME": str(tmp_path / "home")},
            stdout=out,
            stderr=out,
            text=True,
        )
        address = f"http://127.0.0.1:{port}"
        until = time.monotonic() + 60
        try:
            while True:
                try:
                    httpx.get(f"{address}/models", timeout=2)
                    break
                except httpx.HTTPError:
                    assert process.poll() is None, said.read_text()
                    assert time.monotonic() < until
                    time.sleep(0.1)
            yield address, process, said
        finally:
            process.kill()
            process.wait(10)


def test_the_simulator_plays_both_apis_before_anything_is_set_up(
    played: "tuple[str, subprocess.Popen[str], Path]", tmp_path: Path
) -> None:
    address, process, said = played

    def complete(content: str) -> httpx.Response:
        body = {"model": "deepseek-flash", "messages": [{"role": "user", "content": content}]}
        return httpx.post(f"{address}/chat/completions", headers=KEY, json=body, timeout=10)

    assert httpx.get(f"{address}/models").status_code == 401
    assert httpx.get(f"{address}/user/balance", headers=KEY).json()["is_available"] is True
    assert complete("hello").json()["choices"][0]["message"]["content"] == "Simulated answer."
    assert complete("hello !fault:quota").status_code == 402
    with pytest.raises(httpx.RemoteProtocolError):
        complete("hello !fault:cut")
    assert httpx.post(f"{address}/chat/completions", headers=KEY, content=b"[[").status_code == 422
    assert not list((tmp_path / "home").glob("*.sqlite3"))
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    words = said.read_text()
    assert f"DEEPSEEK_BASE_URL={address} DEEPSEEK_API_KEY=sk-test make run" in words
    assert "!fault:cut" in words
    assert "rate_limited" in words
    assert "Traceback" not in words


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--fault", "nope"], "There is no fault 'nope'. Faults: aborted, auth,"),
        (["--fault", "cut=2"], "from 0 to 1"),
        (["--fault", "cut=often"], "from 0 to 1"),
        (["--client", "app-1"], "colon"),
        (["--pause-ms", "-1"], "0 or more"),
        (["--port", "99999"], "is no port"),
    ],
)
def test_what_cannot_be_played_is_said_clearly(options: list[str], expected: str) -> None:
    with pytest.raises(CommandError, match=expected):
        call_command("deepseek_simulator", *options)


def test_a_busy_port_is_said_at_once_with_another_to_take() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"Port {port} cannot be used .*--port {port + 1}"):
            call_command("deepseek_simulator", "--port", str(port))


def test_an_address_is_one_that_can_be_followed() -> None:
    with listen("0.0.0.0", 0, another="") as everywhere:
        assert address_of(everywhere) == f"http://127.0.0.1:{everywhere.getsockname()[1]}"


# --- check_model -------------------------------------------------------------------------------------------------------
@pytest.fixture
def simulator() -> Iterator[tuple[Simulator, str]]:
    simulator = Simulator()
    with serving(simulator) as port:
        yield simulator, f"http://127.0.0.1:{port}"


@pytest.fixture
def environment(settings: Any, simulator: tuple[Simulator, str]) -> Any:
    settings.DEEPSEEK_API_KEY, settings.DEEPSEEK_BASE_URL = "sk-test", simulator[1]
    return settings


def checked(*options: str) -> str:
    out = StringIO()
    call_command("check_model", *options, stdout=out)
    return out.getvalue()


def fails(*options: str) -> tuple[str, str]:
    """What is printed, and the error that makes the exit code 1."""
    out = StringIO()
    with pytest.raises(CommandError) as failed:
        call_command("check_model", *options, stdout=out)
    assert failed.value.returncode == 1
    return " ".join(out.getvalue().split()), str(failed.value)


def provider(workspace: Workspace, name: str, base_url: str, key: str = "sk-test", **fields: Any) -> Provider:
    return Provider.objects.of(workspace).create(name=name, base_url=base_url, secret={"key": key}, **fields)


@pytest.mark.django_db(transaction=True)
def test_the_provider_of_the_environment_is_tested_and_its_call_recorded(
    workspace: Workspace, environment: Any
) -> None:
    said = checked()
    for part in ("deepseek-flash, deepseek-v4-pro", "CNY 110.00", "first text after", "out", "USD 0.0000", "It works."):
        assert part in said
    (call,) = ModelCall.objects.of(workspace)
    assert (call.purpose, call.failure, call.provider_name) == ("test", "", "DeepSeek")
    assert call.cost


@pytest.mark.django_db(transaction=True)
def test_a_wrong_key_is_explained_once_and_ends_with_1(workspace: Workspace, environment: Any) -> None:
    environment.DEEPSEEK_API_KEY = "sk-wrong"
    said, error = fails()
    assert "answer failed: auth" in said
    assert said.count("The provider does not accept the key. Check that it was copied whole") == 1
    assert "It does not work." in said
    assert error == "1 of 1 failed: DeepSeek."
    assert "sk-wrong" not in said
    assert ModelCall.objects.of(workspace).get().failure == "auth"


@pytest.mark.django_db(transaction=True)
def test_each_active_provider_is_tested_and_one_by_name_even_if_it_is_not(
    workspace: Workspace, simulator: tuple[Simulator, str]
) -> None:
    provider(workspace, "good", simulator[1], model="deepseek-flash", position=1)
    provider(workspace, "away", f"http://127.0.0.1:{free_port()}", position=2, total_s=2)
    provider(workspace, "asleep", simulator[1], model="deepseek-of-tomorrow", position=3, active=False)
    said, error = fails()
    assert error == "1 of 2 failed: away."
    assert "It works." in said
    assert "failed: transport" in said
    assert "asleep" not in said
    one = checked("--provider", "asleep")
    assert "deepseek-of-tomorrow is set up here, but not among them" in one
    assert "unknown: no price of this model is set" in one
    _, unknown = fails("--provider", "nobody")
    assert unknown == "There is no provider 'nobody'. Providers: good, away, asleep."


@pytest.mark.django_db
def test_without_a_provider_it_says_how_to_get_one(workspace: Workspace) -> None:
    assert "set DEEPSEEK_API_KEY" in fails()[1]
