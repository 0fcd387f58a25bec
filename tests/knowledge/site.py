"""A web site that a test writes: pages by path, and a record of who asked for what."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    body: bytes
    status: int = 200
    kind: str = "text/html; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


class Site:
    """`pages` by path; a page with an ETag answers 304 to whoever has it. `asked` are the paths in their order."""

    def __init__(self, port: int) -> None:
        self.host = f"127.0.0.1:{port}"
        self.address = f"http://{self.host}"
        self.pages: dict[str, Page] = {}
        self.asked: list[str] = []
        self.agents: set[str] = set()
        self.unchanged = 0

    def put(self, path: str, words: str, **headers: str) -> None:
        page = f"<html><head><title>{words[:30]}</title></head><body><main><h1>{words[:30]}</h1><p>{words}</p></main></body>"
        self.pages[path] = Page(page.encode(), headers=headers)

    def lists(self, *paths: str, at: str = "/sitemap.xml") -> None:
        entries = "".join(f"<url><loc>{path if '://' in path else self.address + path}</loc></url>" for path in paths)
        self.pages[at] = Page(f"<?xml version='1.0'?><urlset>{entries}</urlset>".encode(), kind="application/xml")

    def asked_for(self) -> list[str]:
        """Since the last time, without what every run asks."""
        asked = [path for path in self.asked if path not in {"/robots.txt", "/sitemap.xml"}]
        self.asked.clear()
        return asked


@contextmanager
def web_site() -> Iterator[Site]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.path)
            site.agents.add(self.headers.get("User-Agent", ""))
            page = site.pages.get(self.path, Page(b"no such page", 404))
            etag = page.headers.get("ETag")
            same = etag is not None and self.headers.get("If-None-Match") == etag
            site.unchanged += same
            self.send_response(304 if same else page.status)
            body = b"" if same else page.body
            for name, value in {"Content-Type": page.kind, "Content-Length": str(len(body)), **page.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    site = Site(server.server_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
