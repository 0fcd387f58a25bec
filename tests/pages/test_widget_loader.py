"""The loader on a shop's own site: what it costs, what it keeps, what `window.Baton` does."""

import datetime as dt
import gzip
import re
from pathlib import Path

import jwt
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from conversations import services
from conversations.models import Contact, Conversation, Inbox, Message
from tests.pages.test_widget import HostPage
from tests.pages.test_widget_speech import EAR
from tests.serving import serving
from workspace.chinese import simplified
from workspace.models import User

STATIC = Path(__file__).parents[2] / "static"
LAZY = {
    *("card.js", "catch.js", "copies.js", "earlier.js", "files.js", "form.js", "identify.js", "queue.js", "rating.js"),
    *("reason.js", "speech.js", "theme.js", "variants.js"),
}
SECRET = "a secret of the shop that is long enough"


class Shop(HostPage):
    """A shop's page of the test's own making, with no policy of its own."""

    def __init__(self, chat: str, inbox: str, *, head: str = "", attributes: str = "", html: str = 'lang="en"') -> None:
        super().__init__(chat, inbox)
        script = f'<script src="{chat}/widget/loader.js" data-inbox="{inbox}" {attributes} async></script>'
        self.page = f"<!doctype html><html {html}><head><title>Shop</title>{head}</head><body><h1>Shop</h1>{script}</body></html>"
        self.policy = "default-src * 'unsafe-inline' 'unsafe-eval'"


@pytest.fixture
def shop(bare_site: str, bare_inbox: Inbox):
    """Serves a shop's page and gives its address."""
    running = []

    def open_shop(chat: str = bare_site, **page: str) -> str:
        server = serving(Shop(chat, bare_inbox.public_id, **page))
        port = server.__enter__()
        running.append(server)
        bare_inbox.allowed_domains = [*bare_inbox.allowed_domains, f"http://127.0.0.1:{port}"]
        bare_inbox.save()
        return f"http://127.0.0.1:{port}/"

    yield open_shop
    for server in running:
        server.__exit__(None, None, None)


def launcher(page: Page):
    return page.locator("baton-chat button")


def panel(page: Page):
    return page.frame_locator("baton-chat iframe")


def packed(path: Path) -> int:
    return len(gzip.compress(path.read_bytes(), 9))


def test_the_weight() -> None:
    """What a visitor loads: each file packed by itself, as it travels."""
    assert packed(STATIC / "widget" / "loader.js") <= 4 * 1024
    shared = [
        STATIC / "shared" / name
        for name in ("safe.js", "socket.js", "stream.js", "times.js", "tokens.css", "prose.css")
    ]
    modules = [path for path in (STATIC / "widget" / "panel").glob("*.js") if path.name not in LAZY]
    first = sum(map(packed, [*shared, *modules, STATIC / "widget" / "panel.css"]))
    assert first <= 25 * 1024, first


def test_every_module_of_the_panel_is_asked_for_at_once_not_one_after_the_other() -> None:
    first, needed, unread = (
        STATIC / "widget" / "panel" / "main.js",
        set[Path](),
        [STATIC / "widget" / "panel" / "main.js"],
    )
    while unread:
        module = unread.pop()
        for name in re.findall(r'^(?:import|export)\b[^;(]*?"(\.[^"]+\.js)"', module.read_text(), re.MULTILINE):
            found = (module.parent / name).resolve()
            if found not in needed:
                needed.add(found)
                unread.append(found)
    page = (STATIC.parent / "templates" / "widget" / "frame.html").read_text()
    ahead = re.findall(r"""modulepreload" href="{% static '([^']+)'""", page)
    assert {STATIC / name for name in ahead} == needed - {first}


def test_before_a_click_there_is_one_request_and_nothing_kept(page: Page, shop, bare_site: str, console) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(shop())
    expect(launcher(page)).to_be_visible()
    page.wait_for_timeout(800)
    assert [url for url in requests if url.startswith(bare_site)] == [f"{bare_site}/widget/loader.js"]
    assert page.context.cookies() == []
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    assert len(page.frames) == 1


def test_the_panel_asks_only_our_own_server(page: Page, shop, bare_site: str, console) -> None:
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(re.sub(r"^(blob|data):.*", "", request.url).split("/")[2]))
    address = shop()
    page.goto(address)
    launcher(page).click()
    expect(panel(page).get_by_role("textbox")).to_be_focused()
    assert hosts == {bare_site.split("/")[2], address.split("/")[2]}


