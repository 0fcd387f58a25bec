"""The visitor's side in a real Chromium."""

import pytest
from playwright.sync_api import Browser, Page, expect

from conversations.models import Contact, Conversation, Inbox, Message, Status, Turn
from tests.serving import serving


def open_panel(page: Page, site: str, inbox: Inbox, language: str = "en") -> None:
    page.goto(f"{site}/widget/{inbox.public_id}/?language={language}")


def ask(page: Page, text: str) -> None:
    page.get_by_role("textbox").fill(text)
    page.keyboard.press("Enter")


def answers(page: Page):
    """The bot's bubbles after the greeting."""
    return page.locator(".message.bot:not(:first-child)")


def test_a_question_is_answered_with_its_source(page: Page, site: str, inbox: Inbox, console) -> None:
    open_panel(page, site, inbox)
    ask(page, "How long do refunds take?")
    answer = answers(page).first
    expect(answer.locator("strong")).to_have_text("seven days", timeout=15_000)
    chip = answer.locator(".chip")
    expect(chip).to_be_visible(timeout=15_000)
    chip.click()
    expect(answer.locator(".source")).to_contain_text("How long do refunds take?")
    expect(answer.locator(".under").first).to_contain_text("Quoted from our documents")
    assert Message.every.filter(author="bot").count() == 1


def test_the_answer_appears_piece_by_piece_without_raw_marks(page: Page, site: str, inbox: Inbox, console) -> None:
    open_panel(page, site, inbox)
    page.evaluate(
        """() => { window.seen = []; new MutationObserver(() => {
          const bubble = document.querySelector('.message.bot:not(:first-child) .bubble');
          if (bubble) window.seen.push(bubble.textContent) }).observe(document.getElementById('log'),
          {subtree: true, childList: true, characterData: true}) }"""
    )
    ask(page, "How long do refunds take?")
    expect(page.locator(".chip").first).to_be_visible(timeout=15_000)
    seen = [text for text in page.evaluate("window.seen") if text]
    lengths = sorted({len(text) for text in seen})
    assert len(lengths) > 10
    assert not any("**" in text for text in seen)


def test_chinese_is_answered_in_chinese(page: Page, site: str, inbox: Inbox, console) -> None:
    open_panel(page, site, inbox, "zh-CN")
    expect(page.get_by_placeholder("输入消息")).to_be_visible()
    ask(page, "我的退款什么时候到账？")
    answer = answers(page).first
    expect(answer.locator("strong")).to_have_text("七个工作日", timeout=15_000)
    expect(answer).to_contain_text("摘自我们的文档", timeout=15_000)
    assert page.locator("html").get_attribute("lang") == "zh-Hans"


def test_nothing_is_stored_and_no_cookie_set_before_the_first_message(
    page: Page, site: str, inbox: Inbox, console
) -> None:
    open_panel(page, site, inbox)
    expect(page.locator(".message.bot").first).to_be_visible()
    assert page.context.cookies() == []
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    assert Conversation.every.count() == Contact.every.count() == 0

    ask(page, "thanks")
    expect(answers(page).first.locator(".bubble")).to_have_text("You are welcome.", timeout=15_000)
    (cookie,) = page.context.cookies()
    assert cookie["name"].startswith("__Host-baton-")
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "None")


def test_a_reload_keeps_the_conversation(page: Page, site: str, inbox: Inbox, console) -> None:
    open_panel(page, site, inbox)
    ask(page, "How long do refunds take?")
    expect(page.locator(".chip").first).to_be_visible(timeout=15_000)
    page.reload()
    expect(page.locator(".message.visitor")).to_have_count(1)
    expect(page.locator(".chip").first).to_be_visible()
    expect(answers(page)).to_have_count(1)


def test_a_reload_in_mid_answer_goes_on_with_the_same_answer(page: Page, site: str, inbox: Inbox, console) -> None:
    open_panel(page, site, inbox)
    ask(page, "How long do refunds take?")
    expect(answers(page).first).to_contain_text("Refunds take", timeout=15_000)
    page.reload()
    expect(page.locator(".chip").first).to_be_visible(timeout=15_000)
    expect(answers(page)).to_have_count(1)
    assert Turn.every.get().outcome == Turn.Outcome.ANSWERED


def test_stop_ends_the_answer_and_keeps_what_was_shown(page: Page, site: str, inbox: Inbox, console) -> None:
    open_panel(page, site, inbox)
    ask(page, "How long do refunds take?")
    expect(answers(page).first).to_contain_text("Refunds take", timeout=15_000)
    page.get_by_role("button", name="Stop").click()
    answer = answers(page).first
    expect(answer).to_contain_text("stopped")
    message = Message.every.get(author="bot")
    assert message.state == Message.State.STOPPED
    assert 0 < len(message.text) < 200
    assert answer.locator(".bubble").inner_text().strip() == message.text.replace("**", "").strip()


