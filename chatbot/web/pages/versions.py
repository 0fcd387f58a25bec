"""The versions of a collection: what changed, which is live, the draft beside it, and the proof of both."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from chatbot.web.access import member_page
from chatbot.web.pages.collection import find_collection, manages
from knowledge import versions as knowledge_versions
from knowledge.embedding import EncoderUnavailable, encoder
from knowledge.models import Collection, GoldRun, Version
from knowledge.publishing import PUBLISH_JOB, BeingBuilt, request_publish
from knowledge.reconcile import RECONCILE_JOB, reconcile
from knowledge.versions import RESTORE_JOB
from workspace.models import Job, Membership
from workspace.roles import Action

JOBS = (PUBLISH_JOB, RESTORE_JOB, RECONCILE_JOB)


@require_safe
@member_page(Action.READ_CONVERSATIONS)
def versions(request: HttpRequest, member: Membership, collection: str) -> HttpResponse:
    return render(request, "knowledge/versions.html", _context(member, find_collection(member, collection)))


@require_safe
@member_page(Action.READ_CONVERSATIONS)
def version_rows(request: HttpRequest, member: Membership, collection: str) -> HttpResponse:
    """The list alone; it asks for itself again while something is being built."""
    return render(request, "knowledge/_versions.html", _context(member, find_collection(member, collection)))


@require_POST
@member_page(Action.MANAGE_KNOWLEDGE)
def change(request: HttpRequest, member: Membership, collection: str, action: str) -> HttpResponse:
    """Publish the draft, go back, choose who publishes, build or check now."""
    found = find_collection(member, collection)
    actor = member.user.public_id
    try:
        if action == "publish":
            live = knowledge_versions.publish_draft(collection=found, actor=actor)
            messages.success(request, _("Version %d is live.") % live.number)
        elif action == "back":
            _go_back(request, found, actor)
        elif action in ("automatic", "by-hand"):
            knowledge_versions.set_automatic(collection=found, automatic=action == "automatic", actor=actor)
        elif action == "build":
            request_publish(found)
        elif action == "check":
            reconcile(collection=found)
        else:
            raise Http404
    except BeingBuilt:
        messages.error(request, _("A version is being built just now. Try again when it is done."))
    except EncoderUnavailable as problem:
        messages.error(request, str(problem))
    except knowledge_versions.UnknownVersion:
        messages.error(request, _("That version is no longer kept."))
    return redirect("knowledge-versions", collection=collection)


def _go_back(request: HttpRequest, found: Collection, actor: str) -> None:
    number = request.POST.get("number", "")
    if not number.isdigit():
        raise Http404
    if knowledge_versions.roll_back(collection=found, number=int(number), actor=actor):
        messages.success(
            request,
            _("Version %s is live again. Changes now wait as a draft until you publish.") % number,
        )
    else:
        messages.info(
            request,
            _("Version %s is being built again, without what was deleted since; it goes live when it is ready.")
            % number,
        )


def _context(member: Membership, found: Collection) -> dict[str, Any]:
    rows = list(Version.objects.of(member.workspace).filter(collection=found).order_by("-number"))
    rows = [row for row in rows if row.published_at or row.number == found.draft]
    live = next((row for row in rows if row.number == found.version), None)
    jobs = Job.objects.of(member.workspace).filter(kind__in=JOBS, payload__collection=found.public_id)
    job = (
        jobs.filter(status__in=[Job.Status.QUEUED, Job.Status.RUNNING])
        .exclude(kind=RECONCILE_JOB)
        .order_by("pk")
        .first()
    )
    return {
        "collection": found,
        "versions": [(row, _gold(row)) for row in rows],
        "live": live,
        "draft": next((row for row in rows if row.number == found.draft), None),
        "job": job,
        "other_encoder": live is not None and live.encoder != _fingerprint(),
        "report": found.report,
        "reported_at": parse_datetime(found.report["at"]) if found.report else None,
        "manages": manages(member),
    }


def _gold(version: Version) -> list[GoldRun]:
    runs = GoldRun.objects.of(version.workspace_id).filter(
        gold_set__collection=version.collection_id, version=version.number
    )
    return list(runs.select_related("gold_set"))


def _fingerprint() -> str:
    try:
        return encoder().fingerprint
    except EncoderUnavailable:
        return ""