def test_hostile_styles_change_neither_launcher_nor_panel(page: Page, shop, bare_site: str, console) -> None:
    looks = []
    hostile = (
        "<style>* { display: block !important; font: 40px serif !important; color: red !important; "
        "border: 9px solid !important } button { width: 300px !important } baton-chat { opacity: .1 }</style>"
    )
    for head in ("", hostile):
        page.goto(shop(head=head))
        launcher(page).click()
        expect(panel(page).get_by_role("textbox")).to_be_focused()
        style = (
            "e => { const s = getComputedStyle(e); "
            "return [s.width, s.height, s.color, s.fontSize, s.display, s.borderWidth, s.borderRadius] }"
        )
        looks.append(
            (
                launcher(page).evaluate(style),
                panel(page).locator("h1").evaluate(style),
                page.locator("baton-chat iframe").evaluate(style),
            )
        )
    assert looks[0] == looks[1]
    assert page.locator("baton-chat").evaluate("e => getComputedStyle(e).position") == "fixed"


def test_no_address_and_no_message_to_the_site_carries_the_session_or_words(
    page: Page, shop, bare_site: str, console
) -> None:
    chat = bare_site.replace("127.0.0.1", "localhost")  # another site for the browser
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.add_init_script(
        "window.told = []; addEventListener('message', (e) => window.told.push(JSON.stringify(e.data)))"
    )
    page.goto(shop(chat))
    launcher(page).click()
    panel(page).get_by_role("textbox").fill("my secret question")
    panel(page).get_by_role("textbox").press("Enter")
    panel(page).locator(".again").wait_for(timeout=15_000)
    told = page.evaluate("window.told")
    assert any("message" in each for each in told), told
    for text in [*urls, *told]:
        assert "eyJ" not in text
        assert "secret" not in text


