"""One daemon, one built image and one running stack for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from lab import stack as servers
from lab.fleet import NOT_UP, Lab
from lab.own import OwnDaemon, own_daemon
from lab.place import LabError, the_place
from lab.pushing import Pusher
from tests.browser.conftest import CHROMIUM
from tests.stack.stack import BUILD_SECONDS, NO_COMPOSE, Stack, catalog_served, has_compose

NO_CHROMIUM = "no Chromium: apt install chromium, or set CHROMIUM to its path"
WIDE = {"width": 1440, "height": 900}


@pytest.fixture(scope="session")
def lab() -> Lab:
    lab = Lab(the_place())
    try:
        lab.require_up()
    except LabError:
        pytest.skip(NOT_UP)
    if not has_compose():
        pytest.skip(NO_COMPOSE)
    return lab


@pytest.fixture(scope="session")
def own(lab: Lab) -> Iterator[OwnDaemon]:
    with Pusher(lab.place.registry) as pusher:
        servers.ensure(pusher)
    with own_daemon(lab.place) as own:
        yield own


@pytest.fixture(scope="session")
def built(own: OwnDaemon, tmp_path_factory: pytest.TempPathFactory) -> OwnDaemon:
    """The daemon with abm's image on it, built as the compose file builds it."""
    Stack(own, tmp_path_factory.mktemp("build")).compose("build", "migrate", seconds=BUILD_SECONDS)
    return own


@pytest.fixture(scope="session")
def catalog(lab: Lab, own: OwnDaemon) -> Iterator[str]:
    """The address of the lab's catalog as containers reach it."""
    with catalog_served(lab.place.files, own.daemon.address) as url:
        yield url


@pytest.fixture(scope="session")
def stack(
    built: OwnDaemon, catalog: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Up, from nothing but the image."""
    values = {"CATALOG_URL": catalog, "BACKUP_PASSPHRASE": "four plain words here"}
    made = Stack(built, tmp_path_factory.mktemp("stack"), **values)
    made.up()
    yield made


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip(NO_CHROMIUM)
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def page(chromium: Browser, stack: Stack) -> Iterator[Page]:
    """One page through the whole story; its session lasts over restarts."""
    context = chromium.new_context(base_url=stack.url, viewport=WIDE)
    context.set_default_timeout(20_000)
    expect.set_options(timeout=20_000)
    yield context.new_page()
    context.close()
