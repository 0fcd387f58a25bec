"""The visitor's line in a real Chromium: cuts, queues, other tabs, speed."""

import asyncio
import json
import statistics
import time
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from chatbot.live.hub import hub
from conversations import services
from conversations.models import Author, Conversation, Event, Inbox, Message, Turn
from conversations.services import TurnResult
from tests.attacks import ATTACKS
from tests.pages.test_widget import ask, open_panel
from workspace.models import User


def on_loop(function: Any, *values: Any) -> Any:
    """Call something of the server's event loop from here."""

    async def call() -> Any:
        return function(*values)

    return asyncio.run_coroutine_threadsafe(call(), hub().loop).result(5)


def begin(page: Page, site: str, inbox: Inbox, language: str = "en") -> Conversation:
    """A visitor with a session whose line a person holds, so that no bot answers in between."""
    open_panel(page, site, inbox, language)
    page.evaluate(
        """(path) => fetch(path, {method: "POST", headers: {"X-Baton": "widget"}, body: "{}"})""",
        f"/widget/{inbox.public_id}/session/",
    )
    conversation = Conversation.every.select_related("inbox").get()
    services.take_over(conversation_id=conversation.pk, agent=User.objects.get(username="mei"), shown={})
    page.reload()
    expect(page.locator("body")).to_have_attribute("data-holder", "agent")
    return conversation


def says(conversation: Conversation, text: str, client_id: str) -> None:
    services.reply(
        conversation_id=conversation.pk, agent=User.objects.get(username="mei"), text=text, client_id=client_id
    )


class Line:
    """Between the page and the server: it can be cut, and kept cut."""

    def __init__(self, page: Page) -> None:
        self.down = False
        self.sent: list[str] = []
        self._open: list[Any] = []
        page.route_web_socket("**/ws/widget/**", self._between)

    def cut(self, code: int = 1011) -> None:
        for socket, server in self._open:
            server.close()
            socket.close(code=code)
        self._open.clear()

    def tells(self, frame: dict[str, Any]) -> None:
        """What the server did not say."""
        self._open[-1][0].send(json.dumps(frame))

    def _between(self, socket: Any) -> None:
        if self.down:
            socket.close(code=1011)
            return
        server = socket.connect_to_server()
        socket.on_message(lambda frame: (self.sent.append(frame), server.send(frame)))
        self._open.append((socket, server))


def test_a_cut_line_is_said_within_200_ms(page: Page, bare_site: str, bare_inbox: Inbox) -> None:
    line = Line(page)
    begin(page, bare_site, bare_inbox)
    page.evaluate(
        """() => { window.shown = 0;
          new MutationObserver(() => { if (!document.getElementById('banner').hidden && !window.shown)
            window.shown = Date.now() }).observe(document.getElementById('banner'), {attributes: true}) }"""
    )
    line.down = True
    at = time.time() * 1000
    line.cut()
    expect(page.locator("#banner")).to_contain_text("Connection lost")
    assert page.evaluate("window.shown") - at <= 200
    expect(page.locator("#live")).to_have_text("Connection lost. Trying again…")
    line.down = False
    expect(page.locator("#banner")).to_be_hidden(timeout=10_000)
    expect(page.locator("#live")).to_have_text("Connected again.")


def test_what_is_written_without_a_line_is_sent_once_each_and_in_order(
    page: Page, bare_site: str, bare_inbox: Inbox
) -> None:
    line = Line(page)
    conversation = begin(page, bare_site, bare_inbox)
    line.down = True
    line.cut()
    expect(page.locator("#banner")).to_be_visible()
    for text in ("first", "second", "third"):
        ask(page, text)
    expect(page.locator(".message.visitor .under")).to_have_text(["sending"] * 3)
    says(conversation, "Are you there?", "meanwhile")
    line.down = False
    expect(page.locator(".message.visitor .under")).to_have_count(0, timeout=15_000)
    expect(page.locator(".message.agent")).to_have_count(1)
    stored = Message.every.filter(author=Author.VISITOR).order_by("seq")
    assert [message.text for message in stored] == ["first", "second", "third"]
    page.reload()
    expect(page.locator(".message.visitor")).to_have_count(3)


