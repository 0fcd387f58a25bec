"""What the widget loads from us: its loader, its frame, its session, and the passages behind citations."""

import json
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.utils.translation import override
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from chatbot.markdown import render as render_markdown
from chatbot.replies import pick
from chatbot.tokens import BadToken, Visitor, read_visitor_token, visitor_token
from chatbot.web.errors import sentence
from chatbot.web.visitor_cookie import cookie_name, set_visitor_cookie
from chatbot.web.widget_texts import widget_texts
from conversations import services
from conversations.models import Contact, Conversation, Inbox
from knowledge.models import Chunk, Entry

LOADER_SECONDS = 600
MAX_BODY = 4_096
LANGUAGES = {"en": "en", "zh": "zh-hans"}


@require_GET
def loader(request: HttpRequest) -> HttpResponse:
    """The one script line of a site: a stable address, cached for minutes."""
    path = Path(settings.BASE_DIR) / "static" / "widget" / "loader.js"
    stamp = f'"{int(path.stat().st_mtime)}-{path.stat().st_size}"'
    headers = {
        "Cache-Control": f"public, max-age={LOADER_SECONDS}",
        "ETag": stamp,
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    if request.headers.get("If-None-Match") == stamp:
        return HttpResponse(status=304, headers=headers)
    return HttpResponse(path.read_bytes(), content_type="text/javascript; charset=utf-8", headers=headers)


@require_GET
@never_cache
@xframe_options_exempt
def frame(request: HttpRequest, inbox: str) -> HttpResponse:
    """The conversation itself, in an iframe of ours; which sites may show it is the inbox's own list."""
    found = _inbox(inbox)
    language = _language(request, found)
    with override(language):
        config = {
            "inbox": found.public_id,
            "language": language,
            "socket": f"/ws/widget/{found.public_id}/",
            "session": request.path + "session/",
            "passages": request.path + "passages/",
            "known": _visitor(request, found) is not None,
            "business": found.workspace.name,
            "greeting": pick(found.texts.get("greeting", {}), language[:2]) or _("Hello! How can I help you?"),
            "longest": services.MAX_TEXT,
            "texts": widget_texts(),
        }
        context = {"inbox": found, "config": config, "language": language, "standalone": "standalone" in request.GET}
        response = render(request, "widget/frame.html", context)
    response.headers["Content-Security-Policy"] = _frame_policy(found)
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    patch_vary_headers(response, ["Cookie", "Accept-Language"])
    return response


@require_POST
@csrf_exempt
def session(request: HttpRequest, inbox: str) -> HttpResponse:
    """A visitor's first message is about to be sent: make the contact and the conversation, and remember them.

    ``{"language": "zh-hans", "memory": true}``; with `memory` the token is also in the answer, for browsers that keep no
    cookie in a frame.
    """
    found = _inbox(inbox)
    if not _from_our_own_page(request) or len(request.body) > MAX_BODY:
        return JsonResponse({"code": "malformed", "text": sentence("malformed")}, status=400)
    try:
        asked = json.loads(request.body or b"{}")
        language = str(asked.get("language") or "")[:12]
        memory = bool(asked.get("memory"))
    except (ValueError, AttributeError):
        return JsonResponse({"code": "malformed", "text": sentence("malformed")}, status=400)
    visitor = _visitor(request, found)
    if visitor is None:
        contact = services.new_contact(inbox=found, language=language)
        conversation = services.open_conversation(inbox=found, contact=contact, language=language)
        visitor = Visitor(found.public_id, contact.public_id, conversation.public_id)
    token = visitor_token(visitor)
    response = JsonResponse({"conversation": visitor.conversation, **({"token": token} if memory else {})})
    set_visitor_cookie(response, found.public_id, token)
    return response


@require_GET
@never_cache
def check(request: HttpRequest, inbox: str) -> HttpResponse:
    """Whether the browser kept the cookie."""
    return HttpResponse(status=204 if _visitor(request, _inbox(inbox)) else 404)


@require_GET
@never_cache
def passage(request: HttpRequest, inbox: str, passage: str) -> HttpResponse:
    """The passage behind a citation, whole, for a visitor who was given it."""
    found = _inbox(inbox)
    if _visitor(request, found) is None:
        return JsonResponse({"code": "session", "text": sentence("session")}, status=403)
    entry = (
        Entry.objects.of(found.workspace_id)
        .select_related("document__collection")
        .filter(public_id=passage, document__deleted_at__isnull=True)
        .first()
    )
    chunk = (
        Chunk.objects.of(found.workspace_id)
        .select_related("document__collection")
        .filter(public_id=passage, document__deleted_at__isnull=True)
        .first()
    )
    document = entry.document if entry else chunk.document if chunk else None
    if document is None or (found.collections and document.collection.public_id not in found.collections):
        return JsonResponse({"code": "not_found", "text": _("This source has been withdrawn.")}, status=404)
    return JsonResponse(
        {
            "title": document.title,
            "heading": entry.question if entry else chunk.heading if chunk else "",
            "html": render_markdown(entry.answer if entry else chunk.text if chunk else ""),
            "url": document.url,
        }
    )


def _inbox(public_id: str) -> Inbox:
    found = (
        Inbox.every.select_related("workspace").filter(public_id=public_id, kind=Inbox.Kind.WIDGET, active=True).first()
    )
    if found is None:
        raise Http404
    return found


def _language(request: HttpRequest, inbox: Inbox) -> str:
    """The page's wish, else the browser's, else the inbox's."""
    for wish in (request.GET.get("language", ""), request.headers.get("Accept-Language", ""), inbox.language):
        for part in wish.split(","):
            if known := LANGUAGES.get(part.strip().lower()[:2]):
                return known
    return "en"


def _visitor(request: HttpRequest, inbox: Inbox) -> Visitor | None:
    token = request.headers.get("Authorization", "").removeprefix("Bearer ") or request.COOKIES.get(
        cookie_name(inbox.public_id), ""
    )
    try:
        visitor = read_visitor_token(token, inbox=inbox.public_id)
    except BadToken:
        return None
    known = Conversation.objects.of(inbox.workspace_id).filter(
        public_id=visitor.conversation,
        contact__in=Contact.objects.of(inbox.workspace_id).filter(public_id=visitor.contact),
    )
    return visitor if known.exists() else None


def _from_our_own_page(request: HttpRequest) -> bool:
    """A form of another site can neither set this header nor hide its origin."""
    origin = request.headers.get("Origin", "")
    return request.headers.get("X-Baton") == "widget" and (not origin or urlsplit(origin).netloc == request.get_host())


def _frame_policy(inbox: Inbox) -> str:
    """Nothing but our own files; shown only on the inbox's sites, or, while it names none, on this server's own pages."""
    sites = " ".join(_source(site) for site in inbox.allowed_domains) or "'self'"
    directives = [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        f"frame-ancestors 'self' {sites}" if sites != "'self'" else "frame-ancestors 'self'",
        "require-trusted-types-for 'script'",
        "trusted-types baton",
    ]
    return "; ".join(directives)


def _source(site: str) -> str:
    """A host of the owner's list as a CSP source; what is none is dropped."""
    parsed = urlsplit(site if "//" in site else f"https://{site}")
    host = parsed.netloc
    return f"{parsed.scheme}://{host}" if host and all(c.isalnum() or c in ".-:*" for c in host) else ""
