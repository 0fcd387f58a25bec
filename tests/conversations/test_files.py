"""Files visitors send: judged by their bytes, sealed on disk, kept once."""

import io

import pytest
from django.conf import settings
from django.core.files.storage import default_storage
from PIL import Image

from conversations import events, files, services
from conversations.models import Attachment, Contact, Conversation, Inbox
from conversations.pictures import NotAccepted, examine
from workspace.keys import CannotUnseal


def picture(form: str = "PNG", size: tuple[int, int] = (8, 6), **more: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (178, 67, 11)).save(out, form, **more)
    return out.getvalue()


@pytest.mark.parametrize(("form", "mime"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
def test_a_picture_is_drawn_anew_and_loses_what_was_hidden_in_it(form: str, mime: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "home of the sender"
    seen = examine(picture(form, exif=exif) + b"<script>appended</script>")
    assert (seen.mime, seen.width, seen.height) == (mime, 8, 6)
    assert b"sender" not in seen.data
    assert b"script" not in seen.data


def test_a_picture_lying_on_its_side_is_set_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    seen = examine(picture("JPEG", exif=exif))
    assert (seen.width, seen.height) == (6, 8)


REFUSED = {
    "a program": b"MZ\x90\x00" + b"\x00" * 64,
    "an archive": b"PK\x03\x04" + b"\x00" * 64,
    "an SVG": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "HTML": b"  <!doctype html><script>alert(1)</script>",
    "half a picture": b"\x89PNG\r\n\x1a\n" + b"\x00" * 8,
    "a GIF": b"GIF89a" + b"\x00" * 64,
    "nothing": b"",
    "control characters": b"text\x00with a zero",
    "another encoding": "发票".encode("utf-16"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_accepted_is_refused_whatever_it_is_called(name: str) -> None:
    with pytest.raises(NotAccepted):
        examine(REFUSED[name])


def test_a_picture_that_would_unfold_to_gigabytes_is_refused() -> None:
    bomb = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(bomb, "PNG")
    assert len(bomb.getvalue()) < 1_000_000
    with pytest.raises(NotAccepted):
        examine(bomb.getvalue())


@pytest.mark.django_db
class TestAddFile:
    def add(self, conversation: Conversation, data: bytes, **more: str) -> Attachment:
        return files.add_file(
            conversation=conversation, data=data, **{"client_id": "one", "name": "receipt.png", **more}
        )

    def test_it_is_in_the_record_and_sealed_on_disk(self, conversation: Conversation) -> None:
        row = self.add(conversation, b"order 4711, paid", name="../../receipt.exe")
        assert row.name == "receipt.txt"
        assert files.read_file(row) == b"order 4711, paid"
        with default_storage.open(row.path) as stored:
            assert b"4711" not in stored.read()
        (event,) = [event for event in events.read(conversation) if event.file]
        assert (event.type, event.file.id, event.file.mime) == ("file.added", row.public_id, "text/plain")
        assert "receipt" not in str(event.data)

    def test_the_same_upload_twice_is_one_file(self, conversation: Conversation) -> None:
        first, second = self.add(conversation, picture()), self.add(conversation, picture())
        assert first == second
        assert Attachment.objects.of(conversation.workspace_id).count() == 1

    def test_a_file_moved_to_another_row_does_not_open(self, conversation: Conversation) -> None:
        one, two = self.add(conversation, b"one"), self.add(conversation, b"two", client_id="two")
        one.path = two.path
        with pytest.raises(CannotUnseal):
            files.read_file(one)

    def test_too_large_too_many_and_switched_off_have_codes(self, conversation: Conversation, monkeypatch) -> None:
        monkeypatch.setattr(settings, "VISITOR_FILE_MAX_BYTES", 10)
        with pytest.raises(files.FileTooLarge):
            self.add(conversation, b"more than ten bytes")
        for number in range(files.MOST_AN_HOUR):
            self.add(conversation, b"text", client_id=str(number))
        with pytest.raises(files.TooManyFiles):
            self.add(conversation, b"text", client_id="more")
        Inbox.objects.of(conversation.workspace_id).update(takes_files=False)
        conversation.inbox.refresh_from_db()
        with pytest.raises(files.FilesOff):
            self.add(conversation, b"text", client_id="off")


@pytest.mark.django_db
def test_with_its_conversation_a_file_is_gone_from_the_disk_too(
    inbox: Inbox, django_capture_on_commit_callbacks
) -> None:
    contact = Contact.objects.of(inbox.workspace_id).create(inbox=inbox)
    conversation = services.open_conversation(inbox=inbox, contact=contact)
    row = files.add_file(conversation=conversation, client_id="one", name="a.txt", data=b"order 4711")
    with django_capture_on_commit_callbacks(execute=False):
        conversation.delete()
    assert default_storage.exists(row.path), "not before it is certain"
    row = files.add_file(
        conversation=services.open_conversation(inbox=inbox, contact=contact),
        client_id="two",
        name="b.txt",
        data=b"order 4712",
    )
    with django_capture_on_commit_callbacks(execute=True):
        contact.delete()
    assert not default_storage.exists(row.path)