def test_what_the_server_refuses_can_be_sent_again(page: Page, bare_site: str, bare_inbox: Inbox, console) -> None:
    page.route("**/session/", lambda route: route.abort())
    open_panel(page, bare_site, bare_inbox)
    ask(page, "hello")
    expect(page.locator(".message.visitor .wrong")).to_contain_text("Connection lost")
    page.unroute("**/session/")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".message.visitor .under")).to_have_count(0, timeout=10_000)
    assert Message.every.filter(author=Author.VISITOR).count() == 1
    console.clear()  # the browser's own line about the request that was cut


def test_the_pauses_before_coming_back(page: Page, bare_site: str, bare_inbox: Inbox) -> None:
    open_panel(page, bare_site, bare_inbox)
    pause = (
        """([code, tries, chance]) => import('/static/shared/socket.js').then((m) => m.pause(code, tries, chance))"""
    )
    assert page.evaluate(pause, [4003, 0, 0.5]) is None
    assert page.evaluate(pause, [4001, 0, 0.5]) is None
    assert [page.evaluate(pause, [1012, 0, chance]) for chance in (0, 0.5, 1)] == [0, 500, 1000]
    growing = [page.evaluate(pause, [1006, tries, 1]) for tries in range(8)]
    assert growing == sorted(growing)
    assert (growing[0], growing[-1]) == (300, 15_000)
    assert page.evaluate(pause, [1006, 9, 0]) == 7_500
    assert page.evaluate(pause, [4029, 0, 1]) > 4_000


def test_a_restarting_server_is_found_again_and_a_refusal_is_final(
    page: Page, bare_site: str, bare_inbox: Inbox
) -> None:
    line = Line(page)
    begin(page, bare_site, bare_inbox)
    line.cut(code=1012)
    expect(page.locator("#banner")).to_be_visible()
    expect(page.locator("#banner")).to_be_hidden(timeout=5_000)
    before = len(line._open)
    line.cut(code=4003)
    expect(page.locator("#banner")).to_contain_text("may not show the chat")
    expect(page.get_by_role("textbox")).to_be_disabled()
    page.wait_for_timeout(1_500)
    assert len(line._open) == 0
    assert before == 1


def test_live_text_is_on_the_screen_within_150_ms(page: Page, bare_site: str, bare_inbox: Inbox, console) -> None:
    conversation = begin(page, bare_site, bare_inbox)
    took = []
    for turn in range(5):
        word = f"word{turn}"
        page.evaluate(
            """(word) => { window.at = 0; new MutationObserver((_, self) => {
              if (document.getElementById('log').textContent.includes(word)) { window.at = Date.now(); self.disconnect() }
            }).observe(document.getElementById('log'), {subtree: true, childList: true, characterData: true}) }""",
            word,
        )
        log = on_loop(hub().open, conversation.public_id, f"trn_{turn}", conversation.epoch)
        began = time.time() * 1000
        on_loop(hub().write, log, word)
        while not (at := page.evaluate("window.at")):
            page.wait_for_timeout(20)
        took.append(at - began)
        on_loop(hub().close, log)
    assert statistics.median(took) <= 150, took


def test_who_reads_above_stays_there_and_is_told_of_news(
    page: Page, bare_site: str, bare_inbox: Inbox, console
) -> None:
    conversation = begin(page, bare_site, bare_inbox)
    for number in range(20):
        says(conversation, f"line {number}\nof two", f"a{number}")
    scroll = page.locator("#scroll")
    expect(page.locator(".message.agent")).to_have_count(20)
    page.wait_for_timeout(200)
    at_bottom = "box => box.scrollHeight - box.clientHeight - box.scrollTop < 2"
    assert scroll.evaluate(at_bottom)
    scroll.evaluate("box => box.scrollTop = 0")
    says(conversation, "news", "news")
    button = page.get_by_role("button", name="New messages")
    expect(button).to_be_visible()
    assert scroll.evaluate("box => box.scrollTop") == 0
    button.click()
    expect(button).to_be_hidden()
    page.wait_for_timeout(200)
    assert scroll.evaluate(at_bottom)
    says(conversation, "more news", "more")
    expect(page.locator(".message.agent")).to_have_count(22)
    page.wait_for_timeout(200)
    assert scroll.evaluate(at_bottom)


