"""How soon the widget is there: from the click to the text box, and how long a long conversation takes to be drawn.

Both in a real Chromium, against a real server with SQLite, each beside a yardstick in the same browser and round:

* the click, against an iframe of the same size with nothing but a text box in it, served by the shop;
* a conversation read from the record until its newest messages are there, against the HTML of all of it put into a list at
  once: script, style and layout together, by the browser's own clocks, less what the panel takes without a conversation.
  Beside it, the longest of the parts that are drawn as the reader goes up.

    python benchmarks/widget.py
    python benchmarks/widget.py --messages 200 --rounds 3
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.environment import free_port  # noqa: E402
from tests.serving import serving  # noqa: E402

BOOT_S, PATIENCE_MS = 120.0, 30_000
SETTLE_S = 10.0  # a process that has just begun warms up beside its first pages
UNTOUCHED_MS = 1_500  # asking a page how far it is takes from what it has to do
ANSWER = (
    "Refunds take **seven days** once the parcel reaches our warehouse [1]. You can follow it in your account.\n\n"
    "- Print the label\n- Drop the parcel at a partner shop\n\nIf the item was faulty, we also pay the return postage [2]."
)
# When a text box of any frame gets the focus, on a clock that all frames share.
WATCH = """addEventListener("focusin", (event) => {
  if (/TEXTAREA|INPUT/.test(event.target.tagName)) window.focusedAt ??= performance.timeOrigin + performance.now();
}, true);"""
CLICK = """() => {
  document.querySelector("baton-chat").shadowRoot.querySelector("button").click();
  return performance.timeOrigin + performance.now();
}"""
EMPTY_FRAME = """(address) => {
  const frame = document.createElement("iframe");
  Object.assign(frame.style, { width: "400px", height: "660px" });
  frame.src = address;
  document.body.append(frame);
  return performance.timeOrigin + performance.now();
}"""
# The least that drawing them can take: one list, one piece of HTML, one layout.
AT_ONCE = """(html) => {
  const list = document.createElement("ol");
  list.innerHTML = html;
  document.body.append(list);
  return list.getBoundingClientRect().height;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="baton-bench-", ignore_cleanup_errors=True) as scratch:
        inbox, port = prepare(Path(scratch))
        server = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "chatbot.asgi:application", "--ws", "websockets-sansio", "--port", str(port)],
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_for(f"http://127.0.0.1:{port}/readyz", server)
            time.sleep(SETTLE_S)
            with serving(Shop(f"http://localhost:{port}", inbox.public_id)) as shop:
                inbox.allowed_domains = [f"http://127.0.0.1:{shop}"]
                inbox.save()
                measure(f"http://localhost:{port}", f"http://127.0.0.1:{shop}", inbox, options.messages, options.rounds)
        finally:
            server.terminate()
            server.wait()


class Shop:
    """The site of a shop, which is another one for the browser; ``/bare`` has a text box and nothing else."""

    def __init__(self, chat: str, inbox: str) -> None:
        line = f'<script src="{chat}/widget/loader.js" data-inbox="{inbox}" async></script>'
        self._pages = {"/": line, "/without": "", "/bare": "<input autofocus>"}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        page = f"<!doctype html><title>Shop</title>{self._pages.get(scope['path'], '')}"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": page.encode()})


def prepare(home: Path) -> tuple[Any, int]:
    """A business with a widget, in a database of its own; returns its inbox, and a port for its server."""
    for name in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    os.environ |= {
        "BATON_HOME": str(home),
        "DJANGO_SETTINGS_MODULE": "chatbot.settings",
        "DJANGO_ALLOW_ASYNC_UNSAFE": "1",  # Playwright runs an event loop in this thread
        "HF_HUB_OFFLINE": "1",
    }
    import django

    django.setup()
    from django.core.management import call_command

    from conversations.models import Inbox
    from workspace.models import Workspace

    call_command("migrate", verbosity=0)
    call_command("compile_texts", verbosity=0)
    workspace = Workspace.objects.create(name="Northwind")
    return Inbox.objects.of(workspace).create(name="Shop", language="en"), free_port()


def wait_for(address: str, server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + BOOT_S
    while time.monotonic() < until and server.poll() is None:
        with suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.2)
    sys.exit("The server did not start.")


def measure(site: str, shop: str, inbox: Any, messages: int, rounds: int) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM") or "/usr/bin/chromium",
            chromium_sandbox=False,
            args=["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
        )
        clicks = [(clicked(browser, site, shop), framed(browser, shop)) for _ in range(rounds)]
        drawn, parts = [], []
        for shown, longest, html in conversations(browser, site, inbox, messages, rounds):
            drawn.append((shown, at_once(browser, html)))
            parts.append(longest)
        browser.close()
    told("from the click to the text box, nothing cached", "an iframe with a text box", clicks, "limit 600 ms")
    told(f"a conversation of {messages} messages is there", "the HTML of all in one list", drawn, "limit 100 ms")
    print(
        f"longest part drawn as the reader goes up: {statistics.median(parts):.0f} ms at the median, {max(parts):.0f} at most"
    )


def clicked(browser: Any, site: str, shop: str) -> float:
    """Milliseconds from the click on the launcher to the focus in the widget's text box, for who was never there."""
    page = opened(browser, f"{shop}/")
    page.wait_for_function("document.querySelector('baton-chat')?.shadowRoot.querySelector('button')")
    began = float(page.evaluate(CLICK))
    return focused(page, site) - began


