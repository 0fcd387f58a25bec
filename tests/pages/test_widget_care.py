"""The widget for everybody: screen readers, keyboards, small screens, other colours."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from chatbot.live.hub import hub
from conversations import services
from conversations.models import Conversation, Inbox
from tests.pages.test_widget import HostPage, ask, open_panel
from tests.pages.test_widget_line import begin, on_loop, says
from tests.pages.test_widget_visit import FORM
from tests.serving import serving
from workspace.models import User

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def violations(page: Page) -> list[str]:
    found: Any = Axe().run(page, options=RULES).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found]


def stream(conversation: Any, turn: str, text: str) -> Any:
    log = on_loop(hub().open, conversation.public_id, turn, conversation.epoch)
    on_loop(hub().write, log, text)
    return log


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("direction", ["ltr", "rtl"])
def test_axe_finds_nothing(
    browser: Browser, bare_site: str, bare_inbox: Inbox, language: str, scheme: str, direction: str
) -> None:
    """Open, form, error, streaming, answered, with a person, offline, waiting, rating."""
    bare_inbox.form = FORM
    bare_inbox.texts = {
        "suggestions": {"en": "Where is my parcel?", "zh": "包裹到哪了？"},
        "disclaimer": {"en": "AI can be wrong.", "zh": "AI 可能出错。"},
    }
    bare_inbox.save()
    context = browser.new_context(color_scheme=scheme, viewport={"width": 400, "height": 660})  # type: ignore[arg-type]
    page = context.new_page()
    home = f"{bare_site}/widget/{bare_inbox.public_id}/?language={language}&dir={direction}"
    seen = {}
    page.goto(home)
    page.locator("#form").wait_for()
    seen["form"] = violations(page)
    page.locator("#form [type=submit]").click()
    page.locator("#form .wrong:visible").first.wait_for()
    seen["error"] = violations(page)

    bare_inbox.form = []
    bare_inbox.save()
    page.goto(home)
    page.locator("#suggestions").wait_for()
    seen["open"] = violations(page)
    ask(page, "Which football team won the cup in 1974?")
    page.locator(".again").wait_for(timeout=15_000)
    seen["answered"] = violations(page)
    page.locator("#person").click()
    page.locator("#queue").wait_for()
    seen["waiting"] = violations(page)

    conversation, mei = Conversation.every.get(), User.objects.get(username="mei")
    services.take_over(conversation_id=conversation.pk, agent=mei, shown={})
    says(conversation, "Hello, this is Mei.", "hello")
    page.locator(".message.agent").wait_for()
    page.locator("#picker").set_input_files({"name": "log.txt", "mimeType": "text/plain", "buffer": b"a line"})
    page.locator(".file[href]").wait_for()
    log = stream(conversation, "trn_axe", "Some **bold** words and `code` and\n\n```\nmore\n```\n\nof them")
    page.locator(".caret").wait_for()
    seen["streaming"] = violations(page)
    on_loop(hub().close, log)
    services.resolve(conversation_id=conversation.pk, agent=mei)
    page.locator("#rating").wait_for()
    seen["rating"] = violations(page)
    page.evaluate("document.getElementById('banner').hidden = false")
    page.evaluate("document.getElementById('banner').textContent = 'x'")
    seen["offline"] = violations(page)
    context.close()
    assert {state: found for state, found in seen.items() if found} == {}


def test_axe_finds_nothing_on_the_launcher(page: Page, bare_site: str, bare_inbox: Inbox) -> None:
    with serving(HostPage(bare_site, bare_inbox.public_id)) as port:
        bare_inbox.allowed_domains = [f"http://127.0.0.1:{port}"]
        bare_inbox.save()
        page.goto(f"http://127.0.0.1:{port}/")
        page.get_by_role("button", name="Open chat").wait_for()
        host = [each for each in violations(page) if "baton-chat" in each or "button" in each]
        assert host == []


def test_the_keyboard_goes_from_head_to_messages_to_text_box(
    page: Page, bare_site: str, bare_inbox: Inbox, console
) -> None:
    bare_inbox.texts = {"suggestions": {"en": "Where is my parcel?"}}
    bare_inbox.save()
    open_panel(page, bare_site, bare_inbox)
    page.get_by_role("textbox").fill("x")
    page.locator("h1").click()
    order = []
    for _ in range(7):
        page.keyboard.press("Tab")
        order.append(
            page.evaluate(
                "document.activeElement.id || document.activeElement.className || document.activeElement.tagName"
            )
        )
    assert order == ["person", "close", "scroll", "quick bot", "clip", "TEXTAREA", "send"]
    for name in ("person", "close", "clip", "send"):
        page.locator(f"#{name}").focus()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Tab")
        outline = page.locator(f"#{name}").evaluate(
            "e => [getComputedStyle(e).outlineStyle, getComputedStyle(e).outlineWidth]"
        )
        assert outline == ["solid", "2px"]
        box = page.locator(f"#{name}").bounding_box()
        assert box["width"] >= 44
        assert box["height"] >= 44


def test_the_conversation_is_a_region_of_messages_with_author_and_time(
    page: Page, bare_site: str, bare_inbox: Inbox, console
) -> None:
    conversation = begin(page, bare_site, bare_inbox)
    ask(page, "hello")
    says(conversation, "Hello, this is Mei.", "hello")
    expect(page.locator(".message.agent")).to_be_visible()
    tree = page.get_by_role("region", name="Conversation").aria_snapshot()
    assert tree.count("- listitem") >= 3
    items = page.locator("#log > .message").evaluate_all("all => all.slice(1).map((e) => e.textContent)")
    assert items[0].startswith("You ")
    assert "Mei" in items[1]
    assert page.locator("#log > .message time").count() == 2


def test_one_live_region_says_typing_and_then_the_answer_once(
    page: Page, bare_site: str, bare_inbox: Inbox, console
) -> None:
    open_panel(page, bare_site, bare_inbox)
    regions = page.locator("[aria-live], [role=status], [role=log], [role=alert]")
    assert regions.count() == 1
    page.evaluate(
        """() => { window.heard = []; window.busy = []; new MutationObserver(() => heard.push(live.textContent)).observe(
          document.getElementById('live'), {childList: true});
          new MutationObserver(() => busy.push(document.querySelectorAll('.message[aria-busy=true]').length)).observe(
          document.getElementById('log'), {childList: true, subtree: true}) }"""
    )
    ask(page, "Which football team won the cup in 1974?")
    expect(page.locator(".message.bot")).to_have_count(2, timeout=15_000)
    page.locator(".again").wait_for(timeout=15_000)
    heard = page.evaluate("heard")
    assert [text for text in heard if "football" in text] == []
    assert len([text for text in heard if text == "Assistant is typing"]) == 1
    assert len([text for text in heard if "no source" in text]) == 1
    assert 1 in page.evaluate("busy")
    expect(page.locator("[aria-busy]")).to_have_count(0)
    page.reload()
    page.locator(".again").wait_for(timeout=15_000)
    page.wait_for_timeout(300)
    assert page.locator("#live").inner_text() == ""  # what is old is not read out again


def test_a_takeover_is_said(page: Page, bare_site: str, bare_inbox: Inbox, console) -> None:
    open_panel(page, bare_site, bare_inbox)
    page.locator("#person").click()
    expect(page.locator("#live")).to_contain_text("Leave an e-mail")
    conversation, mei = Conversation.every.get(), User.objects.get(username="mei")
    services.take_over(conversation_id=conversation.pk, agent=mei, shown={})
    expect(page.locator("#live")).to_have_text("Mei has joined the conversation")


def test_with_reduced_motion_nothing_moves(browser: Browser, bare_site: str, bare_inbox: Inbox) -> None:
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    conversation = begin(page, bare_site, bare_inbox)
    log = stream(conversation, "trn_still", "words")
    caret = page.locator(".caret")
    caret.wait_for()
    assert caret.evaluate("e => getComputedStyle(e).animationName") == "none"
    assert page.locator(".head").evaluate("e => getComputedStyle(e).transitionDuration") in {"0s", "1e-06s"}
    on_loop(hub().close, log)
    context.close()


def test_with_forced_colours_every_control_has_an_edge(browser: Browser, bare_site: str, bare_inbox: Inbox) -> None:
    context = browser.new_context(forced_colors="active")
    page = context.new_page()
    open_panel(page, bare_site, bare_inbox)
    for name in ("person", "close", "clip", "send"):
        assert page.locator(f"#{name}").evaluate("e => getComputedStyle(e).borderStyle") == "solid"
    context.close()


@pytest.mark.parametrize(("width", "height"), [(320, 256), (320, 568), (360, 640)])
def test_small_screens_show_everything_without_scrolling_sideways(
    browser: Browser, bare_site: str, bare_inbox: Inbox, width: int, height: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": height}, has_touch=True, is_mobile=True)
    page = context.new_page()
    open_panel(page, bare_site, bare_inbox)
    ask(page, "Which football team won the cup in 1974?")
    page.locator(".again").wait_for(timeout=15_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.get_by_role("textbox", name="Write a message").bounding_box()
    assert box["y"] + box["height"] <= height
    assert page.locator("#scroll").bounding_box()["height"] >= 44
    page.locator("#person").click()
    page.locator("#queue").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