def test_the_launcher_tells_its_state_and_gives_the_focus_back(page: Page, shop, console) -> None:
    page.goto(shop())
    expect(launcher(page)).to_have_attribute("aria-expanded", "false")
    expect(launcher(page)).to_have_attribute("aria-haspopup", "dialog")
    launcher(page).focus()
    page.keyboard.press("Enter")
    expect(launcher(page)).to_have_attribute("aria-expanded", "true")
    expect(panel(page).get_by_role("textbox")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Escape")
    expect(launcher(page)).to_be_focused()
    expect(page.locator("baton-chat iframe")).to_be_hidden()


def test_on_a_page_from_right_to_left_everything_is_mirrored(page: Page, shop, console) -> None:
    page.goto(shop(html='lang="ar" dir="rtl"'))
    box = launcher(page).bounding_box()
    assert box["x"] < 100
    launcher(page).click()
    frame = panel(page)
    expect(frame.get_by_role("textbox")).to_be_focused()
    assert frame.locator("html").get_attribute("dir") == "rtl"
    frame.get_by_role("textbox").fill("你好：请问")
    frame.get_by_role("textbox").press("Enter")
    frame.locator(".again").wait_for(timeout=15_000)
    assert frame.locator(".bubble").evaluate_all("all => all.every((e) => e.dir === 'auto')")
    assert frame.locator(".bubble.prose p").evaluate_all("all => all.length && all.every((e) => e.dir === 'auto')")
    own, answer = frame.locator(".message.visitor .bubble"), frame.locator(".message.bot .bubble").last
    assert own.bounding_box()["x"] < answer.bounding_box()["x"] + 1


def test_a_site_sets_accent_radius_side_and_layer(page: Page, shop, bare_inbox: Inbox, console) -> None:
    page.goto(
        shop(head="<style>baton-chat { --baton-z: 7; --baton-radius: 4px }</style>", attributes='data-accent="#0f7b57"')
    )
    assert launcher(page).evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(15, 123, 87)"
    assert page.locator("baton-chat").evaluate("e => getComputedStyle(e).zIndex") == "7"
    launcher(page).click()
    frame = panel(page)
    expect(frame.get_by_role("textbox")).to_be_focused()
    frame.get_by_role("textbox").fill("x")
    expect(frame.locator("#send")).to_have_css("background-color", "rgb(15, 123, 87)")
    page.evaluate("Baton.setTheme({accent: '#ffcc00', position: 'left', radius: 8, colorScheme: 'dark'})")
    expect(frame.locator("html")).to_have_css("color-scheme", "dark")
    assert launcher(page).bounding_box()["x"] < 100
    expect(page.locator("baton-chat iframe")).to_have_css("border-radius", "8px")
    # a yellow on which white cannot be read was darkened, in the panel and on the launcher
    light = """e => { const part = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
      const [r, g, b] = getComputedStyle(e).backgroundColor.match(/\\d+/g).map(Number);
      return 1.05 / (0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b) + 0.05) }"""
    page.wait_for_timeout(300)
    assert frame.locator("#send").evaluate(light) >= 4.5
    assert launcher(page).evaluate(light) >= 4.5


def test_unread_messages_are_counted_kept_and_cleared(page: Page, shop, bare_inbox: Inbox, console) -> None:
    page.goto(shop())
    launcher(page).click()
    panel(page).get_by_role("textbox").fill("hello")
    panel(page).get_by_role("textbox").press("Enter")
    panel(page).locator(".again").wait_for(timeout=15_000)
    page.keyboard.press("Escape")
    conversation, mei = Conversation.every.get(), User.objects.get(username="mei")
    services.take_over(conversation_id=conversation.pk, agent=mei, shown={})
    for number in range(3):
        services.reply(conversation_id=conversation.pk, agent=mei, text=f"{number}", client_id=f"{number}")
    expect(launcher(page)).to_have_attribute("aria-label", "Open chat (3 unread)")
    expect(page.locator("baton-chat span")).to_have_text("3")
    assert page.title() == "Shop"

    page.reload()
    expect(page.locator("baton-chat span")).to_have_text("3")
    services.reply(conversation_id=conversation.pk, agent=mei, text="more", client_id="more")
    expect(page.locator("baton-chat span")).to_have_text("4", timeout=10_000)  # without a click on this page

    other = page.context.new_page()
    other.goto(page.url)
    expect(other.locator("baton-chat span")).to_have_text("4")
    launcher(page).click()
    expect(page.locator("baton-chat span")).to_be_hidden()
    expect(other.locator("baton-chat span")).to_be_hidden()
    other.reload()
    expect(launcher(other)).to_have_attribute("aria-label", "Open chat")
    page.keyboard.press("Escape")
    for number in range(100):
        services.reply(conversation_id=conversation.pk, agent=mei, text="x", client_id=f"x{number}")
    expect(other.locator("baton-chat span")).to_have_text("99+", timeout=15_000)


def test_what_is_called_before_the_script_is_done_once_it_is_there(page: Page, shop, console) -> None:
    early = (
        "<script>window.Baton = window.Baton || []; window.heard = []; "
        "Baton.push(['on', 'open', () => heard.push('open')]); Baton.push(['open'])</script>"
    )
    page.goto(shop(head=early))
    expect(panel(page).get_by_role("textbox")).to_be_focused()
    assert page.evaluate("heard") == ["open"]


def test_every_method_does_what_it_says(page: Page, shop, bare_inbox: Inbox, console) -> None:
    warnings: list[str] = []
    page.on("console", lambda message: warnings.append(message.text) if message.type == "warning" else None)
    page.goto(shop())
    page.evaluate("""() => { window.heard = []; window.note = (...all) => heard.push(all.join(':'));
      for (const name of ['ready', 'open', 'close', 'unread', 'message'])
        Baton.on(name, (x) => note(name, x?.author ?? x ?? '')) }""")
    page.evaluate("Baton.toggle()")
    expect(panel(page).get_by_role("textbox")).to_be_focused()
    page.evaluate("Baton.setContext({page: 'Cart', items: 3})")
    page.evaluate("Baton.sendMessage('hello from the page')")
    expect(panel(page).locator(".message.visitor .bubble")).to_have_text("hello from the page")
    panel(page).locator(".again").wait_for(timeout=15_000)
    page.evaluate("Baton.close()")
    page.evaluate("Baton.hide()")
    expect(launcher(page)).to_be_hidden()
    page.evaluate("Baton.show()")
    expect(launcher(page)).to_be_visible()
    heard = page.evaluate("heard")
    assert heard[:2] == ["open:", "ready:"]
    assert "message:bot" in heard
    assert "close:" in heard
    assert Contact.every.get().details == {"page": "Cart", "items": "3"}

    page.evaluate("Baton.dance('now'); Baton.push(['sing']); Baton.open()")
    assert [text for text in warnings if "Baton" in text] == ['Baton: there is no "dance"', 'Baton: there is no "sing"']
    types = (STATIC / "widget" / "baton.d.ts").read_text()
    methods = re.findall(r"^  (\w+)[(<]", types, re.MULTILINE)
    assert len(methods) == 14
    assert page.evaluate("(names) => names.every((name) => typeof Baton[name] === 'function')", methods)


def test_another_language_needs_no_reload(page: Page, shop, console) -> None:
    page.goto(shop())
    launcher(page).click()
    frame = panel(page)
    frame.get_by_role("textbox").fill("hello")
    frame.get_by_role("textbox").press("Enter")
    expect(frame.locator(".message.bot")).to_have_count(2, timeout=15_000)
    frame.locator("#person").click()
    expect(frame.locator("#queue")).to_contain_text("Nobody is at the desk")
    page.evaluate("window.same = document.querySelector('baton-chat').shadowRoot.querySelector('iframe')")
    page.evaluate("Baton.setLocale('zh-CN')")
    expect(frame.locator("#queue")).to_contain_text("目前没有客服在线")
    expect(frame.get_by_role("textbox", name="输入消息")).to_be_visible()
    expect(frame.locator("html")).to_have_attribute("lang", "zh-Hans")
    expect(launcher(page)).to_have_attribute("aria-label", "关闭聊天")
    words = """all => all.filter((e) => !e.closest('[hidden]')).map((e) =>
      (e.children.length ? '' : e.textContent) + (e.getAttribute('aria-label') || '') + (e.title || ''))"""
    said = frame.locator("[data-words]").evaluate_all(words)
    assert len([text for text in said if re.search(r"[\u4e00-\u9fff]", text)]) > 15
    assert [text for text in said if re.search(r"[A-Za-z]{3}", re.sub("JPEG|PNG|WebP|PDF", "", text))] == []
    page.evaluate("Baton.setLocale('zh-TW')")
    expect(frame.locator("#queue")).to_contain_text("目前沒有客服線上")
    expect(frame.get_by_role("textbox", name="輸入訊息")).to_be_visible()
    expect(frame.locator("html")).to_have_attribute("lang", "zh-Hant")
    expect(launcher(page)).to_have_attribute("aria-label", "關閉聊天")
    said = "".join(frame.locator("[data-words]").evaluate_all(words))
    assert [character for character in said if simplified(character) != character]
    assert [character for character in said if character in "关闭输输语这们连访问"] == []
    page.evaluate("Baton.setLocale('en')")
    expect(frame.locator("#queue")).to_contain_text("Nobody is at the desk")
    expect(frame.locator(".message.visitor")).to_have_count(1)


def vouched(inbox: Inbox, **changes: object) -> str:
    claims = {
        "sub": "ann-1",
        "name": "Ann",
        "email": "ann@example.com",
        "aud": inbox.public_id,
        "exp": dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5),
    }
    return jwt.encode({key: value for key, value in (claims | changes).items() if value is not None}, SECRET, "HS256")


