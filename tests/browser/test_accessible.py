"""Pages as people meet them who use a keyboard, a screen reader, or see colours differently.

axe-core judges them by the rules of WCAG 2.2, levels A and AA, and by its own good practice.
"""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.browser.conftest import sign_in
from tests.browser.server import Served
from tests.browser.test_main_job import open_engine

RULES = {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }
}
PAGES = (
    *("/", "/catalog/", "/catalog/1/", "/engines/", "/engines/samples/", "/engines/images/"),
    *("/hosts/", "/hosts/1/", "/hosts/add/", "/jobs/", "/search/?q=e", "/settings/", "/system/"),
    *("/accounts/users/", "/accounts/profile/", "/accounts/security/", "/accounts/audit/"),
    *("/docs/", "/style/"),
)
TABS = ("try", "models", "settings", "logs", "updates", "details", "use")


def faults(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it stands."""
    found: list[dict[str, Any]] = Axe().run(page, options=RULES).response["violations"]
    return [
        f"{page.url} {rule['id']}: {node['html'][:200]}" for rule in found for node in rule["nodes"]
    ]


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_no_rule_of_accessibility_is_broken(
    chromium: Browser, served: Served, width: int, scheme: Any
) -> None:
    context = chromium.new_context(
        base_url=served.url, viewport={"width": width, "height": 900}, color_scheme=scheme
    )
    page = context.new_page()
    page.goto("/accounts/login/")
    found = faults(page)
    sign_in(page)
    open_engine(page, "eSpeak NG")
    engine = page.url.partition("?")[0]
    for path in (*PAGES, *(f"{engine}?tab={tab}" for tab in TABS)):
        answered = page.goto(path)
        assert answered is not None and answered.ok, path
        page.wait_for_timeout(150)
        found += faults(page)
    page.goto("/catalog/")
    page.get_by_role("link", name="Install pySBD", exact=True).click()
    page.locator("#dialog").get_by_role("button", name="Install").wait_for()
    found += faults(page)
    context.close()
    assert not found, "\n".join(found)
