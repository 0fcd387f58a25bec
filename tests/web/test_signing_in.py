"""Ways in: a one-time link, and the way back when it is used up."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from workspace.login_links import make_login_link
from workspace.models import User

pytestmark = pytest.mark.django_db
PUBLIC = "https://chat.example.com"


def printed(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue().strip()


def test_a_fresh_link_can_be_printed_for_whoever_lost_theirs(settings, client: Client, mei: User) -> None:
    settings.PUBLIC_URL = f"{PUBLIC}/"
    address = printed("login_link", "mei")
    assert address.startswith(f"{PUBLIC}/login/link/")
    client.post(address.removeprefix(PUBLIC))
    assert client.session["_auth_user_id"] == str(mei.pk)


def test_a_new_workspace_tells_the_whole_address(settings) -> None:
    settings.PUBLIC_URL = PUBLIC
    assert f": {PUBLIC}/login/link/" in printed("create_workspace", "Acme", "--admin", "ada")


def test_an_unknown_or_switched_off_person_gets_no_link(mei: User) -> None:
    with pytest.raises(CommandError, match=r"no user 'meii'\. Users: mei"):
        call_command("login_link", "meii")
    User.objects.update(is_active=False)
    with pytest.raises(CommandError, match="not active"):
        call_command("login_link", "mei")


@pytest.mark.parametrize(
    ("language", "advice"), [("en", "Ask an administrator for a new one."), ("zh-hans", "请向管理员索取新链接。")]
)
def test_a_used_link_says_what_to_do(language: str, advice: str, client: Client, mei: User) -> None:
    link = f"/login/link/{make_login_link(mei)}/"
    assert Client().post(link).status_code == 302
    page = client.post(link, headers={"accept-language": language})
    assert page.status_code == 410
    text = page.content.decode()
    assert advice in text
    assert "manage.py login_link" in text
    assert 'href="/login/"' not in text  # there is no password to sign in with
    mei.set_password("a long password")
    mei.save()
    assert 'href="/login/"' in client.post(link).content.decode()


@pytest.mark.parametrize("page", ["/login/", "/admin/login/"])
def test_every_page_has_the_mark_as_its_icon(page: str, client: Client) -> None:
    assert '<link rel="icon" href="/static/shared/mark.svg"' in client.get(page).content.decode()


def test_the_icon_is_there_for_programs_that_do_not_look_at_the_page(client: Client) -> None:
    answer = client.get("/favicon.ico")
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/svg+xml")
    assert b"<svg" in answer.content
