"""The layers of a document: what the source said, the pieces it was cut into, and what people changed in them.

A person's edit is a row of its own, keyed by collection and source, with the piece as the source had it beside what it
shall say. When the source is read again, every edit is looked for in the new pieces: where its piece is unchanged it
applies again, where both changed it is a clash that a person settles, and until then the person's words stand. An edit is
never dropped by a reading (docs/decisions/0016).
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from knowledge.ingest.chunk import chunk
from knowledge.ingest.found import Extracted
from knowledge.merge import Piece, Place, find_entry, find_passage, merge
from knowledge.models import Chunk, Collection, Document, Edit, Entry, Layer, SourceText
from knowledge.publishing import request_publish
from knowledge.segment import fold
from workspace import audit

WRITTEN_HERE = "written-here"  # the source of what has none: answers written in the product itself
LONGEST_TEXT = 20_000
KEEP_MINE, TAKE_THEIRS, WRITE_THIRD = "mine", "theirs", "third"


class Unwritable(Exception):
    """What was written cannot be a piece. `code` is "empty" or "too_long"."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


# --- reading ---------------------------------------------------------------------------------------------------------
def keep_source(document: Document, found: Extracted) -> None:
    """The first layer: keep what was read, as it was read."""
    parts = [part.markdown for part in found.parts] if found.parts else [found.markdown] if found.markdown else []
    entries = [
        {"question": entry.question, "phrasings": list(entry.phrasings), "answers": list(entry.answers)}
        for entry in found.entries
    ]
    SourceText.objects.of(document.workspace_id).update_or_create(
        document=document, defaults={"parts": parts, "entries": entries}
    )


def apply_edits(document: Document) -> int:
    """Merge the edits of this source into a document that was just cut. Returns how many clash with it."""
    edits = list(_edits(document).exclude(state=Edit.State.ENDED).order_by("pk"))
    if not edits:
        return 0
    for kind, rows in ((Edit.Kind.PASSAGE, _machine_chunks(document)), (Edit.Kind.ENTRY, _machine_entries(document))):
        pieces = [piece_of(row) for row in rows]
        free = set(range(len(rows)))
        chosen = [edit for edit in edits if edit.kind == kind]
        # what is unchanged claims its place first, so that a changed neighbour cannot take it
        places = {
            edit.pk: place for edit in chosen if edit.base and (place := _unchanged(edit, pieces, free)) is not None
        }
        old = _words_before(document, kind)
        for edit in chosen:
            if edit.base is None:
                _show(edit, document, edit.content)
                continue
            place = places.get(edit.pk) or _find(edit, pieces, free, old)
            free -= set(place.pieces)
            _merge(edit, document, rows, pieces, place)
    return sum(1 for edit in edits if edit.state == Edit.State.CLASH)


def piece_of(row: Chunk | Entry) -> Piece:
    """A row's words, as edits hold them."""
    if isinstance(row, Chunk):
        return {"heading": row.heading, "text": row.text}
    asked = [piece.text for piece in row.chunks.all() if piece.kind == Chunk.Kind.QUESTION]
    return {
        "question": row.question,
        "phrasings": [text for text in asked if text != row.question],
        "answers": list(row.answers),
    }


# --- a person --------------------------------------------------------------------------------------------------------
def change_piece(*, row: Chunk | Entry, content: Piece, actor: str) -> Edit:
    """Let a piece say something else than its source, from the next version on. Raises `Unwritable`."""
    content = _checked(content)
    with transaction.atomic():
        edit = _edit_of(row, actor)
        edit.content = None if content == edit.base else content
        return _changed(edit, actor, "edit.change")


def add_piece(*, document: Document, content: Piece, actor: str) -> Edit:
    """Add a passage or a FAQ entry to a document, from the next version on. Raises `Unwritable`."""
    content = _checked(content)
    with transaction.atomic():
        edit = Edit.objects.of(document.workspace_id).create(
            collection=document.collection,
            source=document.source,
            kind=Edit.Kind.PASSAGE if "text" in content else Edit.Kind.ENTRY,
            content=content,
            author=actor,
        )
        return _changed(edit, actor, "edit.add")


