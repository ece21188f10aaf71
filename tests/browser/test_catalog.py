"""The catalog in a browser: filters, their addresses, and what changes meanwhile."""

from __future__ import annotations

import re
import subprocess
import sys

from playwright.sync_api import Page, expect

from tests.browser.server import ROOT, Served

CHANGE = """
from catalog.models import CatalogEntry, CatalogSource
from jobs.events import announce
source = CatalogSource.objects.get(name="abm")
entry = source.entries.get(name="{name}")
CatalogEntry.objects.filter(pk=entry.pk).update(overrides={{"description": "{text}"}})
announce("catalog", "catalog.changed", pk=source.pk)
"""


def change(served: Served, name: str, text: str) -> None:
    """Let another process change an entry, as a sync of a worker would."""
    command = [sys.executable, "manage.py", "shell", "-c", CHANGE.format(name=name, text=text)]
    subprocess.run(command, cwd=ROOT, env=served.environment, check=True, capture_output=True)


def test_a_filter_is_in_the_address_and_kept_by_live_changes(page: Page, served: Served) -> None:
    page.goto("/catalog/")
    cards = page.locator("#catalog-cards article")
    expect(cards).to_have_count(4)

    page.get_by_label("Type").select_option("stt")
    expect(cards).to_have_count(1)
    expect(page).to_have_url(re.compile(r"type=stt"))
    change(served, "pocketsphinx", "Hears a little.")

    expect(cards).to_contain_text("Hears a little.")
    expect(cards).to_have_count(1)


def test_back_shows_the_cards_that_were_there(page: Page) -> None:
    page.goto("/catalog/?type=tts")
    cards = page.locator("#catalog-cards article")
    page.get_by_role("link", name="eSpeak NG", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("eSpeak NG")

    page.go_back()

    expect(cards).to_have_count(1)
    expect(page.get_by_label("Type")).to_have_value("tts")


def test_sync_tells_the_job_in_its_row_without_leaving_the_page(page: Page) -> None:
    page.goto("/catalog/")
    row = page.locator("#catalog-sources tr", has_text="Comes with abm")

    row.get_by_role("button", name="Sync").click()

    expect(row.get_by_role("button", name="Sync")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("Catalog")
    page.goto("/jobs/")
    expect(page.locator("#job-list")).to_contain_text("Sync the catalog")


def test_nothing_is_wider_than_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/catalog/")
    link = page.get_by_role("link", name="Silero VAD", exact=True)
    for go in (lambda: None, link.click):
        go()
        page.wait_for_load_state()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
