"""What an agent sees of a visitor who types, edits and asks again, while it happens."""

from contextlib import suppress

from playwright.sync_api import Locator, Page, expect

from conversations import services
from conversations.models import Inbox
from tests.pages.conftest import sign_in
from tests.web.test_sockets import Visit


def test_typing_edits_and_variants_appear_at_the_desk(page: Page, site: str, inbox: Inbox, console) -> None:
    conversation = services.open_conversation(inbox=inbox, contact=services.new_contact(inbox=inbox))
    sign_in(page, site)
    with Visit(site.removeprefix("http://"), conversation) as visit:
        visit.hello()
        visit.send(type="say", id="1", text="Do you ship to Norway?")
        asked, turn = _answered(visit)
        page.goto(f"{site}/desk/{conversation.public_id}/")
        expect(page.locator(".message.bot")).to_contain_text("We ship to Norway")
        note = page.locator("#visitor-types")
        expect(note).to_be_hidden()

        _type_until_seen(visit, note)
        expect(note).to_have_text("The visitor is typing…")
        expect(note).to_be_hidden(timeout=4_000)

        visit.send(type="again", turn=turn)
        expect(page.locator(".message.bot")).to_have_count(2, timeout=15_000)
        expect(page.locator(".message.bot").nth(1)).to_contain_text("answer 2")

        _type_until_seen(visit, note)
        visit.send(type="edit", message=asked, id="2", text="Do you ship to Norway, please?")
        expect(page.locator(".message.visitor").nth(1)).to_contain_text("edited")
        expect(page.locator(".message.visitor").nth(0)).to_contain_text("Do you ship to Norway?")
        expect(note).to_be_hidden(timeout=1_000)


def test_a_question_that_comes_after_the_first_of_its_answer_stands_before_it(
    page: Page, site: str, inbox: Inbox, console
) -> None:
    """News of the record and the answer's pieces take different ways: on a busy machine the pieces may be first."""
    conversation = services.open_conversation(inbox=inbox, contact=services.new_contact(inbox=inbox))
    sign_in(page, site)
    held: list[str] = []

    def between(socket) -> None:
        server = socket.connect_to_server()

        def pass_on(frame: str) -> None:
            if '"author":"visitor"' in frame:
                held.append(frame)
                return
            if held and '"delta"' in frame:
                socket.send(frame)
                socket.send(held.pop())
                return
            socket.send(frame)

        server.on_message(pass_on)

    page.route_web_socket("**/ws/desk/**", between)
    page.goto(f"{site}/desk/{conversation.public_id}/")
    expect(page.locator("#live, .thread, #log").first).to_be_attached()
    with Visit(site.removeprefix("http://"), conversation) as visit:
        visit.hello()
        visit.send(type="say", id="1", text="How long do refunds take?")
        expect(page.locator(".message.bot")).to_contain_text("cannot speed up", timeout=20_000)
        expect(page.locator(".message.visitor")).to_have_count(1)
    order = page.locator(".message").evaluate_all("all => all.map((e) => e.classList.contains('visitor'))")
    assert order == [True, False]


def _type_until_seen(visit: Visit, note: Locator) -> None:
    """What is typed before the desk listens is not shown later: a visitor goes on typing."""
    for _ in range(20):
        visit.send(type="typing")
        with suppress(AssertionError):
            expect(note).to_be_visible(timeout=500)
            return
    expect(note).to_be_visible()


def _answered(visit: Visit) -> tuple[str, str]:
    """The ids of the question and of the turn that answered it."""
    asked = ""
    while True:
        message = visit.next("event").get("message") or {}
        if message.get("author") == "bot":
            return asked, message["turn"]
        asked = message.get("id", asked)
