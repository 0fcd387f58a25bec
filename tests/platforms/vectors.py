"""The request vectors of ``$BATON_DATA/webhooks``; that folder's README describes the format."""

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chatbot.platforms.adapter import Inbound, Received

FOLDER = Path(os.environ.get("BATON_DATA", Path(__file__).parents[3] / "shared" / "data")) / "webhooks"
PLATFORMS = ("generic", "telegram")

Vector = dict[str, Any]


def load(name: str) -> dict[str, Any]:
    """A file of the folder; {} where it is not present, so that its tests are skipped instead of failing."""
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def cases(part: str) -> list[tuple[str, Vector]]:
    """Every entry of `part` ("vectors", "sequences", "outbound") with its platform."""
    return [(platform, entry) for platform in PLATFORMS for entry in load(platform).get(part, [])]


def name_of(value: Any) -> str:
    return str(value["id"]) if isinstance(value, dict) and "id" in value else str(value)


def config_of(platform: str, vector: Vector) -> dict[str, Any]:
    return {**load(platform)["config"], **vector.get("config_override", {})}


def clock_of(platform: str, *entries: Vector) -> float:
    """The innermost clock that is given."""
    return float(next((entry["clock"] for entry in entries if "clock" in entry), load(platform)["clock"]))


def body_of(request: Mapping[str, Any]) -> bytes:
    return base64.b64decode(request["body_b64"])


def received(request: Mapping[str, Any]) -> Received:
    return Received(
        method=request["method"],
        headers={name.lower(): value for name, value in request["headers"]},
        body=body_of(request),
        query=dict(request["query"]),
    )


def differences(message: Inbound, expected: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What of `expected` is otherwise in `message`: only the keys given are checked."""
    found = {name: (_seen(message, name, wanted), wanted) for name, wanted in expected.items()}
    return {name: (seen, wanted) for name, (seen, wanted) in found.items() if seen != wanted}


def _seen(message: Inbound, name: str, wanted: Any) -> Any:
    match name:
        case "attachments":
            return [
                {key: getattr(file, key) for key in entry}
                for file, entry in zip(message.attachments, wanted, strict=False)
            ] + ["more"] * (len(message.attachments) - len(wanted))
        case "text_contains":
            return [part for part in wanted if part in (message.text or "")]
        case "dedupe_key":  # "a prefix is fine"
            return wanted if any(key.endswith(wanted) for key in message.dedupe_keys) else message.dedupe_keys
        case "edited":
            return False
        case _:
            return getattr(message, name)
