"""Static files under hashed names, with the imports between our ES modules rewritten to match; no bundler."""

from typing import Any

from django.conf import settings
from servestatic.asgi import FileServerASGI
from servestatic.middleware import ServeStaticMiddleware
from servestatic.storage import CompressedManifestStaticFilesStorage
from servestatic.utils import run_async_in_thread

OURS = ("desk/*.js", "shared/*.js", "shop/*.js", "widget/*.js")


class HashedModules(CompressedManifestStaticFilesStorage):
    """Django's own list of what an import looks like, tried on our files only: others write it in comments, too."""

    support_js_module_import_aggregation = False
    patterns = (
        *CompressedManifestStaticFilesStorage.patterns,
        *((files, CompressedManifestStaticFilesStorage._js_module_import_aggregation_patterns[1]) for files in OURS),
    )


class FilesFirst(ServeStaticMiddleware):
    """An ASGI application that gives out static files itself and leaves the rest to `pages`.

    As Django's middleware the same takes several times as long for a file, of which the widget's first click needs fifteen.
    """

    def __init__(self, pages: Any) -> None:
        super().__init__(_nothing)
        self._pages = pages

    def add_mime_headers(self, headers: Any, path: str, url: str) -> None:
        super().add_mime_headers(headers, path, url)
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = settings.SECURE_REFERRER_POLICY
        if settings.SECURE_HSTS_SECONDS:
            headers["Strict-Transport-Security"] = f"max-age={settings.SECURE_HSTS_SECONDS}; includeSubDomains; preload"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        found = await run_async_in_thread(self.find_file, path) if self.autorefresh else self.files.get(path)
        here = found and (not settings.SECURE_SSL_REDIRECT or _is_encrypted(scope))
        await (FileServerASGI(found) if here else self._pages)(scope, receive, send)


def _is_encrypted(scope: Any) -> bool:
    """As Django sees it: the proxy before the server knows best. What is not, Django sends on to https."""
    told = dict(scope["headers"]).get(b"x-forwarded-proto", scope["scheme"].encode())
    return bool(told.split(b",")[0].strip() == b"https")


async def _nothing(request: Any) -> Any:
    raise NotImplementedError