def write_answer(
    *, collection: Collection, title: str, question: str, phrasings: Sequence[str], answer: str, actor: str
) -> Edit:
    """Answer a question that had no source: a FAQ entry in the collection's own document. Raises `Unwritable`."""
    with transaction.atomic():
        content = {"question": question, "phrasings": list(phrasings), "answers": [answer]}
        return add_piece(document=_written_here(collection, title), content=content, actor=actor)


def switch_piece(*, row: Chunk | Entry, off: bool, actor: str) -> Edit:
    """Switch a piece off, or on again. It counts at once, in every version."""
    with transaction.atomic():
        edit = _edit_of(row, actor)
        edit.off = off
        return _changed(edit, actor, "edit.off" if off else "edit.on")


def set_dates(
    *, row: Document | Entry, valid_from: dt.datetime | None, valid_until: dt.datetime | None, actor: str
) -> None:
    """Let a document or a FAQ entry be found from and until a moment only. It counts at once, in every version."""
    with transaction.atomic():
        collection = row.collection if isinstance(row, Document) else row.document.collection
        if isinstance(row, Document):
            Document.objects.of(row.workspace_id).named(collection, row.source).update(
                valid_from=valid_from, valid_until=valid_until
            )
            audit.record(workspace_id=row.workspace_id, actor=actor, action="document.dates", target=row.public_id)
        else:
            edit = _edit_of(row, actor)
            edit.valid_from, edit.valid_until = valid_from, valid_until
            _changed(edit, actor, "edit.dates")
        Collection.objects.of(row.workspace_id).filter(pk=collection.pk).update(dated=True, revision=F("revision") + 1)


def end_edit(*, edit: Edit, actor: str) -> None:
    """Undo an edit: the piece says again what its source says, and what was only added is gone at once."""
    with transaction.atomic():
        _withdraw(edit)
        edit.state = Edit.State.ENDED
        edit.save()
        _touch(edit, actor, "edit.end")


def settle(*, edit: Edit, choice: str, content: Piece | None = None, actor: str) -> None:
    """Decide a clash: keep the edit (`KEEP_MINE`), follow the source (`TAKE_THEIRS`), or write `content` (`WRITE_THIRD`).

    Raises `Unwritable`.
    """
    with transaction.atomic():
        edit = Edit.objects.of(edit.workspace_id).select_for_update(of=("self",)).get(pk=edit.pk)
        if edit.state != Edit.State.CLASH:
            return
        if choice == TAKE_THEIRS:
            end_edit(edit=edit, actor=actor)
            return
        if choice == WRITE_THIRD:
            edit.content = _checked(content or {})
        if edit.theirs is None:  # the source dropped it: from now on it is an addition of ours
            edit.content = edit.content or edit.base
        edit.base, edit.theirs = edit.theirs, None
        edit.content = None if edit.content == edit.base else edit.content
        edit.state = Edit.State.ACTIVE
        _changed(edit, actor, f"edit.settle_{choice}")


def edits_ended_by(*, document: Document) -> int:
    """Deleting a source ends what people changed in it. Returns how many edits that were; inside the caller's transaction."""
    count: int = (
        _edits(document).exclude(state=Edit.State.ENDED).update(state=Edit.State.ENDED, changed_at=timezone.now())
    )
    return count


def newest(*, collection: Collection | int, workspace: int, source: str) -> Document | None:
    """The last reading of a source that worked."""
    rows = Document.objects.of(workspace).named(collection, source).filter(status__in=_READ)
    return rows.order_by("-pk").first()


# --- inside ----------------------------------------------------------------------------------------------------------
_READ = (Document.Status.READ, Document.Status.LIVE, Document.Status.REPLACED)


