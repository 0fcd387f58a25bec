"""A provider of each dialect, over a real socket to the simulator."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from chatbot.llm import provider as provider_module
from chatbot.llm.errors import ModelCallFailed
from chatbot.llm.profile import Dialect, Profile
from chatbot.llm.provider import Call, Provider
from chatbot.llm.request import Request, request_for
from chatbot.llm.simulator.app import Simulator
from chatbot.llm.simulator.script import Script
from chatbot.llm.simulator.wording import ChatWording, GatewayLinesWording, GatewayWording, Wording
from chatbot.turn.values import ModelEvent, Prompt, Text
from tests.serving import serving

PROMPT = Prompt("rules", (), "How long?", "sources and question", (), "en", "1")
SECRET = "a-secret-of-at-least-thirty-two-bytes"
FLAVOURS: dict[str, tuple[Dialect, Wording]] = {
    "official": (Dialect.OFFICIAL, ChatWording()),
    "compatible": (Dialect.COMPATIBLE, ChatWording()),
    "gateway": (Dialect.GATEWAY, GatewayWording()),
    "gateway-lines": (Dialect.GATEWAY, GatewayLinesWording()),
}


@dataclass
class Line:
    """A dialect on its way to the simulator. `calls` is what was reported."""

    flavour: str
    simulator: Simulator
    port: int
    calls: list[Call] = field(default_factory=list)

    @property
    def wording(self) -> Wording:
        return FLAVOURS[self.flavour][1]

    @property
    def is_chat(self) -> bool:
        return isinstance(self.wording, ChatWording)

    def provider(self, **chosen: Any) -> Provider:
        fields: dict[str, Any] = {
            "dialect": FLAVOURS[self.flavour][0],
            "base_url": f"http://127.0.0.1:{self.port}",
            "key": "sk-test",
            "client_id": "app-1",
            "client_secret": SECRET,
            **chosen,
        }
        return Provider(Profile(**fields), report=self.calls.append)

    def ask(self, *scripts: Script, request: Request | None = None, **profile: Any) -> list[ModelEvent]:
        """The events of one call."""
        self.simulator.scripts.extend(scripts)

        async def collect() -> list[ModelEvent]:
            provider = self.provider(**profile)
            try:
                return [event async for event in provider.stream(request or request_for(PROMPT))]
            finally:
                await provider.aclose()

        return asyncio.run(collect())

    def fails(self, *scripts: Script, **profile: Any) -> ModelCallFailed:
        with pytest.raises(ModelCallFailed) as failed:
            self.ask(*scripts, **profile)
        return failed.value

    def script(self, *steps: Any) -> Script:
        return Script(steps, 200, {"content-type": self.wording.content_type})


def text(events: list[ModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses between tries stay in proportion, but nobody has to wait for them."""
    monkeypatch.setattr(provider_module, "RETRY_BASE_S", 0.02)


@pytest.fixture(scope="package")
def simulator_port() -> Iterator[tuple[Simulator, int]]:
    simulator = Simulator()
    with serving(simulator) as port:
        yield simulator, port


@pytest.fixture
def simulator(simulator_port: tuple[Simulator, int]) -> Simulator:
    simulator_port[0].scripts.clear()
    simulator_port[0].seen.clear()
    return simulator_port[0]


@pytest.fixture(params=list(FLAVOURS))
def line(request: pytest.FixtureRequest, simulator_port: tuple[Simulator, int], simulator: Simulator) -> Line:
    """Each dialect in turn."""
    return Line(request.param, simulator, simulator_port[1])


@pytest.fixture
def official(simulator_port: tuple[Simulator, int], simulator: Simulator) -> Line:
    return Line("official", simulator, simulator_port[1])


@pytest.fixture
def gateway(simulator_port: tuple[Simulator, int], simulator: Simulator) -> Line:
    return Line("gateway", simulator, simulator_port[1])
