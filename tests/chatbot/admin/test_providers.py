"""Providers in the back office: what a form refuses and why, secrets that go in and never come out, the test button."""

import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from chatbot import providers
from chatbot.llm import provider as provider_module
from chatbot.llm.simulator.app import Simulator
from chatbot.llm.simulator.faults import FAULTS
from chatbot.llm.simulator.wording import ChatWording
from chatbot.models import Budget, ModelCall, Notice, Price, Provider
from conversations.models import Inbox
from tests.conftest import person
from tests.environment import free_port
from tests.serving import serving
from workspace.models import AuditRow, User, Workspace
from workspace.roles import Role

pytestmark = pytest.mark.django_db
SECRET = "a-secret-of-at-least-thirty-two-bytes"
LIST, ADD = "/admin/chatbot/provider/", "/admin/chatbot/provider/add/"


@pytest.fixture
def ada(workspace: Workspace) -> User:
    """An administrator of the workspace, not of the server."""
    user = person(workspace, "ada", "Ada", Role.ADMIN)
    User.objects.filter(pk=user.pk).update(is_staff=True)
    return User.objects.get(pk=user.pk)


@pytest.fixture
def office(ada: User) -> Client:
    client = Client()
    client.force_login(ada)
    return client


@pytest.fixture
def root_office() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def form(workspace: Workspace, **chosen: Any) -> dict[str, Any]:
    return {
        "workspace": workspace.pk, "name": "Main", "dialect": "deepseek", "base_url": "https://api.deepseek.com",
        "model": "deepseek-flash", "position": 1, "active": "on", "currency": "USD", "new_key": "sk-from-the-account",
        "new_client_id": "", "new_client_secret": "", "max_tokens": 1024, "temperature": 0.5, "model_by_language": "{}",
        "context_window": 0, "first_token_s": 25, "idle_s": 20, "total_s": 120, "max_streams": 200, "user_ids": "inbox",
        "api_version": "v1", "text_path": "", "chunks": "auto", "logit_bias": "{}", "extra": "{}", "ca": "",
        "holidays": "[]", "prices-TOTAL_FORMS": 0, "prices-INITIAL_FORMS": 0, **chosen,
    }  # fmt: skip


def complaints(client: Client, workspace: Workspace, address: str = ADD, **chosen: Any) -> dict[str, list[str]]:
    """The errors by field; none: it was saved."""
    answer = client.post(address, form(workspace, **chosen))
    return {} if answer.status_code == 302 else dict(answer.context["adminform"].form.errors)


def add(client: Client, workspace: Workspace, **chosen: Any) -> Provider:
    assert complaints(client, workspace, **chosen) == {}
    return Provider.objects.of(workspace).latest("pk")


GATEWAY = {"dialect": "gateway", "model": "deepseek-zh-7b", "new_key": "", "new_client_id": "app-1"}


