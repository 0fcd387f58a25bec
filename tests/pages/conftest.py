"""A real server and a real Chromium: the whole application on one port, a business with knowledge in two languages."""

import os
import shutil
from collections.abc import Iterator

import pytest
from django.conf import settings
from playwright.sync_api import Page

from chatbot.models import Intent, IntentExample
from conversations.models import Inbox
from knowledge import services as knowledge
from knowledge.tasks import HANDLERS
from tests.serving import serving
from workspace import leases
from workspace.login_links import make_login_link
from workspace.models import Membership, User, Workspace
from workspace.roles import Role

FAQ = """question,similar questions,answer
How long do refunds take?,When do I get my money back? | refund time,"Refunds take **seven days**. {long}"
Do you ship to Norway?,,We ship to Norway in ten days.
""".format(long="The bank may need a few more days, which we cannot speed up. " * 4)
FAQ_ZH = """问题,相似问法,答案
退款多久到账？,钱什么时候退回来,退款**七个工作日**到账。银行处理可能还要几天，我们无法加快。
"""
GUIDE = "# Grinder care\n\n## Burrs\n\nBrush the burrs every two weeks.\n\n| part | how often |\n|---|---|\n| burrs | weekly |\n"

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    return {
        **browser_type_launch_args,
        "executable_path": CHROMIUM,
        "chromium_sandbox": False,
        "args": [
            "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP *.test 127.0.0.1",
        ],
    }  # fmt: skip


@pytest.fixture
def business(transactional_db) -> Workspace:
    """Northwind, with a widget inbox, an agent, two intents and a published collection."""
    workspace = Workspace.objects.create(name="Northwind")
    Inbox.objects.of(workspace).create(name="Shop", language="en")
    mei = User.objects.create_user(username="mei", display_name="Mei", is_staff=True, is_superuser=True)
    Membership.objects.of(workspace).create(user=mei, role=Role.ADMIN)
    thanks = Intent.objects.of(workspace).create(
        key="thanks", name_en="Thanks", name_zh="感谢", action="reply", reply_en="You are welcome.", reply_zh="不客气。"
    )
    refund = Intent.objects.of(workspace).create(key="refund_status", name_en="Refund", name_zh="退款")
    Intent.objects.of(workspace).create(key="handoff", name_en="Talk to a person", name_zh="转人工", action="handoff")
    examples = {
        thanks: ["thanks", "thank you so much", "cheers, great", "谢谢", "多谢啦", "感谢您"],
        refund: ["where is my refund", "refund time", "money back", "退款多久", "退款到账", "什么时候退钱"],
    }
    for intent, texts in examples.items():
        for text in texts:
            IntentExample.objects.of(workspace).create(intent=intent, text=text, language="en")
    collection = knowledge.find_or_create_collection(workspace=workspace, name="shop")
    for name, text in (("faq.csv", FAQ), ("faq.zh.csv", FAQ_ZH), ("guide.md", GUIDE)):
        knowledge.add_file(collection=collection, name=name, data=text.encode())
    while leases.run_next(HANDLERS):
        pass
    return workspace


@pytest.fixture
def site(business: Workspace) -> Iterator[str]:
    """The address of the running application."""
    from chatbot.asgi import application

    settings.WORKER_THREADS = 1
    with serving(application, lifespan="on") as port:
        yield f"http://127.0.0.1:{port}"
    settings.WORKER_THREADS = 0


@pytest.fixture
def inbox(business: Workspace) -> Inbox:
    return Inbox.objects.of(business).get(kind="widget")


@pytest.fixture
def console(page: Page) -> Iterator[list[str]]:
    """Everything a page complains about; a test that uses it fails when there is anything."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield complaints
    assert complaints == []


def sign_in(page: Page, site: str, username: str = "mei") -> None:
    secret = make_login_link(User.objects.get(username=username))
    page.goto(f"{site}/login/link/{secret}/")
    page.get_by_role("button").first.click()
    page.wait_for_url("**/desk/**")


@pytest.fixture
def bare_inbox(transactional_db) -> Inbox:
    """A business without knowledge, for what needs no answer: quick to make."""
    workspace = Workspace.objects.create(name="Northwind")
    mei = User.objects.create_user(username="mei", display_name="Mei", is_staff=True, is_superuser=True)
    Membership.objects.of(workspace).create(user=mei, role=Role.ADMIN)
    inbox: Inbox = Inbox.objects.of(workspace).create(name="Shop", language="en")
    return inbox


@pytest.fixture
def bare_site(bare_inbox: Inbox) -> Iterator[str]:
    from chatbot.asgi import application

    with serving(application, lifespan="on") as port:
        yield f"http://127.0.0.1:{port}"
