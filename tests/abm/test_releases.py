"""A newer abm is told with its command, and only if it is newer and wanted."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from abm import releases
from abm.clock import clock
from tests.catalog.conftest import CatalogServer

NOTES = "https://example.org/notes"


@pytest.fixture(autouse=True)
def asked(settings: Settings, tmp_path: Path) -> Iterator[CatalogServer]:
    """A server that is asked about releases of an abm whose version is 1.9.0."""
    web = CatalogServer()
    settings.DATA_DIR, settings.VERSION = tmp_path, "1.9.0"
    settings.RELEASES_URL, settings.RELEASE_CHECK = web.url(), True
    yield web
    web.stop()


def gives(web: CatalogServer, tag: Any, notes: str = NOTES) -> None:
    web.gives(json.dumps({"tag_name": tag, "html_url": notes}).encode())


@pytest.mark.django_db
def test_a_newer_abm_is_told_with_its_command(asked: CatalogServer, admin: Client) -> None:
    gives(asked, "v1.10.0")

    releases.ask()

    page = admin.get("/").content.decode()
    assert "abm 1.10.0 is out; this is 1.9.0. It comes by" in page
    assert NOTES in page


@pytest.mark.parametrize("tag", ["v1.9.0", "1.8.9", "v2.0.0-rc.1", None])
def test_what_is_not_newer_or_no_version_is_not_told(asked: CatalogServer, tag: Any) -> None:
    gives(asked, tag)

    releases.ask()

    assert releases.newer_release() is None


def test_notes_at_another_kind_of_address_are_not_linked(asked: CatalogServer) -> None:
    gives(asked, "v2.0.0", "javascript:alert(1)")

    releases.ask()

    assert releases.newer_release() is None


def test_it_is_asked_once_in_six_hours(asked: CatalogServer, settings: Settings) -> None:
    gives(asked, "v2.0.0")
    releases.ask()
    releases.ask()
    assert len(asked.asked) == 1

    os.utime(settings.DATA_DIR / releases.FILE, (0, 0))
    releases.ask()

    assert len(asked.asked) == 2


def test_switched_off_nobody_is_asked_and_nothing_told(
    asked: CatalogServer, settings: Settings
) -> None:
    gives(asked, "v2.0.0")
    releases.ask()
    settings.RELEASE_CHECK = False

    assert releases.newer_release() is None
    (settings.DATA_DIR / releases.FILE).unlink()
    releases.ask()
    assert len(asked.asked) == 1


def test_the_clock_asks() -> None:
    rung = clock(sweep_seconds=5, measures=False, backs_up=False)

    assert rung["abm.ask_releases"]["schedule"] == 3600.0