class TestSecrets:
    def test_are_stored_and_never_shown(self, office: Client, workspace: Workspace) -> None:
        row = add(office, workspace)
        assert row.secret == {"key": "sk-from-the-account"}
        page = office.get(f"{LIST}{row.pk}/change/").content.decode()
        assert "sk-from" not in page
        assert "One is stored. Leave empty to keep it." in page

    def test_are_not_shown_when_the_form_comes_back_with_an_error(self, office: Client, workspace: Workspace) -> None:
        answer = office.post(ADD, form(workspace, new_key="sk-typed-just-now", base_url="nonsense"))
        assert answer.status_code == 200
        assert "sk-typed-just-now" not in answer.content.decode()

    def test_stay_when_left_empty_and_are_replaced_when_not(self, office: Client, workspace: Workspace) -> None:
        row = add(office, workspace)
        page = f"{LIST}{row.pk}/change/"
        assert complaints(office, workspace, page, new_key="", name="Renamed") == {}
        row.refresh_from_db()
        assert (row.name, row.secret) == ("Renamed", {"key": "sk-from-the-account"})
        assert complaints(office, workspace, page, new_key="sk-new") == {}
        row.refresh_from_db()
        assert row.secret == {"key": "sk-new"}

    def test_do_not_follow_an_address_that_moves_to_another_server(self, office: Client, workspace: Workspace) -> None:
        row = add(office, workspace)
        page = f"{LIST}{row.pk}/change/"
        refused = complaints(office, workspace, page, new_key="", base_url="https://elsewhere.example.com")
        assert list(refused) == ["new_key"]
        assert complaints(office, workspace, page, new_key="", base_url="https://api.deepseek.com/v1") == {}
        assert complaints(office, workspace, page, new_key="sk-2", base_url="https://elsewhere.example.com") == {}

    def test_the_audit_trail_names_the_field_and_not_the_key(
        self, office: Client, workspace: Workspace, ada: User
    ) -> None:
        row = add(office, workspace)
        complaints(office, workspace, f"{LIST}{row.pk}/change/", new_key="sk-new", temperature=0.7)
        office.post(f"{LIST}{row.pk}/delete/", {"post": "yes"})
        rows = list(AuditRow.objects.of(workspace).order_by("seq"))
        assert [audited.action for audited in rows] == ["provider.add", "provider.change", "provider.delete"]
        assert {(audited.actor, audited.target) for audited in rows} == {(ada.public_id, row.public_id)}
        assert rows[1].detail == {"fields": ["key", "temperature"]}
        assert not any("sk-" in str(audited.detail) for audited in rows)

    def test_each_dialect_wants_its_own(self, office: Client, workspace: Workspace) -> None:
        assert list(complaints(office, workspace, new_key="")) == ["new_key"]
        refused = complaints(office, workspace, **{**GATEWAY, "new_client_id": ""})
        assert sorted(refused) == ["new_client_id", "new_client_secret"]
        assert complaints(office, workspace, new_key="", dialect="openai", model="qwen") == {}
        row = add(office, workspace, **GATEWAY, name="Gateway", new_client_secret=SECRET)
        assert row.secret == {"client_id": "app-1", "client_secret": SECRET}

    def test_a_key_with_a_space_in_it_was_copied_wrongly(self, office: Client, workspace: Workspace) -> None:
        assert "new_key" in complaints(office, workspace, new_key="sk-one sk-two")

    def test_a_short_client_secret_is_taken_with_a_warning(self, office: Client, workspace: Workspace) -> None:
        answer = office.post(ADD, form(workspace, **GATEWAY, new_client_secret="short"), follow=True)
        assert "fewer than 32 bytes" in answer.content.decode()
        assert "short</" not in answer.content.decode()


class TestAddresses:
    @pytest.mark.parametrize(
        "address",
        ["ftp://api.example.com", "api.example.com", "https://", "https://me:pw@api.example.com", "http://[1"],
    )
    def test_that_are_none_are_refused(self, root_office: Client, workspace: Workspace, address: str) -> None:
        assert "base_url" in complaints(root_office, workspace, base_url=address)

    @pytest.mark.parametrize("address", ["http://127.0.0.1:8000", "http://10.0.0.3", "https://llm.internal"])
    def test_of_the_servers_network_are_for_superusers(
        self, office: Client, root_office: Client, workspace: Workspace, address: str
    ) -> None:
        refused = complaints(office, workspace, base_url=address)
        assert "only a superuser of this server" in refused["base_url"][0]
        assert complaints(root_office, workspace, base_url=address) == {}

    def test_without_encryption_are_taken_with_a_warning(self, office: Client, workspace: Workspace) -> None:
        answer = office.post(ADD, form(workspace, base_url="http://llm.example.com"), follow=True)
        assert "travel without encryption" in answer.content.decode()


class TestFields:
    @pytest.mark.parametrize(
        ("field", "wrong"),
        [
            ("model_by_language", '["zh"]'),
            ("model_by_language", '{"chinese language": "m"}'),
            ("model_by_language", '{"zh": 3}'),
            ("logit_bias", '{"12": 101}'),
            ("logit_bias", '{"12": true}'),
            ("logit_bias", "[1]"),
            ("extra", '"text"'),
            ("extra", '{"stream": false}'),
            ("holidays", '["2027-13-08"]'),
            ("holidays", '{"2027-10-08": 1}'),
            ("holidays", "[20271008]"),
            ("ca", "not a certificate"),
            ("ca", "-----BEGIN CERTIFICATE-----\nÄ\n-----END CERTIFICATE-----"),
            ("temperature", 2.5),
            ("max_streams", 0),
        ],
    )
    def test_are_checked_in_words(self, office: Client, workspace: Workspace, field: str, wrong: Any) -> None:
        assert list(complaints(office, workspace, **{field: wrong})) == [field]

    def test_that_are_right_are_kept(self, office: Client, workspace: Workspace) -> None:
        row = add(
            office,
            workspace,
            model_by_language='{"zh": "deepseek-v4-pro", "pt-BR": "deepseek-flash"}',
            logit_bias='{"1234": -100, "9": 0.5}',
            extra='{"top_p": 0.9}',
            holidays='["2027-10-08"]',
            ca=_certificate(),
        )
        assert row.model_by_language == {"zh": "deepseek-v4-pro", "pt-BR": "deepseek-flash"}
        assert row.logit_bias == {"1234": -100, "9": 0.5}
        assert (row.extra, row.holidays) == ({"top_p": 0.9}, ["2027-10-08"])

    def test_left_empty_mean_nothing(self, office: Client, workspace: Workspace) -> None:
        row = add(office, workspace, model_by_language="", logit_bias="", extra="", holidays="")
        assert (row.model_by_language, row.logit_bias, row.extra, row.holidays) == ({}, {}, {}, [])

    def test_a_retired_model_is_refused_where_it_was_retired(self, office: Client, workspace: Workspace) -> None:
        assert "retired" in complaints(office, workspace, model="deepseek-chat")["model"][0]
        by_language = complaints(office, workspace, model_by_language='{"zh": "deepseek-reasoner"}')
        assert "model_by_language" in by_language
        assert complaints(office, workspace, dialect="openai", model="deepseek-chat") == {}

    def test_known_models_are_offered(self, office: Client) -> None:
        page = office.get(ADD).content.decode()
        assert 'list="known-models"' in page
        assert '<option value="deepseek-v4-pro">' in page

    def test_a_name_is_used_once(self, office: Client, workspace: Workspace) -> None:
        add(office, workspace)
        other = add(office, workspace, name="Other")
        assert complaints(office, workspace, f"{LIST}{other.pk}/change/", new_key="", name="Main")


