"""What a visitor does besides asking: fills a form, sends files, rates, leaves a message."""

import io

import pytest
from PIL import Image
from playwright.sync_api import Page, WebSocketRoute, expect

from conversations import services
from conversations.models import Attachment, Contact, Conversation, Feedback, Inbox, Message, Rating, Status
from tests.pages.conftest import sign_in
from tests.pages.test_widget import ask, open_panel
from tests.pages.test_widget_line import begin
from workspace.models import User

FORM = [
    {"key": "name", "label": {"en": "Name", "zh": "姓名"}},
    {"key": "email", "kind": "email", "required": True, "label": {"en": "E-mail", "zh": "邮箱"}},
    {
        "key": "topic",
        "kind": "choice",
        "required": True,
        "label": {"en": "Topic", "zh": "主题"},
        "choices": [{"en": "Order", "zh": "订单"}, {"en": "Repair", "zh": "维修"}],
    },
]


def picture(width: int = 640, height: int = 480) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (68, 81, 214)).save(out, "PNG")
    return out.getvalue()


# --- the form before the chat ---
def test_a_form_before_the_chat_says_at_the_field_what_is_missing(
    page: Page, bare_site: str, bare_inbox: Inbox, console
) -> None:
    bare_inbox.form = FORM
    bare_inbox.save()
    open_panel(page, bare_site, bare_inbox)
    expect(page.locator("#composer")).to_be_hidden()
    email = page.get_by_label("E-mail")
    assert [email.get_attribute(name) for name in ("autocomplete", "aria-required", "type")] == [
        "email",
        "true",
        "email",
    ]
    email.fill("nobody")
    page.get_by_role("button", name="Start the chat").click()
    topic = page.get_by_label("Topic")
    expect(topic).to_be_focused()
    expect(topic).to_have_attribute("aria-invalid", "true")
    expect(topic).to_have_accessible_description("Please fill this in.")
    topic.select_option("Repair")
    page.get_by_role("button", name="Start the chat").click()
    expect(email).to_have_accessible_description("Please write an e-mail address such as name@example.com.")
    expect(email).to_have_value("nobody")
    assert Contact.every.count() == 0
    console.clear()  # the browser's own line about the answer 400

    email.fill("li.lei@example.com")
    page.get_by_label("Name").fill("Li Lei")
    page.get_by_role("button", name="Start the chat").click()
    expect(page.get_by_role("textbox", name="Write a message")).to_be_focused()
    contact = Contact.every.get()
    assert (contact.name, contact.email, contact.details) == ("Li Lei", "li.lei@example.com", {"topic": "Repair"})
    page.reload()
    expect(page.locator("#composer")).to_be_visible()
    expect(page.locator("#form")).to_be_hidden()


def test_the_form_speaks_chinese(page: Page, bare_site: str, bare_inbox: Inbox, console) -> None:
    bare_inbox.form = FORM
    bare_inbox.save()
    open_panel(page, bare_site, bare_inbox, "zh")
    page.get_by_role("button", name="开始聊天").click()
    expect(page.get_by_label("邮箱")).to_have_accessible_description("请填写此项。")
    assert page.get_by_label("主题").locator("option").all_inner_texts() == ["–", "订单", "维修"]


# --- opening hours ---
@pytest.mark.parametrize(("language", "words"), [("en", "We are closed right now"), ("zh", "目前不在服务时间")])
def test_outside_the_hours_that_is_said_and_an_address_taken(
    page: Page, bare_site: str, bare_inbox: Inbox, language: str, words: str, console
) -> None:
    bare_inbox.hours = {"time_zone": "UTC", "weekly": {}}
    bare_inbox.save()
    open_panel(page, bare_site, bare_inbox, language)
    page.locator("#person").click()
    card = page.locator("#queue")
    expect(card).to_contain_text(words)
    expect(page.locator("#live")).not_to_be_empty()
    card.locator("[type=email]").fill("li.lei@example.com")
    card.locator("form button").click()
    expect(card.locator("form")).to_have_count(0)
    assert Contact.every.get().email == "li.lei@example.com"
    card.locator(".bot").click()
    expect(card).to_be_hidden()
    expect(page.locator("body")).to_have_attribute("data-holder", "bot")


