"""A page of another origin in Chromium: it asks the API with a token, and with nothing else."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import ADMIN, PASSWORD, sign_in
from tests.browser.server import ROOT, Served

ASK = """async ([url, key, method]) => {
  const headers = key ? {Authorization: `Bearer ${key}`} : {};
  try {
    const answer = await fetch(url, {method: method || "GET", headers, credentials: "include"});
    return answer.status;
  } catch (error) { return "refused by the browser"; }
}"""
HEAR = """async ([url, key]) => {
  const answer = await fetch(url, {headers: {"X-API-Key": key}});
  const piece = await answer.body.getReader().read();
  return new TextDecoder().decode(piece.value);
}"""
WITHOUT_COOKIES = ASK.replace(', credentials: "include"', "")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[str]:
    """The origin of somebody else's page."""
    (tmp_path / "studio").mkdir()
    (tmp_path / "studio" / "index.html").write_text("<title>Studio</title>")
    handler = partial(_Quiet, directory=str(tmp_path / "studio"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def own(tmp_path: Path, studio: str) -> Iterator[Served]:
    server = Served(tmp_path, ADMIN_USERNAME=ADMIN, ADMIN_PASSWORD=PASSWORD, CORS_ORIGINS=studio)
    server.start()
    yield server
    server.kill()


def token_of(server: Served) -> str:
    command = [sys.executable, "manage.py", "abm", "token", "create", "--user", ADMIN]
    said = subprocess.run(
        [*command, "--name", "studio", "--role", "admin"],
        cwd=ROOT,
        env=server.environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return said.stdout.split()[-1]


def test_a_token_is_all_that_counts_there(chromium: Browser, own: Served, studio: str) -> None:
    context = chromium.new_context(base_url=own.url)
    page: Page = context.new_page()
    sign_in(page)  # the cookie of a person who has both open
    key = token_of(own)
    page.goto(studio)
    lists = f"{own.url}/api/engines/status"

    assert page.evaluate(WITHOUT_COOKIES, [lists, key, "GET"]) == 200
    assert page.evaluate(WITHOUT_COOKIES, [f"{own.url}/api/users/1", key, "PATCH"]) == 422
    assert page.evaluate(WITHOUT_COOKIES, [lists, "", "GET"]) == 401
    assert page.evaluate(ASK, [lists, "", "GET"]) == "refused by the browser"
    assert page.evaluate(ASK, [f"{own.url}/engines/", "", "GET"]) == "refused by the browser"
    waits = f"{own.url}/api/engines/catalog/sync"
    assert page.evaluate(WITHOUT_COOKIES, [waits, key, "POST"]) == 200
    heard = page.evaluate(HEAR, [f"{own.url}/api/events/subscribe?channels=jobs", key])
    assert "connected" in heard
    context.close()