def _certificate() -> str:
    held = ssl.create_default_context().get_ca_certs(binary_form=True)
    if not held:
        pytest.skip("this machine trusts nobody")
    return ssl.DER_cert_to_PEM_cert(held[0])


class TestRows:
    def test_prices_belong_to_the_workspace(self, office: Client, workspace: Workspace) -> None:
        row = add(
            office,
            workspace,
            **{
                "prices-TOTAL_FORMS": 1, "prices-0-model": "deepseek-flash", "prices-0-since_0": "2026-01-01",
                "prices-0-since_1": "00:00:00", "prices-0-miss": "0.5", "prices-0-hit": "0.05", "prices-0-output": "1",
            },
        )  # fmt: skip
        assert Price.objects.of(workspace).get().provider == row
        assert "prices" in AuditRow.objects.of(workspace).get().detail["fields"]

    def test_a_change_is_seen_by_the_next_question(
        self, office: Client, workspace: Workspace, django_capture_on_commit_callbacks
    ) -> None:
        providers._plans[workspace.pk] = (float("inf"), providers.Plan((), False))
        with django_capture_on_commit_callbacks(execute=True):
            add(office, workspace)
        assert workspace.pk not in providers._plans

    def test_of_another_workspace_are_not_there(self, office: Client, workspace: Workspace) -> None:
        theirs = Workspace.objects.create(name="Theirs")
        row = Provider.objects.of(theirs).create(name="Their account", secret={"key": "sk-theirs"})
        assert "Their account" not in office.get(LIST).content.decode()
        assert office.get(f"{LIST}{row.pk}/change/").status_code == 302
        assert office.post(f"{LIST}{row.pk}/test/").status_code == 404
        assert "workspace" in complaints(office, theirs)

    def test_a_budget_is_of_one_workspace_and_its_steps_in_order(
        self, office: Client, workspace: Workspace, inbox: Inbox
    ) -> None:
        foreign = Inbox.objects.of(Workspace.objects.create(name="Theirs")).create(name="Their inbox")
        address = "/admin/chatbot/budget/add/"
        assert "Their inbox" not in office.get(address).content.decode()
        fields = {
            "workspace": workspace.pk, "scope": "inbox", "inbox": inbox.pk, "period": "day", "amount": "5",
            "currency": "USD", "shorten_at": 80, "extractive_at": 100, "person_at": "",
        }  # fmt: skip
        assert office.post(address, {**fields, "inbox": foreign.pk}).status_code == 200
        assert "come in this order" in office.post(address, {**fields, "shorten_at": 120}).content.decode()
        assert "names the inbox" in office.post(address, {**fields, "inbox": ""}).content.decode()
        assert office.post(address, fields).status_code == 302
        assert Budget.objects.of(workspace).get().inbox == inbox
        assert AuditRow.objects.of(workspace).get().action == "budget.add"

    @pytest.mark.parametrize("noun", ["modelcall", "notice", "batch"])
    def test_records_are_looked_at_and_not_changed(self, root_office: Client, workspace: Workspace, noun: str) -> None:
        assert root_office.get(f"/admin/chatbot/{noun}/").status_code == 200
        assert root_office.get(f"/admin/chatbot/{noun}/add/").status_code == 403


