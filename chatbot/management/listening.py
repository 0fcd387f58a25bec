"""A port for a server that a command starts: taken before anything slow, so that a busy one is told at once."""

import os
import socket

from django.core.management.base import CommandError


def listen(host: str, port: int, *, another: str) -> socket.socket:
    """Raises `CommandError` with what to do; `another` is how to choose the port given in it as ``{port}``."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OverflowError:
        listener.close()
        raise CommandError(f"{port} is no port: they go from 0 to 65535.") from None
    except socket.gaierror:
        listener.close()
        raise CommandError(f"{host} is no address of this machine.") from None
    except OSError as problem:
        listener.close()
        raise CommandError(
            f"Port {port} cannot be used ({os.strerror(problem.errno or 0)}). "
            f"Choose another one: {another.format(port=port + 1)}"
        ) from None
    return listener


def address_of(listener: socket.socket) -> str:
    """Where a browser or client on this machine finds it."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
