"""The system page's tests of the way between browser and abm: well, and through a bad proxy."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Page, expect

from tests.browser.server import Served

KEYS = ("scheme", "host", "address", "socket", "stream")


BUSY_AT_FIRST = """
const reader = ReadableStreamDefaultReader.prototype;
const read = reader.read;
let isBusy = true;
reader.read = async function () {
  if (isBusy) {
    isBusy = false;
    await new Promise((done) => setTimeout(done, 1500));
  }
  return read.call(this);
};
"""
"""The first answer that comes in pieces is looked at when all of it is there."""


class BadProxy(BaseHTTPRequestHandler):
    """Keeps answers back until they are whole, hands on its own Host, knows no WebSockets."""

    abm = 0

    def do_GET(self) -> None:
        way = http.client.HTTPConnection("127.0.0.1", self.abm, timeout=20)
        headers = {"Cookie": self.headers.get("Cookie", "")}
        way.request("GET", self.path, headers=headers)
        answer = way.getresponse()
        body = answer.read()
        way.close()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.getheader("Content-Type") or "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Quietly."""


@pytest.fixture
def proxy(served: Served) -> Iterator[str]:
    """The address of a proxy that does everything wrong."""
    handler = type("Handler", (BadProxy,), {"abm": served.port})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(5)


def test_all_is_well_without_a_proxy(page: Page) -> None:
    page.goto("/system/")

    for key in KEYS:
        row = page.locator(f'[data-probe="{key}"]')
        expect(row.locator(".state")).to_have_class("state state-available")
        expect(row.locator("[data-probe-help]")).to_be_hidden()


def test_a_bad_proxy_is_named_with_the_line_that_mends_it(page: Page, proxy: str) -> None:
    page.goto(f"{proxy}/system/")  # cookies do not mind the port

    for key, line in (
        ("host", "proxy_set_header Host $http_host;"),
        ("socket", "proxy_set_header Upgrade $http_upgrade;"),
        ("stream", "proxy_buffering off;"),
    ):
        row = page.locator(f'[data-probe="{key}"]')
        expect(row.locator(".state")).to_have_class("state state-failed")
        expect(row.get_by_text(line, exact=True)).to_be_visible()
    scheme = page.locator('[data-probe="scheme"] .state')
    expect(scheme).to_have_class("state state-available")


def test_a_browser_that_was_busy_asks_once_more_before_it_blames_a_proxy(page: Page) -> None:
    page.add_init_script(BUSY_AT_FIRST)
    page.goto("/system/")

    expect(page.locator('[data-probe="stream"] .state')).to_have_class("state state-available")


def test_the_page_fits_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/system/")
    expect(page.locator('[data-probe="stream"] .state')).to_have_class("state state-available")

    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_the_diagnostics_are_a_file(page: Page) -> None:
    page.goto("/system/")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download diagnostics").click()

    assert download.value.suggested_filename.startswith("abm-diagnostics-")
