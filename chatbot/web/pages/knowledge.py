"""Collections and documents: what is in, and what became of it."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import BooleanField, Count, ExpressionWrapper, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from chatbot.web.access import member_page
from chatbot.web.pages.collection import find_collection, find_document, manages
from chatbot.web.pages.sources import EVERY, sources_of
from knowledge import services
from knowledge.ingest.readers import TYPES
from knowledge.ingest.verdicts import NOTES, WORDS
from knowledge.models import Collection, Document
from knowledge.progress import progress_of
from workspace.models import Membership
from workspace.roles import Action

PAGE = 50
LONGEST_NAME = 80


@require_GET
@member_page(Action.READ_CONVERSATIONS)
def collections(request: HttpRequest, member: Membership) -> HttpResponse:
    kept = Q(documents__deleted_at__isnull=True) & ~Q(documents__status=Document.Status.REPLACED)
    rows = Collection.objects.of(member.workspace).annotate(kept=Count("documents", filter=kept)).order_by("name")
    return render(request, "knowledge/collections.html", {"collections": rows, "manages": manages(member)})


@require_POST
@member_page(Action.MANAGE_KNOWLEDGE)
def create(request: HttpRequest, member: Membership) -> HttpResponse:
    name = request.POST.get("name", "").strip()
    if not name or len(name) > LONGEST_NAME:
        messages.error(request, _("Give the collection a name of at most 80 characters."))
        return redirect("knowledge")
    made = services.find_or_create_collection(workspace=member.workspace, name=name)
    return redirect("collection", collection=made.public_id)


@require_GET
@member_page(Action.READ_CONVERSATIONS)
def collection(request: HttpRequest, member: Membership, collection: str) -> HttpResponse:
    found = find_collection(member, collection)
    return render(request, "knowledge/collection.html", _context(request, member, found))


@require_GET
@member_page(Action.READ_CONVERSATIONS)
def documents(request: HttpRequest, member: Membership, collection: str) -> HttpResponse:
    """The list alone; it asks for itself again while something is being read or built."""
    return render(request, "knowledge/_documents.html", _context(request, member, find_collection(member, collection)))


@require_POST
@member_page(Action.MANAGE_KNOWLEDGE)
def upload(request: HttpRequest, member: Membership, collection: str) -> HttpResponse:
    found = find_collection(member, collection)
    taken, known = 0, 0
    for file in request.FILES.getlist("files"):
        name = file.name or ""
        if (file.size or 0) > settings.UPLOAD_MAX_BYTES:
            messages.error(request, f"{name}: {WORDS['too_large']}")
            continue
        added = services.add_file(collection=found, name=name, data=file.read(), actor=member.user.public_id)
        taken, known = taken + (added is not None), known + (added is None)
    if taken:
        messages.success(request, ngettext("%d file is being read.", "%d files are being read.", taken) % taken)
    if known:
        messages.info(request, ngettext("%d file is unchanged.", "%d files are unchanged.", known) % known)
    if not request.FILES:
        messages.error(request, _("Choose at least one file."))
    return redirect("collection", collection=collection)


@require_POST
@member_page(Action.MANAGE_KNOWLEDGE)
def change(request: HttpRequest, member: Membership, document: str, action: str) -> HttpResponse:
    """Delete a document, or read a failed one again."""
    found = find_document(member, document)
    if action == "delete":
        services.delete_document(document=found, actor=member.user.public_id)
        messages.success(request, _("“%s” is deleted: it can no longer be found.") % found.title)
    elif action == "retry" and found.status == Document.Status.FAILED:
        services.retry_document(document=found)
    else:
        raise Http404
    return redirect("collection", collection=found.collection.public_id)


def _context(request: HttpRequest, member: Membership, found: Collection) -> dict[str, Any]:
    rows = (
        Document.objects.of(member.workspace)
        .kept()
        .filter(collection=found)
        .annotate(
            pieces=Count("chunks", filter=Q(chunks__current=True)),
            is_kept=ExpressionWrapper(Q(content__isnull=False), BooleanField()),
        )
        .defer("content")
        .order_by("-pk")
    )
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    progress = progress_of(collection=found, documents=list(page.object_list))
    return {
        "collection": found,
        "page": page,
        "documents": [
            (row, WORDS.get(row.error, ""), NOTES.get(row.error, ""), progress.files.get(row.pk))
            for row in page.object_list
        ],
        "progress": progress,
        "sources": sources_of(found),
        "every": EVERY,
        "types": ", ".join(TYPES),
        "manages": manages(member),
    }
