"""A passkey from the first press to signing in with nothing else, with a virtual authenticator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import ADMIN, PASSWORD, sign_in
from tests.browser.server import Served


@pytest.fixture
def page(chromium: Browser, served: Served) -> Iterator[Page]:
    """At localhost, which browsers trust as they trust https, with a device of its own."""
    context = chromium.new_context(base_url=f"http://localhost:{served.port}")
    context.set_default_timeout(15_000)
    made = context.new_page()
    device = context.new_cdp_session(made)
    device.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    device.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    yield made
    context.close()


def sign_out(page: Page) -> None:
    page.goto("/accounts/profile/")
    page.locator("main").get_by_role("button", name="Sign out").click()
    page.wait_for_url(lambda url: "/accounts/login/" in url)


def test_a_passkey_is_added_and_signs_in_alone(page: Page) -> None:
    problems: list[str] = []
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    sign_in(page)
    page.goto("/accounts/security/")
    page.get_by_role("link", name="Add a passkey").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("Name").fill("Laptop")
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    page.get_by_role("link", name="Done").click()
    expect(page.get_by_role("cell", name="Laptop", exact=True)).to_be_visible()
    sign_out(page)

    page.goto("/accounts/login/?next=/jobs/")
    page.get_by_role("button", name="Use a passkey").click()

    page.wait_for_url(lambda url: url.endswith("/jobs/") and "next" not in url)
    page.goto("/accounts/profile/")
    expect(page.get_by_role("heading", name=ADMIN)).to_be_visible()

    # With a password it is the second step.
    sign_out(page)
    page.goto("/accounts/login/")
    page.get_by_label("Name").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="One more step")).to_be_visible()
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(lambda url: "/security/" not in url and "/login" not in url)

    page.goto("/accounts/security/")
    page.get_by_role("link", name="Remove Laptop").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_role("cell", name="Laptop", exact=True)).to_have_count(0)
    sign_out(page)
    assert problems == []