def test_two_tabs_show_the_same_conversation(page: Page, bare_site: str, bare_inbox: Inbox, console) -> None:
    other = page.context.new_page()
    open_panel(page, bare_site, bare_inbox)
    open_panel(other, bare_site, bare_inbox)
    ask(page, "from the first tab")
    expect(other.locator(".message.visitor .bubble")).to_have_text(["from the first tab"], timeout=10_000)
    ask(other, "from the second")
    expect(page.locator(".message.visitor .bubble")).to_have_text(["from the first tab", "from the second"])
    assert Conversation.every.count() == 1


def long_conversation(conversation: Conversation, many: int) -> list[Message]:
    """Questions and answers in turn, after which an old answer is judged and a question before the newest gets other words."""
    conversation.refresh_from_db()
    first = conversation.last_seq + 1
    shared = {"workspace_id": conversation.workspace_id, "conversation": conversation, "epoch": 1}
    messages = [
        Message(**shared, seq=first + n, author="bot", kind="answer", text=f"Answer {n} has **bold** words.")
        if n % 2
        else Message(**shared, seq=first + n, author="visitor", client_id=f"m{n}", text=f"Question {n}?")
        for n in range(many)
    ]
    Message.every.bulk_create(messages)
    edited = Message.every.create(
        **shared, seq=first + many, author="visitor", client_id="edit", text="In other words?", revises=messages[-80]
    )
    turn = Turn.every.create(
        **shared,
        question=messages[0],
        outcome=Turn.Outcome.ANSWERED,
        lease_until=timezone.now(),
        ended_at=timezone.now(),
    )
    Message.every.filter(pk=messages[1].pk).update(turn=turn)
    del shared["epoch"]
    happened = [Event(**shared, seq=message.seq, type="message.added") for message in messages]
    happened.append(Event(**shared, seq=edited.seq, type="message.edited"))
    judgement = {"message": messages[1].public_id, "value": -1}
    happened.append(Event(**shared, seq=edited.seq + 1, type="answer.judged", data=judgement))
    Event.every.bulk_create(happened)
    Conversation.every.update(last_seq=edited.seq + 1)
    return messages


def test_of_a_long_conversation_the_newest_part_is_drawn_and_the_rest_as_the_reader_goes_up(
    page: Page, bare_site: str, bare_inbox: Inbox, console
) -> None:
    conversation = begin(page, bare_site, bare_inbox)
    many = 300
    long_conversation(conversation, many)
    page.reload()
    expect(page.locator("body")).to_have_attribute("data-holder", "agent")
    drawn = page.locator(".message:visible")
    expect(page.get_by_text("In other words?", exact=True)).to_be_visible()
    expect(page.get_by_text(f"Question {many - 80}?", exact=True)).to_have_count(0)
    assert 80 <= drawn.count() <= 100  # back to the question that got other words, no further
    expect(page.locator(".message").first).to_be_hidden()  # the greeting comes before everything
    page.get_by_text("Answer 299 has").scroll_into_view_if_needed()
    place = """(text) => [...document.querySelectorAll(".bubble")].find((each) => each.textContent === text)
      .getBoundingClientRect().top"""
    looked_at = page.locator(".bubble").nth(20).inner_text()
    before = page.evaluate(place, looked_at)
    count = drawn.count()
    page.evaluate("""() => { const seen = document.getElementById("scroll"); seen.scrollTop = 500; }""")
    at = page.evaluate(place, looked_at)
    expect(drawn).not_to_have_count(count)
    page.wait_for_timeout(200)
    assert before != at
    assert abs(page.evaluate(place, looked_at) - at) < 2  # what is looked at stays where it is
    expect(page.locator("#down")).to_be_hidden()  # nothing new came
    says(conversation, "Meanwhile", "meanwhile")
    expect(page.locator("#down")).to_be_visible()
    earlier = page.get_by_role("button", name="Earlier messages")
    for _ in range(10):
        if not earlier.count():
            break
        earlier.focus()
        page.keyboard.press("Enter")
        page.wait_for_timeout(100)
    expect(earlier).to_have_count(0)
    assert page.evaluate("document.activeElement.id") == "scroll"
    texts = page.locator(".message .bubble").all_inner_texts()
    questions = [f"Question {n}?" for n in range(0, many, 2) if n != many - 80]
    assert [text for text in texts if text.startswith("Question")] == questions
    assert [text for text in texts if text.startswith("Answer")] == [
        f"Answer {n} has bold words." for n in range(1, many, 2)
    ]
    assert texts[0] == "Hello! How can I help you?"
    assert texts[-2:] == ["In other words?", "Meanwhile"]
    expect(page.locator(".message.bot .thumb[aria-pressed=true]")).to_have_attribute("data-value", "-1")


