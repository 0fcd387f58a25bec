"""Visitors whom a site vouches for: one contact a person, found again on every device."""

from dataclasses import dataclass

from django.db import IntegrityError, transaction

from conversations import memory
from conversations.models import Contact, Conversation, Inbox
from workspace.crypto import fingerprint


@dataclass(frozen=True)
class Person:
    """Whom the site vouched for: `key` is the site's own id of the person."""

    key: str
    name: str = ""
    email: str = ""


def known_contact(inbox: Inbox, person: Person) -> Contact | None:
    key = _key(inbox, person)
    return Contact.objects.of(inbox.workspace_id).filter(inbox=inbox, external_key=key).first()


def identify(*, inbox: Inbox, person: Person, current: Conversation | None) -> Conversation | None:
    """Who speaks is `person`. Returns the conversation to go on with: `current`, else their latest, else None.

    A conversation begun without a name becomes theirs; one that belongs to somebody else is left alone.
    """
    with transaction.atomic():
        contact = known_contact(inbox, person)
        if current is not None and current.contact.external_key is None:
            contact = _take_on(inbox, person, current, contact)
            _fill(contact, person)
            return current
        if contact is None:
            return None
        _fill(contact, person)
        if current is not None and current.contact_id == contact.pk:
            return current
        return latest_conversation(contact)


def new_known_contact(*, inbox: Inbox, person: Person, language: str) -> Contact:
    """The contact of a person, made when there is none."""
    try:
        with transaction.atomic():
            contact, _ = Contact.objects.of(inbox.workspace_id).get_or_create(
                inbox=inbox, external_key=_key(inbox, person), defaults={"language": language}
            )
    except IntegrityError:  # another tab was first
        contact = Contact.objects.of(inbox.workspace_id).get(inbox=inbox, external_key=_key(inbox, person))
    _fill(contact, person)
    found: Contact = contact
    return found


def latest_conversation(contact: Contact) -> Conversation | None:
    found: Conversation | None = (
        Conversation.objects.of(contact.workspace_id)
        .select_related("contact")
        .filter(contact=contact)
        .order_by("-last_message_at", "-pk")
        .first()
    )
    return found


def _take_on(inbox: Inbox, person: Person, current: Conversation, contact: Contact | None) -> Contact:
    if contact is None:
        anonymous = current.contact
        anonymous.external_key = _key(inbox, person)
        anonymous.external_id = person.key
        anonymous.save(update_fields=["external_key", "external_id"])
        return anonymous
    anonymous = current.contact
    contact.email, contact.phone = contact.email or anonymous.email, contact.phone or anonymous.phone
    contact.details = {**(contact.details or {}), **(anonymous.details or {})} or None
    contact.save(update_fields=["email", "phone", "details"])
    Conversation.objects.of(inbox.workspace_id).filter(pk=current.pk).update(contact=contact)
    current.contact = contact
    memory.recount(current)
    return contact


def _fill(contact: Contact, person: Person) -> None:
    contact.external_id = person.key
    contact.name, contact.email = person.name or contact.name, person.email or contact.email
    contact.save(update_fields=["external_id", "name", "email"])


def _key(inbox: Inbox, person: Person) -> str:
    return fingerprint(inbox.workspace_id, f"identity:{inbox.public_id}:{person.key}")
