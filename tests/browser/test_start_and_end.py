"""Starting, the first admin, and what a kill -9 leaves behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.server import Served
from tests.browser.test_main_job import LONG, install, state


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path)
    yield server
    server.kill()
    server.end_engines()


def page_of(chromium: Browser, server: Served) -> Page:
    context = chromium.new_context(base_url=server.url)
    context.set_default_timeout(15_000)
    return context.new_page()


def make_admin(page: Page, server: Served) -> None:
    page.goto(server.setup_link())
    page.get_by_label("Name").fill("grace")
    page.get_by_label("Password").fill("a fine long password")
    page.get_by_role("button", name="Make me admin").click()
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()


def test_the_setup_link_makes_one_admin_and_is_used_up(chromium: Browser, own: Served) -> None:
    own.start()
    page = page_of(chromium, own)
    link = own.setup_link()

    make_admin(page, own)

    assert httpx.get(link).status_code == 404
    assert httpx.get(f"{own.url}/engines/").status_code == 302
    assert own.stop() == 0
    own.start()
    assert own.said().count("/setup/") == 1


def test_engines_outlive_abm_and_are_found_again(chromium: Browser, own: Served) -> None:
    own.start()
    page = page_of(chromium, own)
    make_admin(page, own)
    install(page, "pySBD")
    address = page.url

    own.stop()
    own.start()

    page.goto(address)
    expect(state(page)).to_have_text("Running")
    page.get_by_role("button", name="Cut into segments").click()
    expect(page.locator(".segments li").first).to_be_visible()


def test_an_install_that_was_killed_ends_failed_and_can_be_done_again(
    chromium: Browser, own: Served
) -> None:
    own.start()
    page = page_of(chromium, own)
    make_admin(page, own)
    page.goto("/catalog/")
    page.get_by_role("link", name="Install PocketSphinx", exact=True).click()
    page.locator("#dialog").get_by_role("button", name="Install").click()
    page.wait_for_url("**/jobs/*/")
    own.kill()

    own.start()

    page.reload()
    word = page.locator(".head-state .state-word")
    expect(word).to_have_text("Failed")
    expect(page.locator(".trouble")).to_contain_text("abm was stopped while this ran")
    page.get_by_role("button", name="Retry").click()
    page.wait_for_timeout(300)
    expect(word).to_have_text("Done", timeout=LONG)


def test_a_second_start_answers_within_two_seconds(own: Served) -> None:
    own.start()
    own.stop()

    seconds = own.start()

    # A generous bound: the figure itself is bench/results.md's.
    assert seconds < 10


def test_a_second_abm_on_the_same_data_is_refused_with_a_sentence(own: Served) -> None:
    own.start()
    other = Served(own.folder)

    with pytest.raises(AssertionError, match="is in use by abm with the process number"):
        other.start()


def test_a_killed_engine_is_noticed_and_kept_running(chromium: Browser, own: Served) -> None:
    own.start()
    page = page_of(chromium, own)
    make_admin(page, own)
    install(page, "pySBD")
    page.get_by_label("Keep running").check()

    own.end_engines()

    expect(state(page)).to_have_text("Failed", timeout=5_000)
    expect(page.locator(".trouble")).to_contain_text("ended by itself")
    expect(state(page)).to_have_text("Running", timeout=LONG)


def test_an_upload_that_is_too_large_is_refused_before_it_is_stored(own: Served) -> None:
    own.start()
    began = time.monotonic()

    def chunks() -> Iterator[bytes]:
        for _ in range(300):
            yield b"x" * 1_000_000

    for body in (b"x" * 150_000_000, chunks()):
        try:
            answer = httpx.post(f"{own.url}/engines/1/try/", content=body, timeout=30)
        except httpx.HTTPError:
            continue  # it hung up on a sender that did not stop to listen
        assert answer.status_code == 413
        assert "MAX_UPLOAD_MB" in answer.text

    assert time.monotonic() - began < 20
    assert httpx.get(f"{own.url}/healthz").json() == {"status": "ok"}


def test_a_strange_host_name_is_refused_with_the_variable_to_set(own: Served) -> None:
    own.start()

    answer = httpx.get(f"{own.url}/", headers={"Host": "abm.lan:8765"})

    assert answer.status_code == 400
    assert "ALLOWED_HOSTS=abm.lan" in answer.text
