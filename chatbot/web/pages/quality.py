"""How good a collection is: gold sets by version, duplicates and contradictions, questions that had no answer."""

import csv
import io
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from chatbot.web.access import member_page
from chatbot.web.pages.collection import find_collection, manages
from chatbot.web.pages.pieces import UNWRITABLE
from chatbot.web.pages.rows import DAYS, period_of
from conversations import analytics
from knowledge import findings as knowledge_findings
from knowledge import gold as knowledge_gold
from knowledge import grouping, layers, services
from knowledge.findings import FINDINGS_JOB
from knowledge.models import Chunk, Collection, Document, Entry, Finding, GoldQuestion, GoldSet
from knowledge.segment import fold
from workspace.models import Job, Membership
from workspace.roles import Action

RUNS_SHOWN = 12
FINDINGS_SHOWN = 100
QUESTIONS_GROUPED = 300
GROUPS_SHOWN = 40
PHRASINGS_OFFERED = 12


@require_safe
@member_page(Action.READ_CONVERSATIONS)
def gold(request: HttpRequest, member: Membership, collection: str) -> HttpResponse:
    found = find_collection(member, collection)
    sets = GoldSet.objects.of(member.workspace).filter(collection=found).order_by("name")
    documents = Document.objects.of(member.workspace).kept().filter(collection=found).defer("content")
    context = {
        "collection": found,
        "sets": [_gold_set(each, found) for each in sets],
        "documents": documents.order_by("title"),
        "manages": manages(member),
    }
    return render(request, "knowledge/gold.html", context)


@require_POST
@member_page(Action.MANAGE_KNOWLEDGE)
def add_gold(request: HttpRequest, member: Membership, collection: str) -> HttpResponse:
    """Add one question, or pasted rows: question, document, and, if it is a FAQ, its question there."""
    found = find_collection(member, collection)
    name = request.POST.get("set", "").strip()[:80] or _("Gold set")
    if rows := request.POST.get("rows", "").strip():
        wanted = _wanted(rows)
    else:
        one = (request.POST.get(field, "") for field in ("question", "document", "expects"))
        wanted = [knowledge_gold.Wanted(*one)]
    wanted = [row for row in wanted if row.text.strip() and row.source.strip()]
    if not wanted:
        messages.error(request, _("A gold question needs its words and the document that answers it."))
        return redirect("knowledge-gold", collection=collection)
    try:
        gold_set = knowledge_gold.find_or_create_set(collection=found, name=name)
        count = knowledge_gold.add_questions(gold_set=gold_set, wanted=wanted, actor=member.user.public_id)
    except knowledge_gold.UnknownDocument as problem:
        messages.error(request, _("Nothing was added: there is no document “%s”.") % problem)
    else:
        messages.success(request, ngettext("%d question was added.", "%d questions were added.", count) % count)
    return redirect("knowledge-gold", collection=collection)


@require_POST
@member_page(Action.MANAGE_KNOWLEDGE)
def change_gold(request: HttpRequest, member: Membership, collection: str, action: str) -> HttpResponse:
    found = find_collection(member, collection)
    if action == "run":
        knowledge_gold.request_runs(found)
        messages.info(request, _("The gold sets are being asked."))
    elif action == "remove":
        key = request.POST.get("question", "")
        rows = GoldQuestion.objects.of(member.workspace).filter(gold_set__collection=found)
        question = rows.filter(pk=int(key)).first() if key.isdigit() else None
        if question is None:
            raise Http404
        knowledge_gold.remove_question(question=question, actor=member.user.public_id)
    else:
        raise Http404
    return redirect("knowledge-gold", collection=collection)


@require_safe
@member_page(Action.READ_CONVERSATIONS)
def findings(request: HttpRequest, member: Membership, collection: str) -> HttpResponse:
    found = find_collection(member, collection)
    rows = Finding.objects.of(member.workspace).filter(collection=found, set_aside_at__isnull=True)
    shown = list(rows.order_by("kind", "-overlap")[:FINDINGS_SHOWN])
    jobs = Job.objects.of(member.workspace).filter(kind=FINDINGS_JOB, payload={"collection": found.public_id})
    last = jobs.order_by("-pk").first()
    context = {
        "collection": found,
        "findings": [pair for finding in shown if (pair := _pair(finding))],
        "count": rows.count(),
        "job": last if last and last.status in (Job.Status.QUEUED, Job.Status.RUNNING) else None,
        "looked_at": last.ended_at if last else None,
        "manages": manages(member),
    }
    return render(request, "knowledge/findings.html", context)


@require_POST
@member_page(Action.MANAGE_KNOWLEDGE)
def change_findings(request: HttpRequest, member: Membership, collection: str, action: str) -> HttpResponse:
    found = find_collection(member, collection)
    if action == "look":
        knowledge_findings.request_findings(found)
    elif action == "aside":
        rows = Finding.objects.of(member.workspace).filter(collection=found)
        finding = rows.filter(public_id=request.POST.get("finding", "")).first()
        if finding is None:
            raise Http404
        knowledge_findings.set_aside(finding=finding, actor=member.user.public_id)
    else:
        raise Http404
    return redirect("knowledge-findings", collection=collection)