def _edits(document: Document) -> Any:
    return Edit.objects.of(document.workspace_id).filter(collection=document.collection_id, source=document.source)


def _machine_chunks(document: Document) -> list[Chunk]:
    rows = Chunk.objects.of(document.workspace_id).filter(document=document, layer=Layer.MACHINE)
    return list(rows.filter(kind=Chunk.Kind.PASSAGE).order_by("position"))


def _machine_entries(document: Document) -> list[Entry]:
    rows = Entry.objects.of(document.workspace_id).filter(document=document, layer=Layer.MACHINE)
    return list(rows.prefetch_related("chunks").order_by("position"))


def _words_before(document: Document, kind: str) -> set[str]:
    """What other pieces of the reading before this one said: a piece that was there already is nobody's changed one."""
    if document.replaces_id is None:
        return set()
    if kind == Edit.Kind.PASSAGE:
        rows = Chunk.objects.of(document.workspace_id).filter(document=document.replaces_id, layer=Layer.MACHINE)
        return set(rows.values_list("text", flat=True))
    entries = Entry.objects.of(document.workspace_id).filter(document=document.replaces_id, layer=Layer.MACHINE)
    return {fold(question) for question in entries.values_list("question", flat=True)}


def _unchanged(edit: Edit, pieces: list[Piece], free: set[int]) -> Place | None:
    place = _find(edit, pieces, free, {piece.get("text", "") for piece in pieces})
    if not place.pieces or place.changed:
        return None
    free -= set(place.pieces)
    return place


def _find(edit: Edit, pieces: list[Piece], free: set[int], old: set[str]) -> Place:
    assert edit.base is not None
    if edit.kind == Edit.Kind.PASSAGE:
        return find_passage(edit.base, pieces, free, old - {edit.base["text"]})
    return find_entry(edit.base, pieces, free, old - {fold(edit.base["question"])})


def _merge(edit: Edit, document: Document, rows: Sequence[Chunk | Entry], pieces: list[Piece], place: Place) -> None:
    covered = [rows[at] for at in place.pieces]
    theirs = pieces[place.pieces[0]] if place.changed else None
    base = edit.base
    assert base is not None
    mine = edit.content or base
    if not place.pieces:  # the source no longer says it
        if edit.content is None:  # switched off, or dated: there is nothing left to keep
            edit.state, edit.theirs = Edit.State.ENDED, None
        else:
            edit.state, edit.theirs = Edit.State.CLASH, None
            _show(edit, document, edit.content)
    elif theirs is None:
        edit.state, edit.theirs = Edit.State.ACTIVE, None
        _show(edit, document, mine, covered, place)
    else:
        merged = merge(base, mine, theirs)
        if merged.clash or (edit.off and edit.content is None):
            edit.state, edit.theirs = Edit.State.CLASH, theirs
            _show(edit, document, mine, covered)
        else:
            edit.base, edit.theirs = theirs, None
            edit.content = None if merged.piece == theirs else merged.piece
            is_needed = edit.content is not None or edit.valid_from or edit.valid_until
            edit.state = Edit.State.ACTIVE if is_needed else Edit.State.ENDED
            if is_needed:
                _show(edit, document, merged.piece, covered)
    edit.save()


def _edit_of(row: Chunk | Entry, actor: str) -> Edit:
    """The edit a piece has already, or a new one for it."""
    if row.edit is not None and row.edit.state != Edit.State.ENDED:
        return row.edit
    document = row.document
    piece = piece_of(row)
    edit = Edit.objects.of(row.workspace_id).create(
        collection=document.collection,
        source=document.source,
        kind=Edit.Kind.PASSAGE if isinstance(row, Chunk) else Edit.Kind.ENTRY,
        base=piece,
        author=actor,
    )
    # the same piece in earlier readings, which a version may still hold, is the same piece
    readings = Document.objects.of(row.workspace_id).named(document.collection_id, document.source)
    if isinstance(row, Chunk):
        same = Chunk.objects.of(row.workspace_id).filter(document__in=readings, text=row.text, kind=Chunk.Kind.PASSAGE)
        same.filter(edit__isnull=True).update(edit=edit)
    else:
        alike = Entry.objects.of(row.workspace_id).filter(document__in=readings, question=row.question)
        alike.filter(edit__isnull=True).update(edit=edit)
    return edit


