"""The main job on Docker, in Chromium: install an image, start it, hear it, look into it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from lab.fleet import Lab
from lab.own import OwnDaemon, own_daemon
from tests.browser.conftest import ADMIN, PASSWORD, sign_in
from tests.browser.server import Served

pytestmark = pytest.mark.fleet

WIDE = {"width": 1440, "height": 900}


@pytest.fixture(scope="module")
def own(lab: Lab) -> Iterator[OwnDaemon]:
    with own_daemon(lab.place) as own:
        yield own


@pytest.fixture(scope="module")
def served(lab: Lab, own: OwnDaemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(
        tmp_path_factory.mktemp("abm"),
        ADMIN_USERNAME=ADMIN,
        ADMIN_PASSWORD=PASSWORD,
        DOCKER_HOST=own.host,
        CATALOG_URL=lab.place.catalog_url,
        CATALOG_SYNC="true",
    )
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def page(chromium: Browser, served: Served) -> Iterator[Page]:
    """One page through the whole story; an error in its console fails the test that made it."""
    context = chromium.new_context(base_url=served.url, viewport=WIDE)
    context.set_default_timeout(20_000)
    expect.set_options(timeout=20_000)
    made = context.new_page()
    sign_in(made)
    yield made
    context.close()


@pytest.fixture(autouse=True)
def no_complaints(page: Page) -> Iterator[None]:
    said: list[str] = []

    def heard(message: object) -> None:
        said.append(str(message))

    page.on("pageerror", heard)
    yield
    page.remove_listener("pageerror", heard)
    assert not said


def open_tab(page: Page, tab: str) -> None:
    page.goto("/engines/")
    page.get_by_role("link", name="Tone", exact=True).click()
    page.locator("nav.tabs").get_by_role("link", name=tab, exact=True).click()


def test_the_host_says_what_docker_it_has(page: Page) -> None:
    page.goto("/hosts/")
    page.get_by_role("link", name="Docker on this machine", exact=True).click()

    # Its disk is a small one in memory, which is told.
    expect(page.locator(".head-state .state-word")).to_have_text(re.compile("Available|Degraded"))
    expect(page.locator(".head")).to_contain_text("20.10")


def test_an_image_is_installed_started_and_heard(page: Page) -> None:
    page.goto("/catalog/")
    card = page.locator("article", has=page.get_by_role("link", name="Tone", exact=True))
    card.get_by_role("link", name="Install").click()
    dialog = page.locator("#dialog")
    expect(dialog).to_contain_text("Docker on this machine fits")
    dialog.get_by_role("button", name="Install").click()
    page.wait_for_url(re.compile("/jobs/"))

    expect(page.locator(".head-state .state-word")).to_have_text("Done", timeout=60_000)
    expect(page.locator(".steps")).to_contain_text("Pull the image")
    page.get_by_role("link", name="Try it").click()
    page.get_by_role("button", name="Speak").click()

    expect(page.locator(".trial canvas").first).to_be_visible()
    expect(page.locator(".trial").first).to_contain_text("real-time factor")


def test_what_it_uses_is_drawn_and_comes_by_itself(page: Page) -> None:
    open_tab(page, "Stats")

    expect(page.locator(".u-over")).to_have_count(3)
    expect(page.locator("#engine-stats")).to_contain_text(re.compile(r"[\d.]+ MB"))


def test_an_admin_types_into_its_shell(page: Page) -> None:
    open_tab(page, "Shell")
    page.get_by_role("button", name="Open").click()
    expect(page.locator("[data-shell-state]")).to_have_text("Open.")

    page.keyboard.type("echo $((6 * 7))-$ENGINE_NAME\n")

    expect(page.locator(".xterm-rows")).to_contain_text("42-")


def test_a_stop_from_outside_shows_in_the_open_page(page: Page, own: OwnDaemon) -> None:
    open_tab(page, "Try it")
    with contextlib.closing(own.client()) as client:
        (container,) = client.containers.list(filters={"label": "abm.engine=tone"})
        container.stop(timeout=1)

    expect(page.locator(".head-state .state-word")).to_have_text(re.compile("Failed|Stopped"))
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".head-state .state-word")).to_have_text("Running")


def test_a_port_is_opened_after_it_was_saved(page: Page, own: OwnDaemon) -> None:
    open_tab(page, "Settings")
    form = page.locator("#engine-container")
    form.get_by_role("button", name="Add a port").click()
    form.get_by_label("Container port").first.fill("9100")
    form.get_by_label("Host port").first.fill("port")
    form.get_by_role("button", name="Save").click()
    expect(page.locator("#engine-container .trouble")).to_be_visible()

    form.get_by_label("Host port").first.fill("19100")
    form.get_by_role("button", name="Save").click()
    expect(page.locator("#engine-container .saved")).to_contain_text("restart the engine")
    page.get_by_role("button", name="Restart", exact=True).click()
    expect(page.locator(".head-state .state-word")).not_to_have_text("Running")
    expect(page.locator(".head-state .state-word")).to_have_text("Running")

    with contextlib.closing(own.client()) as client:
        (container,) = client.containers.list(filters={"label": "abm.engine=tone"})
        bindings = container.attrs["NetworkSettings"]["Ports"]["9100/tcp"]
    assert bindings == [{"HostIp": "127.0.0.1", "HostPort": "19100"}]


def test_a_restarted_abm_finds_it_running(page: Page, served: Served) -> None:
    served.kill()
    served.start()
    page.goto("/engines/")

    expect(page.get_by_role("row", name="Tone")).to_contain_text("Running")
