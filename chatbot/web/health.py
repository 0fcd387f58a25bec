"""Whether this process is alive, and whether it can serve."""

import threading

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from chatbot import redis_pool

warming = threading.Event()  # set while this process loads what the first questions need


def alive(request: HttpRequest) -> HttpResponse:
    """Asks nothing of anybody."""
    return HttpResponse("ok", content_type="text/plain")


def ready(request: HttpRequest) -> JsonResponse:
    """503 while models are being loaded, or the database or a configured Redis does not answer."""
    checks = {"warm": not warming.is_set(), "database": _database_answers()}
    if redis_pool.configured():
        checks["redis"] = _redis_answers()
    return JsonResponse(checks, status=200 if all(checks.values()) else 503)


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def _redis_answers() -> bool:
    try:
        return bool(redis_pool.sync_redis().ping())
    except redis_pool.Unavailable:
        return False
