"""The one place where async code crosses to the synchronous database.

`database_sync_to_async` runs every call of a process on one thread: eight queries of 0.2 s took 1.6 s. Here a small
pool of threads serves, each with its own connection, so that they took 0.23 s (docs/decisions/0005).
"""

import asyncio
import contextvars
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, ParamSpec, TypeVar

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections

THREADS = 4  # more of them do not get more done, they make the event loop wait for the interpreter
AT_ONCE_THREADS = 2
KEPT_S = 600.0  # then a connection goes back to the pool, which gives each a limited life

Away = (OperationalError, InterfaceError)
"""What a database that is not there raises, and one that went away in the middle."""

_waiting: dict[object, float] = {}  # since when each call waits for a thread, the one that is next first

P = ParamSpec("P")
R = TypeVar("R")


async def cross(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a blocking function that uses the database, or the processor for long, off the event loop."""
    ticket = object()
    _waiting[ticket] = time.monotonic()
    try:
        return await _run_in(_pool(), partial(_begun, ticket, function, *args, **kwargs))
    finally:
        _waiting.pop(ticket, None)  # given up before it got a thread


async def cross_at_once(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """As `cross`, past all that waits for a thread there: for the short word that there is no room for more."""
    return await _run_in(_at_once_pool(), partial(_tidy, function, *args, **kwargs))


async def _run_in(pool: ThreadPoolExecutor, call: Callable[[], R]) -> R:
    return await asyncio.get_running_loop().run_in_executor(pool, partial(contextvars.copy_context().run, call))


def behind_s() -> float:
    """How long the call that is next has been waiting for a thread: what the next one will have to wait, about."""
    try:
        return time.monotonic() - next(iter(_waiting.values()))
    except (StopIteration, RuntimeError):  # none waits, or one got its thread at this very moment
        return 0.0


def _begun(ticket: object, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    _waiting.pop(ticket, None)
    return _tidy(function, *args, **kwargs)


def _tidy(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """A thread keeps its connection while it lives: to open one, or to ask the pool for one, costs more than a query."""
    here = connections[DEFAULT_DB_ALIAS]
    if not here.in_atomic_block and not _may_stay(here):
        here.close()
    try:
        return function(*args, **kwargs)
    except BaseException:
        if not here.in_atomic_block:
            here.close()
        raise


def _may_stay(here: Any) -> bool:
    """Django calls a pooled connection obsolete from the moment it was opened, which `close_at` tells."""
    if here.vendor == "sqlite" or here.connection is None:
        return True
    young = time.monotonic() - here.close_at < KEPT_S
    return young and not here.errors_occurred and bool(here.lives())


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="crossing")


@lru_cache(maxsize=1)
def _at_once_pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(AT_ONCE_THREADS, thread_name_prefix="crossing at once")