def test_a_vouched_for_visitor_finds_the_conversation_on_every_device_until_signing_out(
    browser: Browser, page: Page, shop, bare_inbox: Inbox, console
) -> None:
    bare_inbox.identity_secret = SECRET
    bare_inbox.save()
    address = shop()
    page.goto(address)
    page.evaluate("(token) => Baton.identify(token)", vouched(bare_inbox))
    launcher(page).click()
    panel(page).get_by_role("textbox").fill("my parcel")
    panel(page).get_by_role("textbox").press("Enter")
    panel(page).locator(".again").wait_for(timeout=15_000)
    contact = Contact.every.get()
    assert (contact.name, contact.email) == ("Ann", "ann@example.com")

    elsewhere = browser.new_context().new_page()
    elsewhere.goto(address)
    elsewhere.evaluate("(token) => Baton.identify(token)", vouched(bare_inbox))
    launcher(elsewhere).click()
    expect(panel(elsewhere).locator(".message.visitor .bubble")).to_have_text("my parcel", timeout=10_000)

    page.evaluate("Baton.on('shutdown', () => (window.gone = true)); Baton.shutdown()")
    page.wait_for_function("window.gone")
    assert page.context.cookies() == []
    assert page.evaluate("localStorage.length") == 0
    launcher(page).click()
    expect(panel(page).get_by_role("textbox")).to_be_focused()
    expect(panel(page).locator(".message.visitor")).to_have_count(0)
    elsewhere.context.close()