def framed(browser: Any, shop: str) -> float:
    """The same for an iframe with nothing but a text box."""
    page = opened(browser, f"{shop}/without")
    began = float(page.evaluate(EMPTY_FRAME, f"{shop}/bare"))
    return focused(page, f"{shop}/bare") - began


def opened(browser: Any, address: str) -> Any:
    """A page in a browser that remembers nothing."""
    page = browser.new_context().new_page()
    page.add_init_script(WATCH)
    page.goto(address)
    return page


def focused(page: Any, site: str) -> float:
    """When the text box of the frame got the focus; closes the browser's window."""
    page.wait_for_timeout(UNTOUCHED_MS)
    until = time.monotonic() + PATIENCE_MS / 1000
    while time.monotonic() < until:
        for frame in page.frames:
            with suppress(Exception):  # it is being loaded
                if frame.url.startswith(site) and (at := frame.evaluate("window.focusedAt")):
                    page.context.close()
                    return float(at)
        page.wait_for_timeout(20)
    sys.exit("The text box did not get the focus.")


def conversations(browser: Any, site: str, inbox: Any, messages: int, rounds: int) -> list[tuple[float, float, str]]:
    """Milliseconds of script, style and layout for a conversation that is read anew, and for the longest of its earlier parts,
    and its HTML; the panel alone is taken off."""
    page = browser.new_context().new_page()
    page.goto(f"{site}/widget/{inbox.public_id}/?language=en")
    page.evaluate(
        """(path) => fetch(path, {method: "POST", headers: {"X-Baton": "widget"}, body: "{}"})""",
        f"/widget/{inbox.public_id}/session/",
    )
    clock = page.context.new_cdp_session(page)
    clock.send("Performance.enable")
    empty = statistics.median(loaded(page, clock, "") for _ in range(rounds))
    newest = write(messages)
    found = []
    for _ in range(rounds):
        spent = loaded(page, clock, f"({newest})")
        longest = read_up(page, clock)
        found.append((spent - empty, longest, str(page.evaluate("document.getElementById('log').innerHTML"))))
        if (drawn := page.locator("#log .message").count()) != messages + 1:  # the greeting
            sys.exit(f"{drawn - 1} of {messages} messages were drawn.")
    page.context.close()
    return found


def loaded(page: Any, clock: Any, newest: str) -> float:
    """Milliseconds until a message that begins so, if any, is there."""
    page.reload()
    page.wait_for_function(
        """text => [...document.querySelectorAll(".message .bubble")].at(-1)?.textContent.startsWith(text)""",
        arg=newest,
        timeout=PATIENCE_MS,
    )
    page.wait_for_timeout(1_000)
    return spent_ms(clock)


def read_up(page: Any, clock: Any) -> float:
    """Milliseconds for the longest of the parts that are drawn on the way to the first message."""
    longest = 0.0
    while page.get_by_role("button", name="Earlier messages").count():
        before = spent_ms(clock)
        page.evaluate("document.getElementById('scroll').scrollTop = 0")
        page.wait_for_timeout(150)
        longest = max(longest, spent_ms(clock) - before)
    return longest


def at_once(browser: Any, html: str) -> float:
    page = browser.new_context().new_page()
    clock = page.context.new_cdp_session(page)
    clock.send("Performance.enable")
    before = spent_ms(clock)
    page.evaluate(AT_ONCE, html)
    page.wait_for_timeout(200)
    took = spent_ms(clock) - before
    page.context.close()
    return took


def spent_ms(clock: Any) -> float:
    values = {each["name"]: each["value"] for each in clock.send("Performance.getMetrics")["metrics"]}
    return 1000 * float(values["ScriptDuration"] + values["LayoutDuration"] + values["RecalcStyleDuration"])


def write(messages: int) -> int:
    """A long conversation: questions and answers in turn, the last of them an answer; returns the number it begins with."""
    from conversations.models import Conversation, Event, Message

    conversation = Conversation.every.get()
    shared = {"workspace_id": conversation.workspace_id, "conversation": conversation}
    first = conversation.last_seq + 1
    numbers = [first + number for number in range(messages)]
    Event.every.bulk_create(Event(**shared, seq=seq, type="message.added") for seq in numbers)
    Message.every.bulk_create(
        Message(**shared, seq=seq, epoch=1, author="bot", kind="answer", text=f"({seq}) {ANSWER}")
        if (seq - first) % 2 == (messages - 1) % 2
        else Message(
            **shared, seq=seq, epoch=1, author="visitor", client_id=f"m{seq}", text=f"How long, and where? ({seq})"
        )
        for seq in numbers
    )
    Conversation.every.update(last_seq=numbers[-1])
    return numbers[-1]


def told(what: str, yardstick: str, rounds: list[tuple[float, float]], limit: str) -> None:
    own, other = ([each[at] for each in rounds] for at in (0, 1))
    ratio = statistics.median(a / b for a, b in rounds)
    print(
        f"{what} ({limit}): {statistics.median(own):.0f} ms at the median, {min(own):.0f} to {max(own):.0f}; "
        f"{yardstick}: {statistics.median(other):.0f} ms; ratio {ratio:.1f}"
    )


if __name__ == "__main__":
    main()
