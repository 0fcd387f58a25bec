"""The mark, for programs that ask for ``/favicon.ico`` whatever a page says."""

from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe


@require_safe
@cache_control(public=True, max_age=86_400)
def favicon(request: HttpRequest) -> HttpResponse:
    mark = Path(settings.BASE_DIR) / "static" / "shared" / "mark.svg"
    return HttpResponse(mark.read_bytes(), content_type="image/svg+xml")