class TestTheTestButton:
    @pytest.fixture(autouse=True)
    def _short_pauses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(provider_module, "RETRY_BASE_S", 0.02)

    @pytest.fixture
    def simulator(self) -> Iterator[Simulator]:
        simulator = Simulator()
        with serving(simulator) as port:
            simulator.port = port
            yield simulator

    def row(self, workspace: Workspace, port: int, **chosen: Any) -> Provider:
        fields = {"name": "Main", "secret": {"key": "sk-test"}, "base_url": f"http://127.0.0.1:{port}", **chosen}
        return Provider.objects.of(workspace).create(**fields)

    def press(self, client: Client, row: Provider) -> str:
        answer = client.post(f"{LIST}{row.pk}/test/")
        assert answer.status_code == 200
        return answer.content.decode()

    def test_shows_models_balance_and_a_real_answer_and_records_it(
        self, office: Client, workspace: Workspace, simulator: Simulator
    ) -> None:
        page = self.press(office, self.row(workspace, simulator.port))
        assert "It works" in page
        assert "Among the models of this account: deepseek-flash" in page
        assert "110.00 CNY" in page
        assert "The first text came after" in page
        call = ModelCall.objects.of(workspace).get()
        assert (call.purpose, call.failure, call.provider_name) == ("test", "", "Main")
        assert call.cost is not None
        assert "sk-test" not in page

    def test_says_in_our_words_that_the_key_is_wrong(
        self, office: Client, workspace: Workspace, simulator: Simulator
    ) -> None:
        page = self.press(office, self.row(workspace, simulator.port, secret={"key": "sk-wrong"}))
        assert "does not work yet" in page
        assert "The provider does not accept the key." in page
        assert "Authentication Fails" not in page
        assert "sk-wrong" not in page
        assert ModelCall.objects.of(workspace).get().failure == "auth"

    def test_says_that_nobody_is_there(self, office: Client, workspace: Workspace) -> None:
        page = self.press(office, self.row(workspace, free_port()))
        assert "The address cannot be reached" in page
        assert ModelCall.objects.of(workspace).get().failure == "transport"

    def test_says_that_the_model_is_not_in_the_list(
        self, office: Client, workspace: Workspace, simulator: Simulator
    ) -> None:
        page = self.press(office, self.row(workspace, simulator.port, model="deepseek-v9"))
        assert "Not among the models of this account: deepseek-v9" in page

    def test_says_that_the_account_is_empty(self, office: Client, workspace: Workspace, simulator: Simulator) -> None:
        simulator.scripts.append(FAULTS["quota"](ChatWording()))
        page = self.press(office, self.row(workspace, simulator.port))
        assert "out of money" in page
        assert "Insufficient Balance" not in page

    def test_works_for_a_gateway_which_tells_no_balance(
        self, office: Client, workspace: Workspace, simulator: Simulator
    ) -> None:
        secret = {"client_id": "app-1", "client_secret": SECRET}
        row = self.row(workspace, simulator.port, dialect="gateway", secret=secret, model="deepseek-zh-7b")
        page = self.press(office, row)
        assert "It works" in page
        assert "Only the official API tells" in page
        assert SECRET not in page

    def test_speaks_chinese(self, office: Client, workspace: Workspace, simulator: Simulator) -> None:
        row = self.row(workspace, simulator.port, secret={"key": "sk-wrong"})
        answer = office.post(f"{LIST}{row.pk}/test/", headers={"accept-language": "zh-hans"})
        assert "提供商不接受该密钥" in answer.content.decode()

    def test_waves_away_what_was_said_about_refusals_once_it_works(
        self, office: Client, workspace: Workspace, simulator: Simulator
    ) -> None:
        row = self.row(workspace, simulator.port, secret={"key": "sk-wrong"})
        self.press(office, row)
        assert Notice.objects.of(workspace).get().read_at is None
        row.secret = {"key": "sk-test"}
        row.save()
        self.press(office, row)
        assert Notice.objects.of(workspace).get().read_at is not None

    def test_is_a_post_and_for_administrators(self, office: Client, workspace: Workspace) -> None:
        row = self.row(workspace, free_port())
        assert office.get(f"{LIST}{row.pk}/test/").status_code == 302
        client = Client()
        client.force_login(person(workspace, "mei", "Mei", Role.AGENT))
        assert client.post(f"{LIST}{row.pk}/test/").status_code == 302
        assert not ModelCall.objects.of(workspace).exists()
