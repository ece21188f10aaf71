"""What people do on abm's pages in these stories."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

ADMIN, PASSWORD = "ada", "correct horse battery"
LONG = 90_000


def sign_in(page: Page) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("Name").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/login/" not in url)


def wait_for_docker(page: Page) -> None:
    page.goto("/hosts/")
    page.get_by_role("link", name="Docker on this machine", exact=True).click()
    expect(page.locator(".head-state .state-word")).to_have_text(re.compile("Available|Degraded"))


def add_host(page: Page, name: str, url: str, *, paste: Callable[[str], object]) -> None:
    """A host by SSH, in the three steps; `paste` types abm's command over there."""
    page.goto("/hosts/add/")
    page.locator("#add-name").fill(name)
    page.locator("#add-url").fill(url)
    page.get_by_role("button", name="Next").click()
    paste(page.locator("pre", has_text="sh <<").first.inner_text())
    page.get_by_role("button", name="I have pasted it: check").click()
    page.locator("#accept-1").click()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".head-state .state-word")).to_have_text(re.compile("Available|Degraded"))


def install(page: Page, name: str, *, host: str = "Docker on this machine") -> None:
    """From the catalog's card to the end of the job."""
    page.goto("/catalog/")
    card = page.locator("article", has=page.get_by_role("link", name=name, exact=True))
    card.get_by_role("link", name="Install").click()
    dialog = page.locator("#dialog")
    dialog.get_by_role("radio", name=host).check()
    dialog.get_by_role("button", name="Install").click()
    page.wait_for_url(re.compile("/jobs/"))
    expect(page.locator(".head-state .state-word")).to_have_text("Done", timeout=LONG)


def speak(page: Page) -> None:
    """On the page of the finished job: try the engine, which starts it, and see what it says."""
    page.get_by_role("link", name="Try it").click()
    page.get_by_role("button", name="Speak").click()
    expect(page.locator(".trial canvas").first).to_be_visible()


def open_tab(page: Page, tab: str, *, engine: str = "Tone") -> None:
    page.goto("/engines/")
    page.get_by_role("link", name=engine, exact=True).click()
    page.locator("nav.tabs").get_by_role("link", name=tab, exact=True).click()
