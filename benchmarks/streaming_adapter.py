"""How the load driver speaks to the widget's socket."""

import json
import os
import uuid
from itertools import count
from pathlib import Path
from typing import Any

from load import Adapter  # type: ignore[import-not-found]  # of the load harness; see streaming.py

AGAIN_S = 5.0  # after which a visitor who was refused asks again


class Baton(Adapter):  # type: ignore[misc]
    """Each connection is a visitor of its own; live text counts, the stored message is the end of an answer.

    What the record says of earlier answers, before the visitor's own question comes back, is not the end of one.
    """

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
        conn.state = name = uuid.uuid4().hex
        return json.dumps({"type": "say", "id": name, "text": text}).encode()

    def on_text(self, conn: Any, p: bytes) -> bool:
        if p.startswith(b'{"type":"delta"'):
            text = p.split(b'"blocks":', 1)[0]
            if b"@" in text:
                conn.token(text)
            return False
        if b'"type":"error"' in p:
            conn.error(json.loads(p).get("code", "error"))
            return True
        if b'"kind":"message.added"' not in p:
            return False
        if conn.state and conn.state.encode() in p:
            conn.state = ""  # the question is in the record; the next message of the bot answers it
        elif conn.state == "" and b'"author":"bot"' in p:
            return b'"kind":"error"' not in p or self.refused(conn)
        return False

    def refused(self, conn: Any) -> bool:
        """The answer was that there is no room; returns whether that is the end of it."""
        conn.error("refused")
        conn.d.loop.call_later(AGAIN_S, conn.ask)
        return False
