"""The server: pages over HTTP, visitors and agents over WebSocket, and the process's own background work."""

import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot.settings")
pages = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402 - Django must be set up first
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.sessions import CookieMiddleware  # noqa: E402
from django.urls import path  # noqa: E402

from chatbot.process import Process  # noqa: E402
from chatbot.web.sockets.desk import DeskSocket  # noqa: E402
from chatbot.web.sockets.widget import WidgetSocket  # noqa: E402
from chatbot.web.static_files import FilesFirst  # noqa: E402
from workspace.checks import problem_with_keys  # noqa: E402

_process = Process()


async def _lifespan(scope: Any, receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            if problem := problem_with_keys():
                await send({"type": "lifespan.startup.failed", "message": problem})
                return
            await _process.start()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await _process.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return


application = ProtocolTypeRouter(
    {
        "http": FilesFirst(pages),
        "websocket": URLRouter(
            [
                path("ws/widget/<str:inbox>/", CookieMiddleware(WidgetSocket.as_asgi())),
                path("ws/desk/<str:workspace>/", AuthMiddlewareStack(DeskSocket.as_asgi())),
            ]
        ),
        "lifespan": _lifespan,
    }
)