def test_a_person_can_be_asked_for_by_button_and_by_words(page: Page, site: str, inbox: Inbox, console) -> None:
    open_panel(page, site, inbox)
    page.locator("#person").click()
    expect(page.locator("#queue")).to_contain_text("You are next", timeout=15_000)
    expect(page.locator("body")).to_have_attribute("data-holder", "queued")
    page.get_by_role("button", name="Back to the assistant").click()
    expect(page.locator("body")).to_have_attribute("data-holder", "bot")

    ask(page, "I want to talk to a real person")
    expect(page.locator("body")).to_have_attribute("data-holder", "queued", timeout=15_000)
    assert Conversation.every.get().status == Status.QUEUED


def test_while_nobody_is_there_contact_details_can_be_left(page: Page, site: str, inbox: Inbox, console) -> None:
    open_panel(page, site, inbox)
    page.locator("#person").click()
    expect(page.locator("#queue")).to_contain_text("Nobody is at the desk", timeout=15_000)
    page.get_by_label("E-mail").fill("li.lei@example.com")
    page.get_by_role("button", name="Leave details").click()
    expect(page.locator("#log")).to_contain_text("We will get back to you")
    assert Contact.every.get().email == "li.lei@example.com"


def test_what_has_no_source_is_said_and_a_person_offered_but_nobody_queued(
    page: Page, site: str, inbox: Inbox, console
) -> None:
    open_panel(page, site, inbox)
    ask(page, "Which football team won the cup in 1974?")
    answer = answers(page).first
    expect(answer).to_contain_text("I have no source for this", timeout=15_000)
    expect(answer.get_by_role("button", name="Talk to a person")).to_be_visible()
    assert Conversation.every.get().status == Status.BOT