def test_a_long_conversation_is_printed_whole(page: Page, bare_site: str, bare_inbox: Inbox) -> None:
    conversation = begin(page, bare_site, bare_inbox)
    long_conversation(conversation, 300)
    page.reload()
    expect(page.get_by_role("button", name="Earlier messages")).to_be_attached()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator(".message")).to_have_count(301)  # with the greeting


def test_an_answer_is_written_on_while_what_came_before_is_drawn(
    page: Page, bare_site: str, bare_inbox: Inbox, console
) -> None:
    line = Line(page)
    long_conversation(begin(page, bare_site, bare_inbox), 200)
    page.reload()
    expect(page.get_by_role("button", name="Earlier messages")).to_be_attached()
    frame = {"type": "delta", "turn": "trn_live", "from": 0, "text": "First words", "blocks": []}
    line.tells(frame)
    expect(page.locator(".message").last).to_contain_text("First words")
    count = page.locator(".message").count()
    page.evaluate("document.getElementById('scroll').scrollTop = 0")
    expect(page.locator(".message")).not_to_have_count(count)
    line.tells(frame | {"from": 11, "text": " and more."})
    expect(page.locator(".message").last).to_contain_text("First words and more.")
    expect(page.locator(".message[aria-busy]")).to_have_count(1)


def test_a_click_reaches_the_text_box(browser: Browser, bare_site: str, bare_inbox: Inbox) -> None:
    from tests.pages.test_widget import HostPage
    from tests.serving import serving

    with serving(HostPage(bare_site, bare_inbox.public_id)) as port:
        bare_inbox.allowed_domains = [f"http://127.0.0.1:{port}"]
        bare_inbox.save()
        page = browser.new_context().new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        page.get_by_role("button", name="Open chat").click()
        expect(page.frame_locator("baton-chat iframe").get_by_role("textbox")).to_be_focused(timeout=15_000)
        page.context.close()


def test_an_answer_cut_by_a_crash_can_be_continued(page: Page, bare_site: str, bare_inbox: Inbox, console) -> None:
    open_panel(page, bare_site, bare_inbox)
    ask(page, "Which football team won the cup in 1974?")
    page.locator(".again").wait_for(timeout=15_000)
    conversation = Conversation.every.get()
    added = services.add_visitor_message(conversation_id=conversation.pk, text="And in 1978?", client_id="next")
    services.finish_turn(
        turn_id=added.turn.pk,
        result=TurnResult(
            Turn.Outcome.INTERRUPTED,
            "That was",
            Message.State.INTERRUPTED,
            "answer",
            record={"error": "process_lost"},
        ),
    )
    expect(page.locator(".cut")).to_have_text("interrupted")
    go_on = page.get_by_role("button", name="Continue")
    expect(go_on).to_be_visible()
    go_on.click()
    expect(page.locator(".variants:visible")).to_contain_text("2/2", timeout=15_000)
    expect(go_on).to_have_count(0)


def test_another_answer_keeps_the_first_one_within_reach(
    page: Page, bare_site: str, bare_inbox: Inbox, console
) -> None:
    open_panel(page, bare_site, bare_inbox)
    ask(page, "Which football team won the cup in 1974?")
    page.get_by_role("button", name="Another answer").click(timeout=15_000)
    expect(page.locator(".variants:visible")).to_contain_text("2/2", timeout=15_000)
    page.get_by_role("button", name="Earlier answer").click()
    expect(page.locator(".variants:visible")).to_contain_text("1/2")
    expect(page.locator(".message.bot:visible")).to_have_count(2)
    page.reload()
    expect(page.locator(".variants:visible")).to_contain_text("2/2")