def _changed(edit: Edit, actor: str, action: str) -> Edit:
    """Make the rows say what the edit says now."""
    document = newest(collection=edit.collection_id, workspace=edit.workspace_id, source=edit.source)
    if document is not None:
        if edit.base is None:
            _show(edit, document, edit.content)
        else:
            rows: Sequence[Chunk | Entry] = (
                _machine_chunks(document) if edit.kind == Edit.Kind.PASSAGE else _machine_entries(document)
            )
            pieces = [piece_of(row) for row in rows]
            free = {at for at, row in enumerate(rows) if row.edit_id in (None, edit.pk)}
            _merge(edit, document, rows, pieces, _find(edit, pieces, free, _words_before(document, edit.kind)))
    if edit.content is None and not (edit.off or edit.valid_from or edit.valid_until):
        _withdraw(edit)
        edit.state = Edit.State.ENDED
    edit.changed_at = timezone.now()
    edit.save()
    _mark(edit)
    _touch(edit, actor, action)
    return edit


def _mark(edit: Edit) -> None:
    """What counts at once, on every row of this piece in every version."""
    Chunk.objects.of(edit.workspace_id).filter(edit=edit, kind=Chunk.Kind.PASSAGE).exclude(layer=Layer.REST).update(
        off=edit.off
    )
    Entry.objects.of(edit.workspace_id).filter(edit=edit).update(
        off=edit.off, valid_from=edit.valid_from, valid_until=edit.valid_until
    )


def _touch(edit: Edit, actor: str, action: str) -> None:
    Collection.objects.of(edit.workspace_id).filter(pk=edit.collection_id).update(revision=F("revision") + 1)
    audit.record(workspace_id=edit.workspace_id, actor=actor, action=action, target=edit.public_id)
    request_publish(edit.collection)


def _withdraw(edit: Edit) -> None:
    """The rows an edit made are no longer current; the ones it covered are again, without its marks."""
    made = [Layer.WRITTEN, Layer.REST]
    for rows in (Chunk.objects.of(edit.workspace_id), Entry.objects.of(edit.workspace_id)):
        mine = rows.filter(edit=edit)
        mine.filter(layer__in=made).update(current=False)
        mine.filter(layer=Layer.MACHINE).update(current=True, off=False)
        if edit.base is None:
            mine.update(off=True)
    entries = Entry.objects.of(edit.workspace_id).filter(edit=edit)
    entries.update(valid_from=None, valid_until=None)
    _entry_chunks(edit).filter(entry__layer=Layer.MACHINE).update(current=True)
    _entry_chunks(edit).filter(entry__layer=Layer.WRITTEN).update(current=False)


def _show(
    edit: Edit,
    document: Document,
    content: Piece | None,
    covered: Iterable[Chunk | Entry] = (),
    place: Place | None = None,
) -> None:
    """Put an edit's rows in the place of those it covers, in one document."""
    assert content is not None
    before, after = (place.before, place.after) if place else ("", "")
    workspace = document.workspace_id
    covered = list(covered)
    at = covered[0].position if covered else _end(document, edit.kind)
    own = Q(edit=edit, document=document, layer__in=[Layer.WRITTEN, Layer.REST])
    if edit.kind == Edit.Kind.PASSAGE:
        Chunk.objects.of(workspace).filter(own).update(current=False)
        Chunk.objects.of(workspace).filter(pk__in=[row.pk for row in covered]).update(
            edit=edit, current=False, off=edit.off
        )
        for layer, text in ((Layer.REST, before), (Layer.WRITTEN, content["text"]), (Layer.REST, after)):
            if text:
                _passage(edit, document, layer, at, content["heading"], text)
        return
    Entry.objects.of(workspace).filter(own).update(current=False)
    Chunk.objects.of(workspace).filter(entry__in=Entry.objects.of(workspace).filter(own)).update(current=False)
    keys = [row.pk for row in covered]
    Entry.objects.of(workspace).filter(pk__in=keys).update(edit=edit, current=False)
    Chunk.objects.of(workspace).filter(entry__in=keys).update(current=False)
    _entry(edit, document, at, content)
    _mark(edit)


