"""What the pages of a collection share: finding it, and who may change it."""

from django.http import Http404

from knowledge.models import Collection, Document
from workspace.models import Membership
from workspace.roles import Action


def manages(member: Membership) -> bool:
    return member.may(Action.MANAGE_KNOWLEDGE)


def find_collection(member: Membership, public_id: str) -> Collection:
    found = Collection.objects.of(member.workspace).filter(public_id=public_id).first()
    if found is None:
        raise Http404
    return found


def find_document(member: Membership, public_id: str) -> Document:
    rows = Document.objects.of(member.workspace).filter(deleted_at__isnull=True)
    found = rows.select_related("collection").defer("content").filter(public_id=public_id).first()
    if found is None:
        raise Http404
    return found
