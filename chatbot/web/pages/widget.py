"""What the widget loads from us: its loader, its frame, its session, and the passages behind citations."""

import datetime as dt
import gzip
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.utils.translation import override
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from chatbot.markdown import render as render_markdown
from chatbot.tokens import BadToken, Visitor, read_identity, read_visitor_token, visitor_token
from chatbot.web.errors import sentence
from chatbot.web.newcomers import newcomers
from chatbot.web.visitor_cookie import clear_visitor_cookie, cookie_name, set_visitor_cookie
from chatbot.web.widget_texts import widget_texts
from conversations import identity, prechat, services
from conversations.models import Contact, Conversation, Inbox, Message
from conversations.pictures import ACCEPTED
from knowledge.models import Chunk, Document
from workspace.wordings import pick, texts_in

LOADER_SECONDS = 600
MAX_BODY = 16_384
MOST_SUGGESTIONS = 5
MOST_LEFT_AN_HOUR = 60
FORM_ID = "form"
LANGUAGES = ("en", "zh")


@require_GET
def loader(request: HttpRequest) -> HttpResponse:
    """The one script line of a site: a stable address, cached for minutes, small on the wire."""
    path = Path(settings.BASE_DIR) / "static" / "widget" / "loader.js"
    stamp = f'"{int(path.stat().st_mtime)}-{path.stat().st_size}"'
    headers = {
        "Cache-Control": f"public, max-age={LOADER_SECONDS}",
        "ETag": stamp,
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Vary": "Accept-Encoding",
    }
    if request.headers.get("If-None-Match") == stamp:
        return HttpResponse(status=304, headers=headers)
    body = path.read_bytes()
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        body, headers["Content-Encoding"] = _packed(body), "gzip"
    return HttpResponse(body, content_type="text/javascript; charset=utf-8", headers=headers)


@require_GET
@never_cache
@xframe_options_exempt
def frame(request: HttpRequest, inbox: str) -> HttpResponse:
    """The conversation itself, in an iframe of ours; which sites may show it is the inbox's own list."""
    return _panel(request, find_inbox(inbox), standalone="standalone" in request.GET)


@require_GET
@never_cache
def page(request: HttpRequest, inbox: str) -> HttpResponse:
    """The same as a page of its own. Without JavaScript it is a form that leaves a message."""
    return _panel(request, find_inbox(inbox), standalone=True)


@require_GET
def texts(request: HttpRequest, inbox: str) -> HttpResponse:
    """Everything the widget says, in another language."""
    found = find_inbox(inbox)
    language = _language(request, found)
    with override(language):
        return JsonResponse({"language": language, **_wordings(found, language)})


@require_POST
@csrf_exempt
def session(request: HttpRequest, inbox: str) -> HttpResponse:
    """A visitor's first words are about to be sent: make the contact and the conversation, and remember them.

    ``{"language": "zh-hans", "memory": true, "answers": {…}, "identity": "<JWT>"}``; with `memory` the token is also in the
    answer, for browsers that keep no cookie in a frame; `answers` are those of the form before the chat.
    """
    found = find_inbox(inbox)
    asked = _asked(request)
    if asked is None:
        return _refused("malformed", 400)
    visitor = find_visitor(request, found)
    if visitor is None:
        language = str(asked.get("language") or "")[:12]
        person = _person(found, asked.get("identity"))
        given = asked.get("answers")
        checked = prechat.check_answers(found.form, given if isinstance(given, dict) else {})
        if checked.wrong and person is None:
            wrong = {key: sentence(f"form_{problem}", language) for key, problem in checked.wrong.items()}
            return JsonResponse({"code": "form", "text": sentence("form", language), "wrong": wrong}, status=400)
        if person is None and not newcomers().may_come(request.META.get("REMOTE_ADDR", "")):
            answer = _refused("rate", 429, language)
            answer.headers["Retry-After"] = "60"
            return answer
        if person is None:
            contact = services.new_contact(inbox=found, language=language)
        else:
            contact = identity.new_known_contact(inbox=found, person=person, language=language)
        if checked.answers:
            prechat.fill_contact(contact, checked.answers)
        conversation = services.open_conversation(inbox=found, contact=contact, language=language)
        visitor = Visitor(found.public_id, contact.public_id, conversation.public_id)
    return _remembered(found, visitor, memory=bool(asked.get("memory")))