def _passage(edit: Edit, document: Document, layer: str, at: int, heading: str, text: str) -> None:
    Chunk.objects.of(document.workspace_id).create(
        document=document,
        kind=Chunk.Kind.PASSAGE,
        position=at,
        heading=heading,
        text=text,
        layer=layer,
        edit=edit,
        off=edit.off and layer == Layer.WRITTEN,
    )


def _entry(edit: Edit, document: Document, at: int, content: Piece) -> None:
    entry = Entry.objects.of(document.workspace_id).create(
        document=document,
        position=at,
        question=content["question"],
        answers=content["answers"],
        layer=Layer.WRITTEN,
        edit=edit,
    )
    Chunk.objects.of(entry.workspace_id).bulk_create(entry_chunks(entry, content["phrasings"], 0), batch_size=500)


def entry_chunks(entry: Entry, phrasings: Sequence[str], first: int) -> list[Chunk]:
    """The chunks by which a FAQ entry is found: each phrasing, and its answers, cut. Positions count from `first`."""
    asked = [(Chunk.Kind.QUESTION, "", text) for text in dict.fromkeys((entry.question, *phrasings))]
    said = [(Chunk.Kind.ANSWER, piece.heading, piece.text) for answer in entry.answers for piece in chunk(answer)]
    return [
        Chunk(
            workspace_id=entry.workspace_id,
            document_id=entry.document_id,
            entry=entry,
            kind=kind,
            position=at,
            heading=heading,
            text=text,
            layer=entry.layer,
            edit=entry.edit,
        )
        for at, (kind, heading, text) in enumerate([*asked, *said], first)
    ]


def _entry_chunks(edit: Edit) -> Any:
    return Chunk.objects.of(edit.workspace_id).filter(entry__edit=edit)


def _end(document: Document, kind: str) -> int:
    rows: Any = (Chunk if kind == Edit.Kind.PASSAGE else Entry).objects.of(document.workspace_id)
    last = rows.filter(document=document).order_by("-position").values_list("position", flat=True).first()
    return 0 if last is None else last + 1


def _written_here(collection: Collection, title: str) -> Document:
    document, _ = Document.objects.of(collection.workspace_id).get_or_create(
        collection=collection,
        source=WRITTEN_HERE,
        deleted_at=None,
        defaults={
            "title": title[:200],
            "media_type": "text/x-written",
            "content_hash": "",
            "size_bytes": 0,
            "status": Document.Status.READ,
        },
    )
    return document


def _checked(content: Piece) -> Piece:
    """Without empty lines at the ends; passages need a text, entries a question and an answer. Raises `Unwritable`."""
    if "text" in content:
        clean: Piece = {"heading": content["heading"].strip()[:300], "text": content["text"].strip()}
        needed = [clean["text"]]
    else:
        phrasings = [text.strip() for text in content.get("phrasings", []) if text.strip()]
        answers = [text.strip() for text in content.get("answers", []) if text.strip()]
        clean = {"question": str(content.get("question", "")).strip(), "phrasings": phrasings, "answers": answers}
        needed = [clean["question"], "".join(answers)]
    if not all(needed):
        raise Unwritable("empty")
    if sum(len(str(value)) for value in clean.values()) > LONGEST_TEXT:
        raise Unwritable("too_long")
    return clean