def test_enter_that_ends_an_input_methods_word_sends_nothing(page: Page, site: str, inbox: Inbox, console) -> None:
    open_panel(page, site, inbox)
    box = page.get_by_role("textbox")
    box.focus()
    cdp = page.context.new_cdp_session(page)
    cdp.send("Input.imeSetComposition", {"text": "ni hao", "selectionStart": 6, "selectionEnd": 6})
    page.keyboard.press("Enter")
    cdp.send("Input.insertText", {"text": "你好"})
    box.dispatch_event("keydown", {"key": "Enter", "keyCode": 229, "isComposing": False})
    assert Message.every.count() == 0
    assert box.input_value().startswith("你好")
    box.fill("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    assert box.input_value() == "one\ntwo"
    assert Message.every.count() == 0


def test_a_text_over_the_limit_is_kept_and_said_so(page: Page, site: str, inbox: Inbox, console) -> None:
    open_panel(page, site, inbox)
    box = page.get_by_role("textbox")
    box.fill("长" * 8_001)
    page.keyboard.press("Enter")
    expect(page.locator("#counter")).to_contain_text("at most 8000")
    assert len(box.input_value()) == 8_001
    assert Message.every.count() == 0


def test_a_cut_connection_is_said_and_the_answer_comes_whole_and_once(page: Page, site: str, inbox: Inbox) -> None:
    cut: list = []

    def between(socket) -> None:
        server = socket.connect_to_server()
        cut.append(lambda: (server.close(), socket.close(code=1011)))

    page.route_web_socket("**/ws/widget/**", between)
    open_panel(page, site, inbox)
    ask(page, "How long do refunds take?")
    expect(answers(page).first).to_contain_text("Refunds take", timeout=15_000)
    cut[0]()
    expect(page.locator("#banner")).to_be_visible()
    expect(page.locator(".chip").first).to_be_visible(timeout=15_000)
    expect(page.locator("#banner")).to_be_hidden()
    expect(answers(page)).to_have_count(1)
    expect(answers(page).first).to_contain_text("cannot speed up.")
    expect(page.locator(".message.visitor")).to_have_count(1)


def test_a_screen_reader_hears_the_finished_answer_once(page: Page, site: str, inbox: Inbox, console) -> None:
    open_panel(page, site, inbox)
    page.evaluate(
        """() => { window.heard = []; new MutationObserver(() =>
          window.heard.push(document.getElementById('live').textContent)).observe(document.getElementById('live'),
          {childList: true}) }"""
    )
    ask(page, "How long do refunds take?")
    expect(page.locator(".chip").first).to_be_visible(timeout=15_000)
    heard = page.evaluate("window.heard")
    assert len([text for text in heard if "typing" in text]) == 1
    assert len([text for text in heard if "seven days" in text]) == 1


class HostPage:
    """A shop's site on another origin, with a policy and a style sheet that make life hard for anything embedded."""

    def __init__(self, chat: str, inbox: str) -> None:
        self.page = (
            f'<!doctype html><html lang="en"><head><title>Shop</title><link rel="stylesheet" href="/hostile.css"></head>'
            f'<body><h1>Shop</h1><script src="{chat}/widget/loader.js" data-inbox="{inbox}" async></script></body></html>'
        )
        self.policy = (
            f"default-src 'none'; script-src {chat}; style-src 'self'; frame-src {chat}; "
            "require-trusted-types-for 'script'; trusted-types 'none'"
        )

    async def __call__(self, scope, receive, send) -> None:
        css = scope["path"] == "/hostile.css"
        body = (
            "* { display: block !important; font-size: 40px !important; color: red !important }" if css else self.page
        )
        headers = [(b"content-type", b"text/css" if css else b"text/html")]
        if not css:
            headers.append((b"content-security-policy", self.policy.encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body.encode()})


def test_on_a_strict_and_hostile_site_one_script_line_is_enough(page: Page, site: str, inbox: Inbox, console) -> None:
    chat = site.replace("127.0.0.1", "localhost")  # another site for the browser: third-party cookies and storage
    with serving(HostPage(chat, inbox.public_id)) as port:
        inbox.allowed_domains = [f"http://127.0.0.1:{port}"]
        inbox.save()
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(f"http://127.0.0.1:{port}/")
        launcher = page.get_by_role("button", name="Open chat")
        expect(launcher).to_be_visible()
        assert [url for url in requests if chat in url] == [f"{chat}/widget/loader.js"]
        assert launcher.bounding_box()["width"] == 56

        launcher.click()
        frame = page.frame_locator("baton-chat iframe")
        frame.get_by_role("textbox").fill("thanks")
        frame.get_by_role("textbox").press("Enter")
        expect(frame.locator(".message.bot").nth(1)).to_contain_text("You are welcome", timeout=15_000)
        page.reload()
        page.get_by_role("button", name="Open chat").click()
        expect(page.frame_locator("baton-chat iframe").locator(".message.visitor")).to_have_count(1, timeout=15_000)


def test_a_site_that_is_not_on_the_list_cannot_show_the_widget(page: Page, site: str, inbox: Inbox) -> None:
    chat = site.replace("127.0.0.1", "localhost")
    with serving(HostPage(chat, inbox.public_id)) as port:
        refused: list[str] = []
        page.on("console", lambda message: refused.append(message.text))
        page.goto(f"http://127.0.0.1:{port}/")
        page.get_by_role("button", name="Open chat").click()
        page.wait_for_timeout(500)
        assert any("frame-ancestors" in text for text in refused)


def test_escape_closes_and_gives_the_focus_back(page: Page, site: str, inbox: Inbox, console) -> None:
    with serving(HostPage(site, inbox.public_id)) as port:
        inbox.allowed_domains = [f"http://127.0.0.1:{port}"]
        inbox.save()
        page.goto(f"http://127.0.0.1:{port}/")
        page.get_by_role("button", name="Open chat").click()
        box = page.frame_locator("baton-chat iframe").get_by_role("textbox")
        expect(box).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Open chat")).to_be_focused()
        assert page.get_by_role("button", name="Open chat").get_attribute("aria-expanded") == "false"


def test_the_cookie_refused_the_chat_still_works_for_as_long_as_the_page(
    browser: Browser, site: str, inbox: Inbox, settings
) -> None:
    """A plain http address that is not this machine's own: browsers refuse secure cookies there."""
    settings.ALLOWED_HOSTS = ["chat.test"]
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{site.replace('127.0.0.1', 'chat.test')}/widget/{inbox.public_id}/")
    page.get_by_role("textbox").fill("thanks")
    page.keyboard.press("Enter")
    expect(page.locator(".message.bot").nth(1)).to_contain_text("You are welcome", timeout=15_000)
    expect(page.locator("#log")).to_contain_text("Your browser keeps no data")
    assert context.cookies() == []
    context.close()


@pytest.mark.parametrize("width", [320, 400, 1280])
def test_it_fits_every_width(page: Page, site: str, inbox: Inbox, width: int, console) -> None:
    page.set_viewport_size({"width": width, "height": 560})
    open_panel(page, site, inbox)
    ask(page, "How long do refunds take?")
    expect(page.locator(".chip").first).to_be_visible(timeout=15_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