@require_POST
@csrf_exempt
def identify(request: HttpRequest, inbox: str) -> HttpResponse:
    """The site vouches for its visitor: ``{"identity": "<JWT>"}``. What they said before is found again on any device."""
    found = find_inbox(inbox)
    asked = _asked(request)
    if asked is None:
        return _refused("malformed", 400)
    person = _person(found, asked.get("identity"))
    if person is None:
        return JsonResponse(
            {"code": "identity", "text": sentence("identity", str(asked.get("language") or "en"))}, status=403
        )
    visitor = find_visitor(request, found)
    current = _conversation(found, visitor) if visitor else None
    conversation = identity.identify(inbox=found, person=person, current=current)
    if conversation is None:
        response = JsonResponse({"conversation": None})
        clear_visitor_cookie(response, found.public_id)
        return response
    known = Visitor(found.public_id, conversation.contact.public_id, conversation.public_id)
    return _remembered(found, known, memory=bool(asked.get("memory")))


@require_POST
@csrf_exempt
def end(request: HttpRequest, inbox: str) -> HttpResponse:
    """The visitor signed out of the site: this browser forgets the conversation."""
    if not from_our_own_page(request):
        return _refused("malformed", 400)
    response = HttpResponse(status=204)
    clear_visitor_cookie(response, find_inbox(inbox).public_id)
    return response


@require_POST
@csrf_exempt
def leave_message(request: HttpRequest, inbox: str) -> HttpResponse:
    """A message left without JavaScript: it waits for a person, who has an address to answer to."""
    found = find_inbox(inbox)
    origin = urlsplit(request.headers.get("Origin", ""))
    language = _language(request, found)
    given = {name: request.POST.get(name, "").strip().replace("\x00", "") for name in ("name", "email", "message")}
    with override(language):
        problem = ""
        if origin.netloc != request.get_host() or request.POST.get("website"):  # the second is for robots to fill in
            problem = sentence("malformed")
        elif _many_messages_left(found):
            problem = sentence("rate")
        elif not given["message"]:
            problem = sentence("empty")
        elif len(given["message"]) > services.MAX_TEXT or len(given["name"]) > prechat.LONGEST:
            problem = sentence("too_long")
        elif not prechat.is_email(given["email"]):
            problem = sentence("form_email")
        if problem:
            return _panel(request, found, standalone=True, given=given, problem=problem, status=400)
        _wait_for_person(found, given, language)
        return _panel(request, found, standalone=True, sent=True)


@require_GET
@never_cache
def check(request: HttpRequest, inbox: str) -> HttpResponse:
    """Whether the browser kept the cookie."""
    return HttpResponse(status=204 if find_visitor(request, find_inbox(inbox)) else 404)


@require_GET
@never_cache
def passage(request: HttpRequest, inbox: str, passage: str) -> HttpResponse:
    """The passage behind a citation, whole, for a visitor who was given it."""
    found = find_inbox(inbox)
    if find_visitor(request, found) is None:
        return JsonResponse({"code": "session", "text": sentence("session")}, status=403)
    pieces = Chunk.objects.of(found.workspace_id).retrievable(timezone.now()).select_related("document__collection")
    chunk = (
        pieces.filter(Q(public_id=passage) | Q(entry__public_id=passage))
        .exclude(document__status=Document.Status.REPLACED)
        .select_related("entry")
        .first()
    )
    entry = chunk.entry if chunk else None
    document = chunk.document if chunk else None
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


def find_inbox(public_id: str) -> Inbox:
    """The widget inbox behind an address. Raises `Http404`."""
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
            tag = part.split(";")[0].strip()
            if tag[:2].lower() in LANGUAGES:
                return texts_in(tag)
    return "en"


def find_visitor(request: HttpRequest, inbox: Inbox) -> Visitor | None:
    """Who asks, by cookie or, where there is none, by token."""
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


def from_our_own_page(request: HttpRequest) -> bool:
    """A form of another site can neither set this header nor hide its origin."""
    origin = request.headers.get("Origin", "")
    return request.headers.get("X-Baton") == "widget" and (not origin or urlsplit(origin).netloc == request.get_host())


