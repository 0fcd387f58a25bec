"""Files of a conversation: looked at, sealed, kept under a random name, and given only to those who may see them."""

import datetime as dt
import secrets
from pathlib import PurePosixPath

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver
from django.utils import timezone

from conversations import events
from conversations.events import Kind
from conversations.models import Attachment, Author, Conversation
from conversations.pictures import Examined, NotAccepted, examine
from conversations.services import ConversationError
from conversations.services.record import locked
from workspace.ids import new_id
from workspace.keys import keyring

FOLDER = "visitors"
MOST_AN_HOUR = 30
LONGEST_NAME = 120


class FileTooLarge(ConversationError):
    code = "file_too_large"


class FileNotAccepted(ConversationError):
    code = "file_type"


class TooManyFiles(ConversationError):
    code = "file_rate"


class FilesOff(ConversationError):
    """The inbox takes no files."""

    code = "files_off"


def add_file(*, conversation: Conversation, client_id: str, name: str, data: bytes) -> Attachment:
    """Keep a file of the visitor, once for each client id.

    Raises `FileTooLarge`, `FileNotAccepted` (told by its bytes, not its name), `TooManyFiles` or `FilesOff`.
    """
    if not conversation.inbox.takes_files:
        raise FilesOff
    if len(data) > settings.VISITOR_FILE_MAX_BYTES:
        raise FileTooLarge
    if known := _known(conversation, client_id):
        return known
    hour_ago = timezone.now() - dt.timedelta(hours=1)
    lately = Attachment.objects.of(conversation.workspace_id).filter(
        conversation=conversation, created_at__gte=hour_ago
    )
    if lately.count() >= MOST_AN_HOUR:
        raise TooManyFiles
    try:
        file = examine(data)
    except NotAccepted:
        raise FileNotAccepted from None
    public_id = new_id("fil")
    sealed = keyring().seal_bytes(file.data, _place(conversation.workspace_id, public_id))
    path = default_storage.save(f"{FOLDER}/{secrets.token_hex(16)}", ContentFile(sealed))
    try:
        row, ours = _keep(conversation.pk, client_id, public_id, _name(name, file), file, path)
    except BaseException:
        default_storage.delete(path)
        raise
    if not ours:
        default_storage.delete(path)
    return row


def read_file(row: Attachment) -> bytes:
    """The bytes of a file, opened. Raises `FileNotFoundError` or `CannotUnseal`."""
    with default_storage.open(row.path) as sealed:
        return keyring().open_bytes(sealed.read(), _place(row.workspace_id, row.public_id))


@receiver(post_delete, sender=Attachment)
def forget(instance: Attachment, **kwargs: object) -> None:
    """With a row, also that of a deleted conversation, its bytes go, once that is certain."""
    transaction.on_commit(lambda: default_storage.delete(instance.path), robust=True)


def _keep(
    conversation_id: int, client_id: str, public_id: str, name: str, file: Examined, path: str
) -> tuple[Attachment, bool]:
    with locked(conversation_id) as conversation:
        if known := _known(conversation, client_id):
            return known, False
        seq = events.append(conversation, Kind.FILE_ADDED, file=public_id)
        row: Attachment = Attachment.objects.of(conversation.workspace_id).create(
            public_id=public_id,
            conversation=conversation,
            seq=seq,
            author=Author.VISITOR,
            client_id=client_id,
            name=name,
            mime=file.mime,
            size=len(file.data),
            width=file.width,
            height=file.height,
            path=path,
        )
        conversation.last_message_at = row.created_at
        return row, True


def _known(conversation: Conversation, client_id: str) -> Attachment | None:
    return (
        Attachment.objects.of(conversation.workspace_id).filter(conversation=conversation, client_id=client_id).first()
    )


def _name(name: str, file: Examined) -> str:
    """The sender's name for it, as a plain name with the ending of what it really is."""
    stem = PurePosixPath(name.replace("\\", "/")).stem
    kept = "".join(character for character in stem if character.isprintable() and character not in '<>:"|?*/')
    return (kept.strip(". ")[:LONGEST_NAME] or "file") + file.ending


def _place(workspace_id: int, public_id: str) -> bytes:
    return f"conversations_attachment.bytes:{workspace_id}:{public_id}".encode()
