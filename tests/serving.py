"""A real uvicorn in a thread, for whatever ASGI application a test brings."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from tests.environment import free_port


@contextmanager
def serving(application: Any, *, lifespan: str = "off") -> Iterator[int]:
    """Gives the port."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(
            application, host="127.0.0.1", port=port, log_level="critical", lifespan=lifespan,
            ws="websockets-sansio", ws_per_message_deflate=False, ws_max_size=1024 * 1024, timeout_graceful_shutdown=2,
        )
    )  # fmt: skip
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not server.started:
        if time.monotonic() > until or not thread.is_alive():
            raise TimeoutError("the server did not start")
        time.sleep(0.01)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join(10)