@require_safe
@member_page(Action.READ_CONVERSATIONS)
def unanswered(request: HttpRequest, member: Membership) -> HttpResponse:
    """Questions that found no source, those that ask the same together, most asked first."""
    days, period = period_of(request)
    turns = analytics.unanswered(member.workspace, period)[:QUESTIONS_GROUPED]
    asked: dict[str, dict[str, Any]] = {}
    for turn in turns:
        held = asked.setdefault(fold(turn.question.text), {"text": turn.question.text, "turns": [], "people": set()})
        held["turns"].append(turn)
        held["people"].add(turn.conversation.contact_id)
    texts = [held["text"] for held in asked.values()]
    done = grouping.answered_since(member.workspace, texts)
    groups = [[asked[fold(texts[at])] for at in members] for members in grouping.group(texts)]
    open_groups = [_group(held) for held in groups if not any(fold(one["text"]) in done for one in held)]
    open_groups.sort(key=lambda each: -each["people"])
    context = {
        "days": days,
        "choices": DAYS,
        "groups": open_groups[:GROUPS_SHOWN],
        "count": len(open_groups),
        "questions": sum(each["count"] for each in open_groups),
        "answered": len(groups) - len(open_groups),
        "collections": services.collections_of(member.workspace),
        "manages": manages(member),
    }
    return render(request, "knowledge/unanswered.html", context)


@require_POST
@member_page(Action.MANAGE_KNOWLEDGE)
def change_unanswered(request: HttpRequest, member: Membership, action: str) -> HttpResponse:
    """Write the answer of a group, or set its questions aside."""
    asked = [text for text in request.POST.getlist("asked") if text.strip()][:QUESTIONS_GROUPED]
    if action == "aside":
        grouping.set_aside(workspace=member.workspace, questions=asked)
        messages.info(request, _("Set aside."))
    elif action == "write":
        try:
            layers.write_answer(
                collection=find_collection(member, request.POST.get("collection", "")),
                title=_("Written here"),
                question=request.POST.get("question", ""),
                phrasings=asked,
                answer=request.POST.get("answer", "").replace("\r\n", "\n"),
                actor=member.user.public_id,
            )
        except layers.Unwritable as problem:
            messages.error(request, UNWRITABLE[problem.code])
        else:
            messages.success(request, _("Written. The next question of this kind finds it in a few seconds."))
    else:
        raise Http404
    return redirect("knowledge-unanswered")


def _gold_set(gold_set: GoldSet, found: Collection) -> dict[str, Any]:
    runs = list(gold_set.runs.order_by("-version")[:RUNS_SHOWN])
    newest = next((run for run in runs if run.version == found.version), None)
    titles = dict(
        Document.objects.of(found.workspace_id).kept().filter(collection=found).values_list("source", "title")
    )
    return {
        "set": gold_set,
        "runs": [
            {
                "run": run,
                "first": 100 * run.hits_1 / run.questions if run.questions else 0,
                "five": 100 * run.hits_5 / run.questions if run.questions else 0,
                "live": run.version == found.version,
                "draft": run.version == found.draft,
            }
            for run in runs
        ],
        "questions": [
            (
                question,
                titles.get(question.source, question.source),
                newest.ranks.get(str(question.pk)) if newest else None,
            )
            for question in gold_set.questions.all()
        ],
    }


def _wanted(rows: str) -> list[knowledge_gold.Wanted]:
    """Pasted rows: cells apart by tabs, or by commas as spreadsheets write them."""
    delimiter = "\t" if "\t" in rows else ","
    cells = csv.reader(io.StringIO(rows.replace("\x00", "")), delimiter=delimiter)
    return [knowledge_gold.Wanted(*[*row, "", ""][:3]) for row in cells if row]


def _pair(finding: Finding) -> dict[str, Any] | None:
    one, other = _side(finding, finding.one), _side(finding, finding.other)
    return {"finding": finding, "sides": (one, other)} if one and other else None


def _side(finding: Finding, public_id: str) -> dict[str, Any] | None:
    entries = Entry.objects.of(finding.workspace_id).select_related("document").filter(public_id=public_id)
    if entry := entries.filter(document__deleted_at__isnull=True).first():
        return {"id": public_id, "head": entry.question, "text": entry.answer, "document": entry.document}
    chunks = Chunk.objects.of(finding.workspace_id).select_related("document").filter(public_id=public_id)
    if chunk := chunks.filter(document__deleted_at__isnull=True).first():
        return {"id": public_id, "head": chunk.heading, "text": chunk.text, "document": chunk.document}
    return None


def _group(held: list[dict[str, Any]]) -> dict[str, Any]:
    """The most asked question stands for the group; the others are offered as its phrasings."""
    ordered = sorted(held, key=lambda one: -len(one["turns"]))
    turns = [turn for one in held for turn in one["turns"]]
    return {
        "question": ordered[0]["text"],
        "others": [one["text"] for one in ordered[1 : PHRASINGS_OFFERED + 1]],
        "more": max(0, len(ordered) - 1 - PHRASINGS_OFFERED),
        "count": len(turns),
        "people": len(set().union(*(one["people"] for one in held))),
        "conversation": turns[0].conversation.public_id,
        "last_at": max(turn.started_at for turn in turns),
    }
