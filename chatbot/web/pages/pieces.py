"""A document piece by piece: read it, change a piece, switch it off, date it, add one; and where edit and source clash."""

import datetime as dt
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Prefetch
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST, require_safe

from chatbot.markdown import render as render_markdown
from chatbot.web.access import member_page
from chatbot.web.pages.collection import find_collection, find_document, manages
from knowledge import layers
from knowledge.ingest.verdicts import NOTES, WORDS
from knowledge.merge import Piece, differences
from knowledge.models import Chunk, Document, Edit, Entry, Layer, SourceText
from workspace.models import Membership
from workspace.roles import Action

PAGE = 50
SOURCE_SHOWN = 20_000
ANSWERS_APART = "\n---\n"  # between the answers of one entry, in its form
UNWRITABLE = {
    "empty": gettext_lazy("Nothing was saved: a piece needs words, a FAQ entry a question and an answer."),
    "too_long": gettext_lazy("Nothing was saved: that is too long for one piece."),
}


@require_safe
@member_page(Action.READ_CONVERSATIONS)
def document(request: HttpRequest, member: Membership, document: str) -> HttpResponse:
    """A document as it is searched, and as it was read."""
    found = find_document(member, document)
    page = Paginator(_shown(found), PAGE).get_page(request.GET.get("page"))
    source = SourceText.objects.of(member.workspace).filter(document=found).first()
    context = {
        "document": found,
        "collection": found.collection,
        "page": page,
        "pieces": [_view_of(row) for row in page.object_list],
        "is_faq": not Chunk.objects.of(member.workspace).filter(document=found, kind=Chunk.Kind.PASSAGE).exists(),
        "source_text": "\n\n".join(source.parts)[:SOURCE_SHOWN] if source else "",
        "words": WORDS.get(found.error, ""),
        "note": NOTES.get(found.error, ""),
        "from_date": _day(found.valid_from),
        "until_date": _day(found.valid_until, last=True),
        "manages": manages(member),
    }
    return render(request, "knowledge/document.html", context)


@require_GET
@member_page(Action.MANAGE_KNOWLEDGE)
def piece(request: HttpRequest, member: Membership, piece: str) -> HttpResponse:
    """The form of one piece, beside what its source says."""
    row = _row(member, piece)
    content = layers.piece_of(row)
    edit = row.edit if row.edit and row.edit.state != Edit.State.ENDED else None
    context = {
        "row": row,
        "document": row.document,
        "collection": row.document.collection,
        "content": content,
        "phrasings": "\n".join(content.get("phrasings", [])),
        "answers": ANSWERS_APART.join(content.get("answers", [])),
        "edit": edit,
        "runs": differences(_words(edit.base), _words(content)) if edit and edit.base and edit.content else [],
        "from_date": _day(getattr(row, "valid_from", None)),
        "until_date": _day(getattr(row, "valid_until", None), last=True),
        "is_off": row.off,
    }
    return render(request, "knowledge/piece.html", context)


@require_POST
@member_page(Action.MANAGE_KNOWLEDGE)
def change_piece(request: HttpRequest, member: Membership, piece: str, action: str) -> HttpResponse:
    """Save a piece, switch it off or on, date it, or undo what was changed."""
    row = _row(member, piece)
    actor, back = member.user.public_id, redirect("document", document=row.document.public_id)
    if action == "save":
        try:
            layers.change_piece(row=row, content=_content(request, isinstance(row, Entry)), actor=actor)
        except layers.Unwritable as problem:
            messages.error(request, UNWRITABLE[problem.code])
            return redirect("piece", piece=piece)
        messages.success(request, _("Saved. It is searched as soon as the next version is live or built as a draft."))
    elif action in ("off", "on"):
        layers.switch_piece(row=row, off=action == "off", actor=actor)
        messages.success(
            request,
            _("Switched off: it can no longer be found.") if action == "off" else _("Switched on again."),
        )
    elif action == "dates" and isinstance(row, Entry):
        valid_from, valid_until = _dates(request)
        layers.set_dates(row=row, valid_from=valid_from, valid_until=valid_until, actor=actor)
        messages.success(request, _("The dates count from now on."))
    elif action == "undo" and row.edit:
        layers.end_edit(edit=row.edit, actor=actor)
        messages.success(request, _("Undone: the piece says again what its source says."))
    else:
        raise Http404
    return back


@require_POST
@member_page(Action.MANAGE_KNOWLEDGE)
def add(request: HttpRequest, member: Membership, document: str) -> HttpResponse:
    found = find_document(member, document)
    try:
        content = _content(request, request.POST.get("kind") == "entry")
        layers.add_piece(document=found, content=content, actor=member.user.public_id)
    except layers.Unwritable as problem:
        messages.error(request, UNWRITABLE[problem.code])
    else:
        messages.success(request, _("Added. It is searched as soon as the next version is live or built as a draft."))
    return redirect("document", document=document)


@require_POST
@member_page(Action.MANAGE_KNOWLEDGE)
def dates(request: HttpRequest, member: Membership, document: str) -> HttpResponse:
    """From when until when a document may be found."""
    valid_from, valid_until = _dates(request)
    layers.set_dates(
        row=find_document(member, document),
        valid_from=valid_from,
        valid_until=valid_until,
        actor=member.user.public_id,
    )
    messages.success(request, _("The dates count from now on."))
    return redirect("document", document=document)


