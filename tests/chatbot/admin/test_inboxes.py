"""An inbox in the back office: hours, form and secret are checked, the secret is never shown again."""

import re

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.test import Client

from conversations.models import Inbox
from workspace.models import User

pytestmark = pytest.mark.django_db
SECRET = "a secret of the shop that is long enough"


@pytest.fixture
def office(inbox: Inbox) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def fields(client: Client, inbox: Inbox, **changes: str) -> dict[str, str]:
    """What the form would send, with changes; a change to None takes a field out."""
    page = client.get(f"/admin/conversations/inbox/{inbox.pk}/change/")
    form = page.context["adminform"].form
    held = {name: form[name].value() for name in form.fields}
    sent = {name: value for name, value in held.items() if value not in (None, False)}
    sent |= {"hours": "{}", "form": "[]", "collections": "[]", "allowed_domains": "[]", "new_credentials": ""}
    return sent | changes


def save(client: Client, inbox: Inbox, **changes: str) -> str:
    """The errors of the page; empty when it was saved."""
    answer = client.post(f"/admin/conversations/inbox/{inbox.pk}/change/", fields(client, inbox, **changes))
    if answer.status_code == 302:
        inbox.refresh_from_db()
        return ""
    return " ".join(re.findall(r"errorlist[^>]*>(.*?)</ul>", answer.content.decode(), re.DOTALL))


def test_what_the_widget_asks_and_says_is_set_here(office: Client, inbox: Inbox) -> None:
    problem = save(
        office,
        inbox,
        hours='{"time_zone": "Asia/Shanghai", "weekly": {"mon": [["09:00", "18:00"]]}}',
        form='[{"key": "email", "kind": "email", "label": {"en": "E-mail", "zh": "邮箱"}}]',
        text_suggestions_en="Where is my parcel?\nCan I return it?",
        text_disclaimer_zh="AI 可能出错。",
    )
    assert problem == ""
    assert inbox.hours["time_zone"] == "Asia/Shanghai"
    assert inbox.form[0]["key"] == "email"
    assert inbox.texts["disclaimer"] == {"zh": "AI 可能出错。"}
    assert inbox.texts["suggestions"]["en"].splitlines() == ["Where is my parcel?", "Can I return it?"]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("hours", '{"time_zone": "Mars"}', "Asia/Shanghai"),
        ("hours", "[1]", "Write an object"),
        ("hours", "{", "valid JSON"),
        ("form", '[{"key": "A"}]', "small letters"),
        ("form", '{"a": 1}', "a list"),
        ("new_identity_secret", "short", "at least 32"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_sentence(
    office: Client, inbox: Inbox, field: str, value: str, words: str
) -> None:
    assert words in save(office, inbox, **{field: value})
    inbox.refresh_from_db()
    assert (inbox.hours, inbox.form, inbox.identity_secret) == ({}, [], None)


def test_the_identity_secret_can_be_set_replaced_and_forgotten_but_not_read(office: Client, inbox: Inbox) -> None:
    assert save(office, inbox, new_identity_secret=SECRET) == ""
    assert inbox.identity_secret == SECRET
    assert SECRET not in office.get(f"/admin/conversations/inbox/{inbox.pk}/change/").content.decode()
    assert save(office, inbox) == ""
    assert inbox.identity_secret == SECRET
    assert save(office, inbox, forget_identity_secret="on") == ""
    assert inbox.identity_secret is None


def test_the_lines_for_the_site_carry_its_look_and_a_way_without_javascript(office: Client, inbox: Inbox) -> None:
    inbox.position, inbox.accent = "left", "#0f7b57"
    inbox.save()
    page = office.get(f"/admin/conversations/inbox/{inbox.pk}/change/").content.decode()
    assert (
        f"data-inbox=&quot;{inbox.public_id}&quot; data-accent=&quot;#0f7b57&quot; data-position=&quot;left&quot;"
        in page
    )
    assert f"/chat/{inbox.public_id}/" in page


def pem(bits: int, *, private: bool = False) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    if private:
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_a_public_key_is_kept_shown_and_taken_away(office: Client, inbox: Inbox) -> None:
    key = pem(2048)
    assert save(office, inbox, identity_public_key=f"\n{key}\n") == ""
    assert inbox.identity_public_key == key.strip()
    assert key.strip() in office.get(f"/admin/conversations/inbox/{inbox.pk}/change/").content.decode()
    assert save(office, inbox, identity_public_key="") == ""
    assert inbox.identity_public_key == ""


@pytest.mark.parametrize("wrong", ["a small one", "a private one", "of another kind", "no key"])
def test_what_is_no_good_public_key_is_refused(office: Client, inbox: Inbox, wrong: str) -> None:
    elliptic = ec.generate_private_key(ec.SECP256R1()).public_key()
    keys = {
        "a small one": pem(1024),
        "a private one": pem(2048, private=True),
        "of another kind": elliptic.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        "no key": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
    }
    assert "public RSA key" in save(office, inbox, identity_public_key=keys[wrong])
    inbox.refresh_from_db()
    assert inbox.identity_public_key == ""
