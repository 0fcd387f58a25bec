import json

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction

from conversations.models import Contact, Inbox
from workspace.crypto import fingerprint, seal_for
from workspace.keys import CannotUnseal, Keyring, keys_from_file, new_key_line, parse_keyring
from workspace.models import Workspace

pytestmark = pytest.mark.django_db


def stored(contact: Contact, column: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM conversations_contact WHERE id = %s", [contact.pk])
        return cursor.fetchone()[0]


def test_contact_details_are_unreadable_in_the_database_and_readable_through_the_model(inbox: Inbox) -> None:
    contact = Contact.objects.of(inbox.workspace).create(inbox=inbox, email="li.lei@example.com", name="李雷")

    assert "li.lei" not in stored(contact, "email")
    assert stored(contact, "email").startswith("k1.")
    assert Contact.every.get(pk=contact.pk).email == "li.lei@example.com"
    assert Contact.every.get(pk=contact.pk).name == "李雷"


def test_the_same_text_is_never_sealed_to_the_same_bytes(inbox: Inbox) -> None:
    one, two = (Contact.objects.of(inbox.workspace).create(inbox=inbox, phone="13800138000") for _ in range(2))
    assert stored(one, "phone") != stored(two, "phone")


@pytest.mark.parametrize("target_column", ["email", "phone"])
def test_a_sealed_value_does_not_open_in_another_row_or_column(inbox: Inbox, target_column: str) -> None:
    one = Contact.objects.of(inbox.workspace).create(inbox=inbox, email="one@example.com", phone="1")
    two = Contact.objects.of(inbox.workspace).create(inbox=inbox, email="two@example.com", phone="2")
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE conversations_contact SET {target_column} = %s WHERE id = %s", [stored(one, "email"), two.pk]
        )
    with pytest.raises(CannotUnseal):
        _ = getattr(Contact.every.get(pk=two.pk), target_column)


def test_an_altered_value_does_not_open(inbox: Inbox) -> None:
    contact = Contact.objects.of(inbox.workspace).create(inbox=inbox, email="one@example.com")
    value = stored(contact, "email")
    broken = value[:-4] + ("AAA=" if value[-4:] != "AAA=" else "BBB=")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE conversations_contact SET email = %s WHERE id = %s", [broken, contact.pk])
    with pytest.raises(CannotUnseal):
        _ = Contact.every.get(pk=contact.pk).email


def test_plain_text_cannot_slip_in_through_update_or_a_lookup(inbox: Inbox) -> None:
    contact = Contact.objects.of(inbox.workspace).create(inbox=inbox, email="one@example.com")
    with pytest.raises(TypeError), transaction.atomic():
        Contact.every.filter(pk=contact.pk).update(email="two@example.com")
    with pytest.raises(TypeError):
        Contact.every.filter(email="one@example.com").exists()

    Contact.every.filter(pk=contact.pk).update(email=seal_for(contact, "email", "two@example.com"))
    assert Contact.every.get(pk=contact.pk).email == "two@example.com"


def test_credentials_are_sealed_json(workspace: Workspace) -> None:
    inbox = Inbox.objects.of(workspace).create(name="Bot", kind="telegram", credentials={"bot_token": "123:abc"})
    with connection.cursor() as cursor:
        cursor.execute("SELECT credentials FROM conversations_inbox WHERE id = %s", [inbox.pk])
        assert "abc" not in cursor.fetchone()[0]
    assert Inbox.every.get(pk=inbox.pk).credentials == {"bot_token": "123:abc"}


def test_bulk_create_seals_too(inbox: Inbox) -> None:
    Contact.every.bulk_create([Contact(workspace=inbox.workspace, inbox=inbox, email="bulk@example.com")])
    contact = Contact.every.get()
    assert stored(contact, "email").startswith("k1.")
    assert contact.email == "bulk@example.com"


def test_fingerprints_find_equal_values_of_one_workspace_only() -> None:
    assert fingerprint(1, "u-1") == fingerprint(1, "u-1")
    assert len({fingerprint(1, "u-1"), fingerprint(2, "u-1"), fingerprint(1, "u-2")}) == 3


def test_after_rotation_old_values_open_and_new_ones_use_the_new_key() -> None:
    old = parse_keyring(f"{new_key_line('k1')},{new_key_line('index')}")
    rotated = Keyring({"k2": b"x" * 32, **old.keys}, old.index_key)
    sealed = old.seal("hello", b"place")

    assert rotated.open(sealed, b"place") == "hello"
    assert rotated.seal("hello", b"place").startswith("k2.")
    with pytest.raises(CannotUnseal, match="k2"):
        old.open(rotated.seal("hello", b"place"), b"place")


@pytest.mark.parametrize("lines", ["", "k1:c2hvcnQ=", "k1:***", "index:" + "A" * 44])
def test_a_bad_keyring_is_refused_with_a_reason(lines: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="BATON_KEYS"):
        parse_keyring(lines)


def test_the_trial_makes_its_key_file_once_for_the_owner_only(tmp_path) -> None:
    path = tmp_path / "deep" / "keys"
    first = keys_from_file(path)
    assert keys_from_file(path) == first
    assert path.stat().st_mode & 0o077 == 0
    assert parse_keyring(first).current_id == "k1"


def test_aes_gcm_agrees_with_wycheproof(data_folder) -> None:
    """Google's published vectors for AES-256-GCM with 96-bit nonces, through the keyring's own format."""
    import base64

    groups = json.loads((data_folder / "security/crypto/aes_gcm_test.json").read_text())["testGroups"]
    checked = 0
    for group in groups:
        if group["keySize"] != 256 or group["ivSize"] != 96 or group["tagSize"] != 128:
            continue
        for case in group["tests"]:
            keyring = Keyring({"k1": bytes.fromhex(case["key"])}, b"")
            body = bytes.fromhex(case["iv"] + case["ct"] + case["tag"])
            value = f"k1.{base64.urlsafe_b64encode(body).decode()}"
            plain = bytes.fromhex(case["msg"])
            try:
                plain.decode()
            except UnicodeDecodeError:
                continue
            checked += 1
            if case["result"] == "valid":
                assert keyring.open(value, bytes.fromhex(case["aad"])) == plain.decode()
            else:
                with pytest.raises(CannotUnseal):
                    keyring.open(value, bytes.fromhex(case["aad"]))
    assert checked > 5
