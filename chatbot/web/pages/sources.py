"""Where a collection's documents come from besides files: pasted text, and web addresses that are watched."""

import time

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from chatbot.web.access import member_page
from knowledge import pasted, sources
from knowledge.ingest.verdicts import NOTES, WORDS
from knowledge.models import Collection, Source, SourcePage
from knowledge.visit import NotTaken
from workspace.models import Membership
from workspace.roles import Action

PAGE = 100
EVERY = {
    0: gettext_lazy("only when I ask"),
    6: gettext_lazy("every 6 hours"),
    24: gettext_lazy("every day"),
    168: gettext_lazy("every week"),
}


@require_POST
@member_page(Action.MANAGE_KNOWLEDGE)
def paste(request: HttpRequest, member: Membership, collection: str) -> HttpResponse:
    found = _collection(member, collection)
    title, text = request.POST.get("title", "").strip(), request.POST.get("text", "").replace("\r\n", "\n").strip()
    if not title or not text or len(title) > 150 or len(text) > pasted.MAX_TEXT:
        messages.error(request, _("Give the text a title, and at most %d characters.") % pasted.MAX_TEXT)
    elif pasted.add_text(collection=found, title=title, text=text, actor=member.user.public_id):
        messages.success(request, _("“%s” is being read.") % title)
    else:
        messages.info(request, _("“%s” is unchanged.") % title)
    return redirect("collection", collection=collection)


@require_POST
@member_page(Action.MANAGE_KNOWLEDGE)
def add(request: HttpRequest, member: Membership, collection: str) -> HttpResponse:
    """Watch an address."""
    found = _collection(member, collection)
    kind, hours = request.POST.get("kind", ""), request.POST.get("every", "24")
    if kind not in Source.Kind.values or hours not in map(str, EVERY):
        raise Http404
    url = request.POST.get("url", "").strip()
    url = url if "://" in url or not url else f"https://{url}"
    try:
        source = sources.add_source(
            collection=found, url=url, kind=kind, every_hours=int(hours), actor=member.user.public_id
        )
    except NotTaken as problem:
        messages.error(request, f"{url[:100]}: {WORDS[problem.code]} ({problem.detail})")
        return redirect("collection", collection=collection)
    return redirect("source", source=source.public_id)


@require_GET
@member_page(Action.READ_CONVERSATIONS)
def source(request: HttpRequest, member: Membership, source: str) -> HttpResponse:
    """What became of every address of a source."""
    return render(request, "knowledge/source.html", _context(request, member, _source(member, source)))


@require_GET
@member_page(Action.READ_CONVERSATIONS)
def report(request: HttpRequest, member: Membership, source: str) -> HttpResponse:
    """The report alone; it asks for itself again while a run is under way."""
    return render(request, "knowledge/_report.html", _context(request, member, _source(member, source)))


@require_POST
@member_page(Action.MANAGE_KNOWLEDGE)
def change(request: HttpRequest, member: Membership, source: str, action: str) -> HttpResponse:
    """Look now, or stop watching."""
    found = _source(member, source)
    if action == "look":
        sources.request_sync(source=found)
        return redirect("source", source=source)
    if action != "remove":
        raise Http404
    with_documents = request.POST.get("documents") == "on"
    sources.remove_source(source=found, with_documents=with_documents, actor=member.user.public_id)
    said = (
        _("%s and its documents are deleted.") if with_documents else _("%s is no longer watched; its documents stay.")
    )
    messages.success(request, said % found.url)
    return redirect("collection", collection=found.collection.public_id)


def sources_of(collection: Collection) -> list[tuple[Source, str]]:
    """The sources of a collection with how many of their pages are in it, and what is wrong with each in words."""
    taken = Q(pages__verdict__in=[SourcePage.Verdict.TAKEN, SourcePage.Verdict.UNCHANGED])
    rows = (
        Source.objects.of(collection.workspace_id)
        .filter(collection=collection)
        .annotate(taken=Count("pages", filter=taken), seen=Count("pages"))
        .order_by("pk")
    )
    return [(row, str(WORDS.get(row.error, ""))) for row in rows]


def _collection(member: Membership, public_id: str) -> Collection:
    found = Collection.objects.of(member.workspace).filter(public_id=public_id).first()
    if found is None:
        raise Http404
    return found


def _source(member: Membership, public_id: str) -> Source:
    rows = Source.objects.of(member.workspace).select_related("collection")
    found = rows.filter(public_id=public_id).first()
    if found is None:
        raise Http404
    return found


def _context(request: HttpRequest, member: Membership, found: Source) -> dict[str, object]:
    job, following = sources.job_of(found, found.run), sources.job_of(found, found.run + 1)
    verdict = request.GET.get("verdict", "")
    counts = {row["verdict"]: row["n"] for row in found.pages.values("verdict").annotate(n=Count("pk")).order_by()}
    rows = found.pages.select_related("document").defer("document__content").order_by("pk")
    page = Paginator(rows.filter(verdict=verdict) if verdict else rows, PAGE).get_page(request.GET.get("page"))
    return {
        "source": found,
        "every": EVERY.get(found.every_hours, ""),
        "words": WORDS.get(found.error, ""),
        "note": NOTES.get(found.error, ""),
        "job": job,
        "next_at": following.run_at if following else None,
        "left_s": _left_s(job.progress) if job else None,
        "counts": [(value, label, counts[value]) for value, label in SourcePage.Verdict.choices if value in counts],
        "all": sum(counts.values()),
        "verdict": verdict,
        "page": page,
        "rows": [(row, WORDS.get(row.reason, "")) for row in page.object_list],
        "manages": member.may(Action.MANAGE_KNOWLEDGE),
    }


def _left_s(progress: dict[str, float]) -> float | None:
    """By the speed so far."""
    done = progress.get("done") or 0
    return (time.time() - progress["began"]) / done * (progress["total"] - done) if done else None