def _panel(
    request: HttpRequest,
    found: Inbox,
    *,
    standalone: bool,
    given: Mapping[str, str] | None = None,
    problem: str = "",
    sent: bool = False,
    status: int = 200,
) -> HttpResponse:
    language = _language(request, found)
    home = reverse("widget-frame", args=[found.public_id])
    with override(language):
        config = {
            "inbox": found.public_id,
            "language": language,
            "socket": f"/ws/widget/{found.public_id}/",
            "home": home,
            "known": find_visitor(request, found) is not None,
            "business": found.workspace.name,
            "accent": found.accent,
            "longest": services.MAX_TEXT,
            "files": {"most": settings.VISITOR_FILE_MAX_BYTES, "kinds": list(ACCEPTED)} if found.takes_files else None,
            "speech": found.takes_speech,
            "rates": found.asks_rating,
            **_wordings(found, language),
        }
        context = {
            "inbox": found,
            "config": config,
            "language": language,
            "tag": language.replace("-h", "-H"),
            "standalone": standalone,
            "rtl": request.GET.get("dir") == "rtl",
            "given": given or {},
            "problem": problem,
            "sent": sent,
        }
        response = render(request, "widget/frame.html", context, status=status)
    response.headers["Content-Security-Policy"] = _frame_policy(found, leaves_message=standalone)
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    patch_vary_headers(response, ["Cookie", "Accept-Language"])
    return response


def _wordings(found: Inbox, language: str) -> dict[str, Any]:
    """What the widget says, in the active language; the owner's own words go first."""
    suggested = pick(found.texts.get("suggestions", {}), language).splitlines()
    return {
        "texts": widget_texts(),
        "greeting": pick(found.texts.get("greeting", {}), language) or _("Hello! How can I help you?"),
        "disclaimer": pick(found.texts.get("disclaimer", {}), language),
        "suggestions": [line.strip() for line in suggested if line.strip()][:MOST_SUGGESTIONS],
        "form": prechat.fields_in(found.form, language),
    }


def _asked(request: HttpRequest) -> dict[str, Any] | None:
    """The JSON object of a request from our own page, or None."""
    if not from_our_own_page(request) or len(request.body) > MAX_BODY:
        return None
    try:
        asked = json.loads(request.body or b"{}")
    except ValueError:
        return None
    return asked if isinstance(asked, dict) else None


def _person(found: Inbox, token: Any) -> identity.Person | None:
    if not isinstance(token, str):
        return None
    try:
        known = read_identity(
            token, secret=found.identity_secret, public_key=found.identity_public_key, inbox=found.public_id
        )
    except BadToken:
        return None
    return identity.Person(known.subject, known.name, known.email)


def _conversation(found: Inbox, visitor: Visitor) -> Conversation | None:
    rows = Conversation.objects.of(found.workspace_id).select_related("contact")
    return rows.filter(public_id=visitor.conversation).first()


def _remembered(found: Inbox, visitor: Visitor, *, memory: bool) -> HttpResponse:
    token = visitor_token(visitor)
    response = JsonResponse({"conversation": visitor.conversation, **({"token": token} if memory else {})})
    set_visitor_cookie(response, found.public_id, token)
    return response


def _wait_for_person(found: Inbox, given: Mapping[str, str], language: str) -> None:
    with transaction.atomic():
        contact = services.new_contact(inbox=found, language=language)
        prechat.fill_contact(contact, {key: given[key] for key in ("name", "email") if given[key]})
        conversation = services.open_conversation(inbox=found, contact=contact, language=language)
        services.request_person(conversation_id=conversation.pk)
        services.add_visitor_message(
            conversation_id=conversation.pk, text=given["message"], client_id=FORM_ID, language=language
        )


def _many_messages_left(found: Inbox) -> bool:
    hour_ago = timezone.now() - dt.timedelta(hours=1)
    left = Message.objects.of(found.workspace_id).filter(
        conversation__inbox=found, client_id=FORM_ID, created_at__gte=hour_ago
    )
    return left.count() >= MOST_LEFT_AN_HOUR


def _refused(code: str, status: int, language: str | None = None) -> JsonResponse:
    return JsonResponse({"code": code, "text": sentence(code, language)}, status=status)


@lru_cache(maxsize=2)
def _packed(body: bytes) -> bytes:
    return gzip.compress(body, 9, mtime=0)


def _frame_policy(inbox: Inbox, *, leaves_message: bool) -> str:
    """Nothing but our own files; shown only on the inbox's sites, or, while it names none, on this server's own pages."""
    sites = " ".join(_source(site) for site in inbox.allowed_domains) or "'self'"
    directives = [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'" if leaves_message else "form-action 'none'",
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
