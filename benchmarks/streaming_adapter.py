"""How the load driver speaks to the widget's socket."""

import json
import os
import uuid
from itertools import count
from pathlib import Path
from typing import Any

from load import Adapter  # type: ignore[import-not-found]  # of the load harness; see streaming.py


class Baton(Adapter):  # type: ignore[misc]
    """Each connection is a visitor of its own; live text counts, the stored message is the end of an answer."""

    ready = b'"type":"welcome"'

    def __init__(self, args: Any) -> None:
        super().__init__(args)
        held = json.loads(Path(os.environ["BATON_BENCH_VISITORS"]).read_text())
        self._tokens = iter(held["tokens"])
        self._number = count()

    @property
    def hello(self) -> tuple[bytes, ...]:
        """Asked for once a connection."""
        return (json.dumps({"type": "hello", "after": 0, "language": "en", "token": next(self._tokens)}).encode(),)

    def message(self, conn: Any) -> bytes:
        text = f"How long do refunds take? ({next(self._number)} of {os.getpid()})"
        return json.dumps({"type": "say", "id": uuid.uuid4().hex, "text": text}).encode()

    def on_text(self, conn: Any, p: bytes) -> bool:
        if p.startswith(b'{"type":"delta"'):
            text = p.split(b'"blocks":', 1)[0]
            if b"@" in text:
                conn.token(text)
            return False
        if b'"type":"error"' in p:
            conn.error(json.loads(p).get("code", "error"))
            return True
        return b'"kind":"message.added"' in p and b'"author":"bot"' in p