def test_the_last_question_can_be_put_in_other_words(page: Page, bare_site: str, bare_inbox: Inbox, console) -> None:
    open_panel(page, bare_site, bare_inbox)
    ask(page, "Which football team won in 1974?")
    expect(page.get_by_role("button", name="Another answer")).to_be_visible(timeout=15_000)
    page.locator(".message.visitor").hover()
    page.get_by_role("button", name="Edit your question").click()
    box = page.get_by_role("textbox")
    expect(box).to_have_value("Which football team won in 1974?")
    page.keyboard.press("Escape")
    expect(box).to_have_value("")
    page.locator(".message.visitor").hover()
    page.get_by_role("button", name="Edit your question").click()
    box.fill("Which football team won in 1978?")
    page.keyboard.press("Enter")
    expect(page.locator(".message.visitor .bubble")).to_have_text(["Which football team won in 1978?"])
    expect(page.locator(".message.visitor")).to_contain_text("edited")
    expect(page.get_by_role("button", name="Another answer")).to_be_visible(timeout=15_000)
    expect(page.locator(".message.bot")).to_have_count(2)
    page.reload()
    expect(page.locator(".message.visitor .bubble")).to_have_text(["Which football team won in 1978?"])
    expect(page.locator(".message.bot")).to_have_count(2)


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_who_took_the_line_is_seen_and_when_the_bot_is_back(
    page: Page, bare_site: str, bare_inbox: Inbox, language: str, console
) -> None:
    conversation = begin(page, bare_site, bare_inbox, language)
    says(conversation, "Hello, this is Mei.", "hello")
    agent = page.locator(".message.agent")
    expect(agent.locator(".avatar")).to_have_text("M")
    expect(agent.locator(".by")).to_contain_text("Mei")
    expect(page.locator("#state")).to_have_text("Mei")
    expect(page.locator("#person")).to_be_hidden()
    services.hand_back(conversation_id=conversation.pk, agent=User.objects.get(username="mei"))
    expect(page.locator("body")).to_have_attribute("data-holder", "bot")
    expect(page.locator(".notice.bot")).to_have_count(1)
    expect(page.locator("#person")).to_be_visible()


def test_nothing_in_an_answer_runs_or_loads_while_it_is_written_or_after(
    page: Page, bare_site: str, bare_inbox: Inbox, console
) -> None:
    conversation = begin(page, bare_site, bare_inbox)
    elsewhere: list[str] = []
    page.on("request", lambda request: elsewhere.append(request.url) if bare_site not in request.url else None)
    log = on_loop(hub().open, conversation.public_id, "trn_live", conversation.epoch)
    for text in ATTACKS:
        on_loop(hub().write, log, f"{text}\n\n")
    on_loop(hub().write, log, "the end")
    expect(page.locator("#log")).to_contain_text("the end", timeout=10_000)
    on_loop(hub().close, log)
    services.hand_back(conversation_id=conversation.pk, agent=User.objects.get(username="mei"))
    added = services.add_visitor_message(conversation_id=conversation.pk, text="Refunds?", client_id="q")
    text = "\n\n".join([*ATTACKS, "```sh\nmake run\n```", "See [the guide](https://shop.example/guide)."])
    services.finish_turn(turn_id=added.turn.pk, result=TurnResult(Turn.Outcome.ANSWERED, text, kind="generated"))
    answer = page.locator(".message.bot").last
    expect(answer).to_contain_text("make run", timeout=10_000)
    page.wait_for_timeout(300)
    assert page.evaluate("window.hacked") is None
    assert elsewhere == []
    assert (
        page.locator(".bubble script, .bubble img, .bubble iframe, .bubble svg:not(.icon), .bubble style").count() == 0
    )
    guide = answer.get_by_role("link", name="the guide")
    assert (guide.get_attribute("target"), guide.get_attribute("rel")) == ("_blank", "noopener noreferrer nofollow")

    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    answer.get_by_role("button", name="Copy the code").last.click()
    expect(page.locator("#live")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").strip() == "make run"


def test_marks_of_a_link_are_not_seen_while_it_is_written(
    page: Page, bare_site: str, bare_inbox: Inbox, console
) -> None:
    conversation = begin(page, bare_site, bare_inbox)
    page.evaluate(
        """() => { window.seen = [];
          new MutationObserver(() => seen.push(document.querySelector('.caret')?.parentElement.textContent))
          .observe(document.getElementById('log'), {subtree: true, childList: true, characterData: true}) }"""
    )
    log = on_loop(hub().open, conversation.public_id, "trn_link", conversation.epoch)
    for letter in "See [the **guide**](https://shop.example/guide) and **more** of it [1]":
        on_loop(hub().write, log, letter)
        page.wait_for_timeout(20)
    page.wait_for_timeout(200)
    on_loop(hub().close, log)
    seen = [text for text in page.evaluate("seen") if text]
    assert len(seen) > 10
    assert not [text for text in seen if "http" in text or "](" in text or "**" in text]
