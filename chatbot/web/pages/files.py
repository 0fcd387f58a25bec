"""Files of a conversation over HTTP: the visitor sends them, and whoever may see them gets them back, inert."""

from urllib.parse import quote, unquote

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from chatbot.crossing import cross
from chatbot.web.access import member_page
from chatbot.web.errors import sentence
from chatbot.web.pages.widget import find_inbox, find_visitor, from_our_own_page
from conversations import files
from conversations.models import Attachment, Conversation
from conversations.services import ConversationError
from workspace.keys import CannotUnseal
from workspace.models import Membership
from workspace.roles import Action

KEEP_S = 3_600
LONGEST_ID = 64


@require_POST
@csrf_exempt
async def upload(request: HttpRequest, inbox: str) -> HttpResponse:
    """The bytes as they are; ``X-File-Name`` percent-encoded, ``?id=`` the client's own id, by which it is kept once."""
    name, client_id = unquote(request.headers.get("X-File-Name", "")), request.GET.get("id", "")
    if not from_our_own_page(request) or not 0 < len(client_id) <= LONGEST_ID or "\x00" in client_id:
        return _refused("malformed", 400)
    if _length(request) > settings.VISITOR_FILE_MAX_BYTES:
        return _refused("file_too_large", 413)
    data = request.read(settings.VISITOR_FILE_MAX_BYTES + 1)
    return await cross(_keep, request, inbox, client_id, name, data)


@require_GET
def for_visitor(request: HttpRequest, inbox: str, file: str) -> HttpResponse:
    """A file of the visitor's own conversation."""
    found = find_inbox(inbox)
    visitor = find_visitor(request, found)
    if visitor is None:
        return _refused("session", 403)
    rows = Attachment.objects.of(found.workspace_id)
    return _inert(rows.filter(public_id=file, conversation__public_id=visitor.conversation).first())


@require_GET
@member_page(Action.READ_CONVERSATIONS)
def for_agent(request: HttpRequest, member: Membership, file: str) -> HttpResponse:
    return _inert(Attachment.objects.of(member.workspace).filter(public_id=file).first())


def _keep(request: HttpRequest, inbox: str, client_id: str, name: str, data: bytes) -> HttpResponse:
    found = find_inbox(inbox)
    visitor = find_visitor(request, found)
    if visitor is None:
        return _refused("session", 403)
    conversation = (
        Conversation.objects.of(found.workspace_id).select_related("inbox").get(public_id=visitor.conversation)
    )
    try:
        row = files.add_file(conversation=conversation, client_id=client_id, name=name, data=data)
    except ConversationError as problem:
        return _refused(problem.code, 413 if problem.code == "file_too_large" else 400)
    return JsonResponse({"id": row.public_id, "seq": row.seq})


def _inert(row: Attachment | None) -> HttpResponse:
    """As a download that no browser runs, whoever made it."""
    if row is None:
        raise Http404
    try:
        data = files.read_file(row)
    except (FileNotFoundError, CannotUnseal):
        raise Http404 from None
    return HttpResponse(
        data,
        content_type=row.mime,
        headers={
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(row.name, safe='')}",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": f"private, max-age={KEEP_S}, immutable",
        },
    )


def _length(request: HttpRequest) -> int:
    try:
        return int(request.headers.get("Content-Length") or 0)
    except ValueError:
        return 0


def _refused(code: str, status: int) -> JsonResponse:
    return JsonResponse({"code": code, "text": sentence(code)}, status=status)
