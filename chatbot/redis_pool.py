"""The one place that opens Redis. Its pools wait for a free connection instead of raising in a burst."""

import asyncio
from functools import lru_cache
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from django.conf import settings

CONNECTIONS = 16
WAIT_S = 2.0
SOCKET_S = 2.0

Unavailable = (redis.RedisError, OSError)

_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, redis.asyncio.Redis] = WeakKeyDictionary()


def configured() -> bool:
    return bool(settings.REDIS_URL)


def async_redis() -> redis.asyncio.Redis:
    """The client of the running event loop; a client cannot live across two loops."""
    loop = asyncio.get_running_loop()
    if loop not in _of_loop:
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            settings.REDIS_URL,
            max_connections=CONNECTIONS,
            timeout=WAIT_S,
            socket_timeout=SOCKET_S,
            decode_responses=True,
        )
        _of_loop[loop] = redis.asyncio.Redis(connection_pool=pool)
    return _of_loop[loop]


@lru_cache(maxsize=1)
def sync_redis() -> redis.Redis:
    pool = redis.BlockingConnectionPool.from_url(
        settings.REDIS_URL, max_connections=CONNECTIONS, timeout=WAIT_S, socket_timeout=SOCKET_S, decode_responses=True
    )
    return redis.Redis(connection_pool=pool)
