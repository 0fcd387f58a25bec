"""Dictating: off by default, only where the browser can, and a refusal is said in words."""

import pytest
from playwright.sync_api import Page, expect

from conversations.models import Inbox, Message
from tests.pages.test_widget import open_panel

# A recogniser that hears what the test says: `hear(text, …)` its results so far, `fail(code)` an error, `quiet()` the end.
EAR = """
window.ears = [];
window.SpeechRecognition = class {
  start() { window.ears.push(this); }
  stop() { window.quiet(this); }
  abort() { this.aborted = true; this.onend?.(); }
};
window.hear = (...texts) => ears.at(-1).onresult({ results: texts.map((transcript) => [{ transcript }]) });
window.fail = (error) => { ears.at(-1).onerror({ error }); ears.at(-1).onend(); };
window.quiet = (ear) => (ear ?? ears.at(-1)).onend();
"""


@pytest.fixture
def talking(page: Page, bare_site: str, bare_inbox: Inbox, console) -> Page:
    bare_inbox.takes_speech = True
    bare_inbox.save()
    page.add_init_script(EAR)
    open_panel(page, bare_site, bare_inbox)
    return page


def microphone(page: Page):
    return page.get_by_role("button", name="Dictate")


def test_what_is_said_waits_in_the_text_box_until_it_is_sent(talking: Page) -> None:
    box = talking.get_by_role("textbox")
    box.fill("Hello,")
    microphone(talking).click()
    expect(microphone(talking)).to_have_attribute("aria-pressed", "true")
    expect(talking.locator("#live")).to_have_text("Listening…")
    assert talking.evaluate("[ears.at(-1).lang, ears.at(-1).interimResults]") == ["en-US", True]
    talking.evaluate("hear('where is')")
    talking.evaluate("hear('where is', ' my parcel')")
    expect(box).to_have_value("Hello, where is my parcel")
    assert Message.every.count() == 0
    microphone(talking).click()
    expect(microphone(talking)).to_have_attribute("aria-pressed", "false")
    expect(box).to_be_focused()
    box.press("Enter")
    expect(talking.locator(".message.visitor .bubble")).to_have_text("Hello, where is my parcel")


def test_sending_and_typing_end_it_and_what_is_heard_after_counts_no_more(talking: Page) -> None:
    box = talking.get_by_role("textbox")
    microphone(talking).click()
    talking.evaluate("hear('my parcel')")
    talking.locator("#send").click()
    expect(microphone(talking)).to_have_attribute("aria-pressed", "false")
    assert talking.evaluate("ears.at(-1).aborted")
    talking.evaluate("hear('my parcel please')")
    expect(box).to_have_value("")
    microphone(talking).click()
    box.press("a")
    expect(microphone(talking)).to_have_attribute("aria-pressed", "false")
    expect(box).to_have_value("a")


def test_what_came_into_the_box_meanwhile_stays(talking: Page) -> None:
    box = talking.get_by_role("textbox")
    microphone(talking).click()
    talking.evaluate("hear('where is')")
    talking.evaluate("document.querySelector('textarea').value = 'pasted by the mouse'")
    talking.evaluate("hear('where is my parcel')")
    expect(box).to_have_value("pasted by the mouse")
    expect(microphone(talking)).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("not-allowed", "The microphone may not be used here"),
        ("service-not-allowed", "The microphone may not be used here"),
        ("audio-capture", "No microphone was found"),
        ("network", "Your words were not understood"),
        ("no-speech", "Your words were not understood"),
    ],
)
def test_what_went_wrong_is_said_and_nothing_typed_is_lost(talking: Page, code: str, words: str) -> None:
    talking.get_by_role("textbox").fill("my order")
    microphone(talking).click()
    talking.evaluate("(code) => fail(code)", code)
    expect(talking.locator(".notice").last).to_contain_text(words)
    expect(microphone(talking)).to_have_attribute("aria-pressed", "false")
    expect(talking.get_by_role("textbox")).to_have_value("my order")


def test_the_browsers_own_refusal_is_said(page: Page, bare_site: str, bare_inbox: Inbox) -> None:
    """Nobody grants a microphone here, and this browser has no maker to send speech to."""
    bare_inbox.takes_speech = True
    bare_inbox.save()
    open_panel(page, bare_site, bare_inbox)
    microphone(page).click()
    expect(page.locator(".notice").last).to_contain_text("type instead", timeout=15_000)
    expect(microphone(page)).to_have_attribute("aria-pressed", "false")


def test_there_is_no_button_where_it_is_off_or_the_browser_cannot(
    page: Page, bare_site: str, bare_inbox: Inbox, console
) -> None:
    open_panel(page, bare_site, bare_inbox)
    expect(page.get_by_role("textbox")).to_be_visible()
    page.wait_for_load_state("networkidle")
    expect(page.locator("#mic")).to_be_hidden()
    bare_inbox.takes_speech = True
    bare_inbox.save()
    page.add_init_script("delete window.SpeechRecognition; delete window.webkitSpeechRecognition")
    open_panel(page, bare_site, bare_inbox)
    page.wait_for_load_state("networkidle")
    expect(page.locator("#mic")).to_be_hidden()


def test_chinese_is_heard_as_chinese(page: Page, bare_site: str, bare_inbox: Inbox, console) -> None:
    bare_inbox.takes_speech = True
    bare_inbox.save()
    page.add_init_script(EAR)
    for tag, name, heard_as in (("zh-CN", "语音输入", "zh-CN"), ("zh-TW", "語音輸入", "zh-TW")):
        open_panel(page, bare_site, bare_inbox, tag)
        page.get_by_role("button", name=name).click()
        page.wait_for_function("ears.length > 0")
        assert page.evaluate("ears.at(-1).lang") == heard_as