@require_safe
@member_page(Action.READ_CONVERSATIONS)
def clashes(request: HttpRequest, member: Membership, collection: str) -> HttpResponse:
    """Where a person and the source changed the same piece: both, side by side, and the choice."""
    found = find_collection(member, collection)
    rows = Edit.objects.of(member.workspace).filter(collection=found, state=Edit.State.CLASH).order_by("pk")
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    context = {
        "collection": found,
        "page": page,
        "clashes": [_clash(edit) for edit in page.object_list],
        "manages": manages(member),
    }
    return render(request, "knowledge/clashes.html", context)


@require_POST
@member_page(Action.MANAGE_KNOWLEDGE)
def settle(request: HttpRequest, member: Membership, edit: str, choice: str) -> HttpResponse:
    found = Edit.objects.of(member.workspace).select_related("collection").filter(public_id=edit).first()
    if found is None or choice not in (layers.KEEP_MINE, layers.TAKE_THEIRS, layers.WRITE_THIRD):
        raise Http404
    content = _content(request, found.kind == Edit.Kind.ENTRY) if choice == layers.WRITE_THIRD else None
    try:
        layers.settle(edit=found, choice=choice, content=content, actor=member.user.public_id)
    except layers.Unwritable as problem:
        messages.error(request, UNWRITABLE[problem.code])
    else:
        messages.success(request, _("Settled."))
    return redirect("knowledge-clashes", collection=found.collection.public_id)


def _shown(found: Document) -> Any:
    """The current passages, then the current FAQ entries."""
    chunks = Prefetch("chunks", Chunk.objects.of(found.workspace_id).order_by("pk"))
    entries = Entry.objects.of(found.workspace_id).filter(document=found, current=True).select_related("edit")
    entries = entries.prefetch_related(chunks).order_by("position", "pk")
    passages = Chunk.objects.of(found.workspace_id).filter(document=found, current=True, kind=Chunk.Kind.PASSAGE)
    passages = passages.select_related("edit").order_by("position", "pk")
    if not passages.exists():
        return entries
    return [*passages, *entries] if entries.exists() else passages


def _view_of(row: Chunk | Entry) -> dict[str, Any]:
    content = layers.piece_of(row)
    edit = row.edit if row.edit and row.edit.state != Edit.State.ENDED and row.layer != Layer.REST else None
    return {
        "id": row.public_id,
        "content": content,
        "html": render_markdown(row.text if isinstance(row, Chunk) else row.answer),
        "is_off": row.off,
        "is_added": edit is not None and edit.base is None,
        "is_changed": edit is not None and edit.base is not None and edit.content is not None,
        "clashes": edit is not None and edit.state == Edit.State.CLASH,
        "valid_from": getattr(row, "valid_from", None),
        "until_date": _day(getattr(row, "valid_until", None), last=True),
        "is_rest": row.layer == Layer.REST,
    }


def _clash(edit: Edit) -> dict[str, Any]:
    base = edit.base or {}
    mine = edit.content or base
    return {
        "edit": edit,
        "is_entry": edit.kind == Edit.Kind.ENTRY,
        "mine": differences(_words(base), _words(mine)),
        "theirs": differences(_words(base), _words(edit.theirs)) if edit.theirs else [],
        "third": mine,
        "phrasings": "\n".join(mine.get("phrasings", [])),
        "answers": ANSWERS_APART.join(mine.get("answers", [])),
    }


def _words(piece: Piece | None) -> str:
    if not piece:
        return ""
    if "text" in piece:
        return f"{piece['heading']}\n\n{piece['text']}".strip()
    return "\n\n".join(["\n".join([piece["question"], *piece["phrasings"]]), *piece["answers"]])


def _row(member: Membership, public_id: str) -> Chunk | Entry:
    for rows in (Entry.objects.of(member.workspace), Chunk.objects.of(member.workspace).filter(kind="passage")):
        found: Any = rows.select_related("document__collection", "edit").filter(
            public_id=public_id, document__deleted_at__isnull=True
        )
        row: Chunk | Entry | None = found.defer("document__content").first()
        if row is not None:
            return row
    raise Http404


def _content(request: HttpRequest, is_entry: bool) -> Piece:
    def said(name: str) -> str:
        return request.POST.get(name, "").replace("\r\n", "\n").replace("\x00", "")

    if not is_entry:
        return {"heading": said("heading"), "text": said("text")}
    return {
        "question": said("question"),
        "phrasings": said("phrasings").split("\n"),
        "answers": said("answers").split(ANSWERS_APART),
    }


def _dates(request: HttpRequest) -> tuple[dt.datetime | None, dt.datetime | None]:
    """The first moment of the first day, and the first one after the last day."""
    first, last = (_date(request.POST.get(name, "")) for name in ("valid_from", "valid_until"))
    return _midnight(first), _midnight(last + dt.timedelta(days=1)) if last else None


def _date(text: str) -> dt.date | None:
    try:
        return parse_date(text)
    except ValueError:
        return None


def _midnight(day: dt.date | None) -> dt.datetime | None:
    return None if day is None else timezone.make_aware(dt.datetime.combine(day, dt.time()))


def _day(moment: dt.datetime | None, *, last: bool = False) -> str:
    if moment is None:
        return ""
    day = timezone.localtime(moment).date()
    return (day - dt.timedelta(days=1) if last else day).isoformat()