def test_who_is_vouched_for_sees_nothing_of_who_was_there_before(page: Page, shop, bare_inbox: Inbox) -> None:
    """The code that draws what came earlier arrives only after somebody else has been vouched for."""
    bare_inbox.identity_secret = SECRET
    bare_inbox.save()
    page.goto(shop())
    page.evaluate("(token) => Baton.identify(token)", vouched(bare_inbox))
    launcher(page).click()
    panel(page).get_by_role("textbox").fill("my parcel")
    panel(page).get_by_role("textbox").press("Enter")
    panel(page).locator(".again").wait_for(timeout=15_000)
    for number in range(40):
        services.add_visitor_message(
            conversation_id=Conversation.every.get().pk, text=f"and number {number}", client_id=f"n{number}"
        )
    held: list[Route] = []
    page.route("**/earlier*.js", lambda route: held.append(route))
    page.reload()
    launcher(page).click()
    expect(panel(page).locator(".message.visitor").last).to_contain_text("and number 39")
    page.wait_for_timeout(300)
    assert held
    page.evaluate("(token) => Baton.identify(token)", vouched(bare_inbox, sub="ben-1", name="Ben"))
    expect(panel(page).locator(".message.visitor")).to_have_count(0)
    for route in held:
        route.continue_()
    page.wait_for_timeout(500)
    expect(panel(page).get_by_role("button", name="Earlier messages")).to_have_count(0)
    expect(panel(page).locator(".message.visitor")).to_have_count(0)


@pytest.mark.parametrize(
    "token",
    ["nonsense", "other secret", "expired", "another inbox", "no expiry", "unsigned"],
)
def test_a_token_that_proves_nothing_leaves_the_visitor_anonymous_and_says_so(
    page: Page, shop, bare_inbox: Inbox, token: str
) -> None:
    bare_inbox.identity_secret = SECRET
    bare_inbox.save()
    tokens = {
        "nonsense": "nonsense",
        "other secret": jwt.encode({"sub": "x", "aud": bare_inbox.public_id, "exp": 9_999_999_999}, "x" * 40, "HS256"),
        "expired": vouched(bare_inbox, exp=dt.datetime.now(dt.UTC) - dt.timedelta(minutes=5)),
        "another inbox": vouched(bare_inbox, aud="ibx_other"),
        "no expiry": vouched(bare_inbox, exp=None),
        "unsigned": jwt.encode({"sub": "x", "aud": bare_inbox.public_id, "exp": 9_999_999_999}, None, "none"),
    }
    page.goto(shop())
    page.evaluate("Baton.on('error', (problem) => (window.problem = problem))")
    page.evaluate("(token) => Baton.identify(token)", tokens[token])
    launcher(page).click()
    page.wait_for_function("window.problem")
    assert page.evaluate("problem.code") == "identity"
    panel(page).get_by_role("textbox").fill("hello")
    panel(page).get_by_role("textbox").press("Enter")
    expect(panel(page).locator(".message.bot")).to_have_count(2, timeout=15_000)
    assert Contact.every.get().external_key is None


def test_swapped_pages_and_a_script_included_twice_leave_one_launcher(
    page: Page, shop, bare_site: str, console
) -> None:
    page.goto(shop())
    launcher(page).click()
    panel(page).get_by_role("textbox").fill("half a sent")
    page.evaluate(
        """(source) => { const body = document.createElement('body'); body.innerHTML = '<h1>Next page</h1>';
          document.body.replaceWith(body); const script = document.createElement('script'); script.src = source;
          script.dataset.inbox = 'other'; body.append(script) }""",
        f"{bare_site}/widget/loader.js",
    )
    page.wait_for_timeout(500)
    expect(page.locator("baton-chat")).to_have_count(1)
    expect(panel(page).get_by_role("textbox")).to_have_value("half a sent")
    page.evaluate("document.querySelector('baton-chat').remove()")
    expect(launcher(page)).to_be_visible()
    page.evaluate("Baton.open()")
    expect(panel(page).get_by_role("textbox")).to_be_editable()
    assert Message.every.count() == 0


def test_closing_the_panel_ends_dictating(page: Page, shop, bare_inbox: Inbox, console) -> None:
    bare_inbox.takes_speech = True
    bare_inbox.save()
    page.add_init_script(EAR)
    page.goto(shop())
    launcher(page).click()
    panel(page).get_by_role("button", name="Dictate").click()
    expect(panel(page).get_by_role("button", name="Dictate")).to_have_attribute("aria-pressed", "true")
    page.evaluate("Baton.close()")
    frame = page.frames[-1]
    page.wait_for_timeout(500)
    assert frame.evaluate("ears.at(-1).aborted")
    page.evaluate("Baton.open()")
    expect(panel(page).get_by_role("button", name="Dictate")).to_have_attribute("aria-pressed", "false")
