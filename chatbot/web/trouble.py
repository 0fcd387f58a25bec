"""What a page or a route says when it failed: 503 while the database is away, else 500, in words or as JSON.

Django calls this for whatever no view has caught; nothing here may ask the database.
"""

import sys

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from chatbot.crossing import Away
from chatbot.web.errors import sentence

RETRY_AFTER_S = 5


def failed(request: HttpRequest) -> HttpResponse:
    """Django's ``handler500``."""
    away = isinstance(sys.exception(), Away)
    code, status = ("unavailable", 503) if away else ("internal", 500)
    if "text/html" in request.headers.get("Accept", ""):
        response = render(request, "shared/trouble.html", {"sentence": sentence(code)}, status=status)
    else:
        response = JsonResponse({"code": code, "text": sentence(code)}, status=status)
    response["Cache-Control"] = "no-store"
    if away:
        response["Retry-After"] = str(RETRY_AFTER_S)
    return response