def test_when_it_opens_again_is_said_in_the_visitors_time(
    page: Page, bare_site: str, bare_inbox: Inbox, console
) -> None:
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    bare_inbox.hours = {"time_zone": "UTC", "weekly": {day: [["00:00", "00:01"], ["23:59", "24:00"]] for day in days}}
    bare_inbox.save()
    open_panel(page, bare_site, bare_inbox)
    page.locator("#person").click()
    expect(page.locator("#queue")).to_contain_text("We are back")


# --- what one thinks ---
def test_an_answer_is_judged_with_a_reason_if_one_likes(page: Page, site: str, inbox: Inbox, console) -> None:
    open_panel(page, site, inbox)
    ask(page, "How long do refunds take?")
    down = page.get_by_role("button", name="Not helpful")
    down.click(timeout=15_000)
    reason = page.get_by_role("textbox", name="What was wrong?")
    expect(reason).to_be_focused()
    reason.fill("I asked about exchanges")
    page.keyboard.press("Enter")
    expect(page.locator(".reason")).to_have_text("Thank you.")
    expect(down).to_have_attribute("aria-pressed", "true")
    page.wait_for_timeout(200)
    kept = Feedback.every.get()
    assert (kept.value, kept.reason) == (-1, "I asked about exchanges")
    page.reload()
    expect(page.get_by_role("button", name="Not helpful")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Helpful", exact=True).click()
    expect(page.get_by_role("button", name="Not helpful")).to_have_attribute("aria-pressed", "false")
    page.wait_for_timeout(200)
    assert Feedback.every.get().value == 1


def test_at_the_end_a_rating_is_asked_for_once(page: Page, bare_site: str, bare_inbox: Inbox, console) -> None:
    conversation, mei = begin(page, bare_site, bare_inbox), User.objects.get(username="mei")
    services.resolve(conversation_id=conversation.pk, agent=mei)
    card = page.locator("#rating")
    expect(card.get_by_role("group", name="How was this conversation?")).to_be_visible()
    expect(card.get_by_role("button", name="Send rating")).to_be_disabled()
    card.get_by_role("button", name="4 of 5").click()
    card.get_by_role("textbox").fill("Quick and kind")
    card.get_by_role("button", name="Send rating").click()
    expect(card).to_be_hidden()
    expect(page.get_by_role("textbox", name="Write a message")).to_be_focused()
    page.wait_for_timeout(300)
    rating = Rating.every.get()
    assert (rating.score, rating.comment, rating.agent) == (4, "Quick and kind", mei)
    page.reload()
    expect(page.locator("body")).to_have_attribute("data-holder", "resolved")
    page.wait_for_timeout(500)
    expect(card).to_be_hidden()


def test_a_rating_can_be_put_aside_and_is_not_asked_for_where_it_is_off(
    page: Page, bare_site: str, bare_inbox: Inbox, console
) -> None:
    conversation, mei = begin(page, bare_site, bare_inbox), User.objects.get(username="mei")
    services.resolve(conversation_id=conversation.pk, agent=mei)
    page.get_by_role("button", name="Not now").click()
    expect(page.locator("#rating")).to_be_hidden()
    page.wait_for_timeout(300)
    assert Rating.every.get().score is None
    Rating.every.all().delete()
    bare_inbox.asks_rating = False
    bare_inbox.save()
    page.reload()
    expect(page.locator("body")).to_have_attribute("data-holder", "resolved")
    page.wait_for_timeout(500)
    expect(page.locator("#rating")).to_be_hidden()


def test_suggested_questions_are_buttons_that_go_once_used(
    page: Page, bare_site: str, bare_inbox: Inbox, console
) -> None:
    bare_inbox.texts = {"suggestions": {"en": "Where is my parcel?\nCan I return it?\n"}}
    bare_inbox.save()
    open_panel(page, bare_site, bare_inbox)
    page.get_by_role("button", name="Can I return it?").click()
    expect(page.locator(".message.visitor .bubble")).to_have_text("Can I return it?")
    expect(page.get_by_role("button", name="Where is my parcel?")).to_have_count(0)


# --- files ---
def test_a_picture_is_sent_shown_and_opened_large(page: Page, bare_site: str, bare_inbox: Inbox, console) -> None:
    open_panel(page, bare_site, bare_inbox)
    clip = page.get_by_role("button", name="Send a file")
    expect(clip).to_have_accessible_description("Pictures (JPEG, PNG, WebP), PDF or text, up to 10 MB")
    page.locator("#picker").set_input_files({"name": "broken burr.png", "mimeType": "image/png", "buffer": picture()})
    shown = page.get_by_role("button", name="Open broken burr.png large")
    expect(shown).to_be_visible(timeout=10_000)
    expect(page.locator(".going")).to_have_count(0)
    expect(page.locator("#log")).to_contain_text("The assistant cannot look at files", timeout=15_000)
    assert shown.locator("img").evaluate("e => e.decode().then(() => e.naturalWidth)") == 640
    shown.click()
    box = page.get_by_role("dialog", name="broken burr.png")
    expect(box).to_be_visible()
    page.keyboard.press("Escape")
    expect(box).to_have_count(0)
    expect(shown).to_be_focused()
    page.reload()
    expect(page.get_by_role("button", name="Open broken burr.png large")).to_be_visible()
    assert Attachment.every.count() == 1


def test_that_the_bot_cannot_see_is_said_of_a_file_that_was_there_before_the_line(
    page: Page, bare_site: str, bare_inbox: Inbox, console
) -> None:
    """It is told as what came before then, for the upload was quicker than the page's first connection."""
    held: list[tuple[WebSocketRoute, str | bytes]] = []

    def hold(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        socket.on_message(lambda message: held.append((server, message)))

    page.route_web_socket("**/ws/widget/**", hold)
    open_panel(page, bare_site, bare_inbox)
    page.locator("#picker").set_input_files({"name": "burr.png", "mimeType": "image/png", "buffer": picture()})
    for _ in range(100):
        page.wait_for_timeout(100)
        if held and Attachment.every.count():
            break
    while held:
        server, message = held.pop(0)
        server.send(message)
    expect(page.get_by_role("button", name="Open burr.png large")).to_be_visible(timeout=10_000)
    expect(page.locator("#log")).to_contain_text("The assistant cannot look at files")


def test_a_picture_can_be_pasted_and_a_file_dropped(page: Page, bare_site: str, bare_inbox: Inbox, console) -> None:
    begin(page, bare_site, bare_inbox)
    make = """([type, event, name, mime, bytes]) => { const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(bytes)], name, {type: mime}));
      const init = {bubbles: true, cancelable: true};
      document.querySelector("textarea").dispatchEvent(event === "paste"
        ? new ClipboardEvent(type, {...init, clipboardData: data})
        : new DragEvent(type, {...init, dataTransfer: data})) }"""
    page.evaluate(make, ["paste", "paste", "image.png", "image/png", list(picture(20, 20))])
    expect(page.get_by_role("button", name="Open image.png large")).to_be_visible(timeout=10_000)
    page.evaluate(make, ["dragenter", "drag", "log.txt", "text/plain", list(b"a line")])
    expect(page.locator("#drop")).to_contain_text("up to 10 MB")
    page.evaluate(make, ["drop", "drag", "log.txt", "text/plain", list(b"a line")])
    expect(page.locator("#drop")).to_be_hidden()
    link = page.get_by_role("link", name="log.txt")
    expect(link).to_be_visible(timeout=10_000)
    with page.expect_download() as download:
        link.click()
    assert download.value.path().read_bytes() == b"a line"


def test_what_may_not_be_sent_is_said_before_and_by_the_server(
    page: Page, bare_site: str, bare_inbox: Inbox, settings, console
) -> None:
    settings.VISITOR_FILE_MAX_BYTES = 20_000
    begin(page, bare_site, bare_inbox)
    picker = page.locator("#picker")
    picker.set_input_files({"name": "large.txt", "mimeType": "text/plain", "buffer": b"a" * 20_001})
    expect(page.locator(".notice.bad")).to_have_text("large.txt is too large: at most 20 KB. Nothing was sent.")
    picker.set_input_files({"name": "setup.exe", "mimeType": "application/x-msdownload", "buffer": b"MZ"})
    expect(page.locator(".notice.bad").last).to_contain_text("setup.exe cannot be sent")
    picker.set_input_files({"name": "not really.png", "mimeType": "image/png", "buffer": b"<svg onload=alert(1)>"})
    expect(page.locator(".message .wrong")).to_contain_text("Only pictures", timeout=10_000)
    assert Attachment.every.count() == 0
    page.get_by_role("button", name="Do not send not really.png").click()
    expect(page.locator(".going")).to_have_count(0)
    console.clear()  # the browser's own line about the answer 400


def test_a_file_on_its_way_can_be_stopped(page: Page, bare_site: str, bare_inbox: Inbox) -> None:
    begin(page, bare_site, bare_inbox)
    page.route("**/files/?*", lambda route: None)  # never answered
    page.locator("#picker").set_input_files({"name": "slow.txt", "mimeType": "text/plain", "buffer": b"slow"})
    expect(page.get_by_role("progressbar", name="Sending slow.txt")).to_be_visible()
    page.get_by_role("button", name="Do not send slow.txt").click()
    expect(page.locator(".message.visitor")).to_have_count(0)
    assert Attachment.every.count() == 0


def test_agents_see_files_and_what_was_thought_at_the_desk(
    page: Page, bare_site: str, bare_inbox: Inbox, console
) -> None:
    conversation = begin(page, bare_site, bare_inbox)
    page.locator("#picker").set_input_files({"name": "burr.png", "mimeType": "image/png", "buffer": picture()})
    expect(page.get_by_role("button", name="Open burr.png large")).to_be_visible(timeout=10_000)
    desk = page.context.new_page()
    sign_in(desk, bare_site)
    desk.goto(f"{bare_site}/desk/{conversation.public_id}/")
    shown = desk.get_by_role("img", name="burr.png")
    expect(shown).to_be_visible()
    assert shown.evaluate("e => e.decode().then(() => e.naturalWidth)") == 640
    assert desk.evaluate("document.documentElement.scrollWidth <= innerWidth")


# --- by itself, and without JavaScript ---
def test_the_chat_is_a_page_of_its_own_that_prints(page: Page, bare_site: str, bare_inbox: Inbox, console) -> None:
    page.goto(f"{bare_site}/chat/{bare_inbox.public_id}/")
    ask(page, "hello")
    expect(page.locator(".message.bot")).to_have_count(2, timeout=15_000)
    expect(page.get_by_role("button", name="Close chat")).to_have_count(0)
    page.emulate_media(media="print")
    expect(page.locator("#composer")).to_be_hidden()
    expect(page.locator(".message.bot").last).to_be_visible()
    assert page.locator("#scroll").evaluate("e => getComputedStyle(e).overflowY") == "visible"


def test_without_javascript_a_message_can_be_left(browser, bare_site: str, bare_inbox: Inbox) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{bare_site}/widget/{bare_inbox.public_id}/")
    expect(page.get_by_role("link", name="leave a message")).to_have_attribute("href", f"/chat/{bare_inbox.public_id}/")
    page.goto(f"{bare_site}/chat/{bare_inbox.public_id}/?language=zh")
    expect(page.locator("#composer")).to_be_hidden()
    page.get_by_label("邮箱").fill("li.lei@example.com")
    page.get_by_label("留言").fill("水壶什么时候有货？")
    page.get_by_role("button", name="留言").click()
    expect(page.locator(".without")).to_contain_text("留言已收到")
    conversation = Conversation.every.get()
    assert conversation.status == Status.QUEUED
    assert Message.every.get().text == "水壶什么时候有货？"
    assert conversation.contact.email == "li.lei@example.com"
    context.close()


def test_the_owners_disclaimer_stands_below_the_text_box(
    page: Page, bare_site: str, bare_inbox: Inbox, console
) -> None:
    bare_inbox.texts = {"disclaimer": {"en": "AI can be wrong.", "zh": "AI 可能出错。"}}
    bare_inbox.save()
    open_panel(page, bare_site, bare_inbox)
    expect(page.locator(".disclaimer")).to_have_text("AI can be wrong.")
    expect(page.locator(".message.bot .by")).to_have_text("Automated assistant")
    open_panel(page, bare_site, bare_inbox, "zh")
    expect(page.locator(".disclaimer")).to_have_text("AI 可能出错。")
