"""What most tests stand on: a workspace with an inbox, a contact, a conversation and people."""

import threading
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from conversations import services
from conversations.models import Conversation, Inbox
from tests.environment import PRODUCTION
from workspace.models import Membership, User, Workspace
from workspace.roles import Role


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Pages come last: a browser's event loop stays in the main thread, and no `asyncio.run` works there any more."""
    items.sort(key=lambda item: "tests/pages/" in item.path.as_posix())


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """The test database is a file, not memory, since threads and sockets of one test share it."""
    if not PRODUCTION:
        settings.DATABASES["default"].setdefault("TEST", {})["NAME"] = str(settings.HOME / "test.sqlite3")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """At the end the threads that crossed let go of the test database, which could not be dropped else."""
    from chatbot import crossing

    yield
    for pool, threads in ((crossing._pool(), crossing.THREADS), (crossing._at_once_pool(), crossing.AT_ONCE_THREADS)):
        all_there = threading.Barrier(threads, timeout=30)
        wait([pool.submit(_let_go, all_there) for _ in range(threads)])


def _let_go(all_there: threading.Barrier) -> None:
    all_there.wait()  # one for each thread
    connection.close()


@pytest.fixture
def data_folder() -> Path:
    """Public test data; see its README. Tests that need it are skipped where it is not present."""
    import os

    folder = Path(os.environ.get("BATON_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no test data (BATON_DATA)")
    return folder


@pytest.fixture
def workspace() -> Workspace:
    return Workspace.objects.create(name="Northwind")


@pytest.fixture
def inbox(workspace: Workspace) -> Inbox:
    return Inbox.objects.of(workspace).create(name="Shop", language="en")


@pytest.fixture
def conversation(inbox: Inbox) -> Conversation:
    return services.open_conversation(inbox=inbox, contact=services.new_contact(inbox=inbox))


@pytest.fixture
def mei(workspace: Workspace) -> User:
    return person(workspace, "mei", "Mei", Role.AGENT)


@pytest.fixture
def tom(workspace: Workspace) -> User:
    return person(workspace, "tom", "Tom", Role.AGENT)


def person(workspace: Workspace, username: str, name: str, role: Role) -> User:
    user = User.objects.create_user(username=username, display_name=name)
    Membership.objects.of(workspace).create(user=user, role=role)
    return user


@pytest.fixture(autouse=True, scope="session")
def _compiled_texts() -> None:
    """A clean clone has the Chinese texts as source only."""
    call_command("compile_texts", verbosity=0)


@pytest.fixture(autouse=True)
def _fresh_caches() -> Iterator[None]:
    """Rows come and go between tests with the same keys."""
    from chatbot import own_intents, providers, wiring
    from knowledge import search

    yield
    providers.forget_plans()
    search._open.cache_clear()
    own_intents.recogniser.cache_clear()
    wiring._shelf.cache_clear()
