from playwright.sync_api import Page, expect

from conversations.models import Inbox, Message


def open_panel(page: Page, site: str, inbox: Inbox, language: str = "en") -> None:
    page.goto(f"{site}/widget/{inbox.public_id}/?language={language}")


def ask(page: Page, text: str) -> None:
    page.get_by_role("textbox").fill(text)
    page.keyboard.press("Enter")


def test_a_question_is_answered_with_its_source(page: Page, site: str, inbox: Inbox, console) -> None:
    open_panel(page, site, inbox)
    ask(page, "How long do refunds take?")
    answer = page.locator(".message.bot").nth(1)
    expect(answer.locator("strong")).to_have_text("seven days", timeout=15_000)
    chip = answer.get_by_role("button", name="Source 1")
    expect(chip).to_be_visible(timeout=15_000)
    chip.click()
    expect(answer.locator(".source")).to_contain_text("How long do refunds take?")
    expect(answer.locator(".under").first).to_contain_text("Quoted from our documents")
    page.screenshot(path="/tmp/exp/widget1.png")
    assert Message.every.filter(author="bot").count() == 1
