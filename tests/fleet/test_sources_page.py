"""Adding images in Chromium: a build from form to catalog, an upload over a broken line."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from lab.fleet import Lab
from lab.own import OwnDaemon, own_daemon
from tests.browser.conftest import ADMIN, PASSWORD, sign_in
from tests.browser.server import Served

pytestmark = pytest.mark.fleet

TINY = "lab/tiny:latest"


@pytest.fixture(scope="module")
def own(lab: Lab) -> Iterator[OwnDaemon]:
    with own_daemon(lab.place) as own:
        yield own


@pytest.fixture(scope="module")
def client(own: OwnDaemon, registry_address: str) -> Iterator[docker.DockerClient]:
    """It has the tiny image."""
    with contextlib.closing(own.client()) as client:
        client.images.pull(f"{registry_address}/{TINY}")
        yield client


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("allowed")


@pytest.fixture(scope="module")
def page(
    chromium: Browser, own: OwnDaemon, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    """A signed-in admin's; uploads go in parts of one megabyte."""
    served = Served(
        tmp_path_factory.mktemp("abm"),
        ADMIN_USERNAME=ADMIN,
        ADMIN_PASSWORD=PASSWORD,
        DOCKER_HOST=own.host,
        MOUNT_ROOTS=str(folder),
        MAX_UPLOAD_MB="1",
    )
    served.start()
    context = chromium.new_context(base_url=served.url, viewport={"width": 390, "height": 900})
    context.set_default_timeout(20_000)
    expect.set_options(timeout=20_000)
    made = context.new_page()
    sign_in(made)
    until_docker(made)
    yield made
    context.close()
    served.kill()


def until_docker(page: Page) -> None:
    """Wait until the page knows a Docker host."""
    end = time.monotonic() + 20
    while not page.locator("#build-form").count():
        assert time.monotonic() < end, page.locator("main").inner_text()
        page.wait_for_timeout(100)
        page.goto("/engines/images/")


def test_a_fault_is_shown_at_its_field_and_the_build_ends_in_the_catalog(
    page: Page, client: docker.DockerClient, folder: Path, registry_address: str
) -> None:
    (folder / "voice").mkdir()
    (folder / "voice" / "Dockerfile").write_text(f"FROM {registry_address}/{TINY}\n")
    page.goto("/catalog/")
    page.get_by_role("link", name="Add an image").click()

    page.get_by_role("button", name="Build", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("Name either a Git repository or a folder.")
    page.get_by_label("Folder on this machine").fill(str(folder / "voice"))
    page.get_by_label("Name in the catalog").fill("my-voice")
    page.get_by_role("button", name="Build", exact=True).click()
    page.get_by_role("link", name="Open it in the catalog").click()

    expect(page.get_by_role("heading", name="Tiny")).to_be_visible()
    expect(page.get_by_text("localhost/abm/my-voice")).to_be_visible()
    expect(page.get_by_role("link", name="Push")).to_be_visible()


def test_an_upload_waits_out_a_broken_line_and_is_loaded(
    page: Page, client: docker.DockerClient, tmp_path: Path, registry_address: str
) -> None:
    named = "localhost/abm/uploaded:1"
    client.images.get(f"{registry_address}/{TINY}").tag("localhost/abm/uploaded", "1")
    file = tmp_path / "uploaded.tar"
    file.write_bytes(b"".join(client.images.get(named).save(named=named)))
    client.images.remove(named)
    parts = file.stat().st_size // 1_000_000 + 1
    offsets: list[str] = []

    def breaks(route: Route) -> None:
        """The second and the third part that are sent get lost."""
        offsets.append(route.request.url.partition("offset=")[2])
        if len(offsets) in (2, 3):
            route.abort()
        else:
            route.continue_()

    page.route(re.compile("/upload/.*offset="), breaks)
    page.goto("/engines/images/?tab=file")
    page.locator("#upload-file").set_input_files(file)
    page.get_by_role("button", name="Upload and load").click()
    link = page.get_by_role("link", name=f"Ask {named} what it is")
    link.click()

    assert parts > 1
    assert offsets[:4] == ["0", "1000000", "1000000", "1000000"]
    assert len(offsets) == parts + 2
    assert client.images.get(named)
    expect(page.locator("#examine-image")).to_have_value(named)


def test_what_an_image_says_fills_the_form(page: Page) -> None:
    page.get_by_role("button", name="Ask it what it is").click()
    page.get_by_role("link", name="Register it").click()

    expect(page.get_by_label("Name", exact=False).first).to_be_visible()
    expect(page.locator("#id_name")).to_have_value("tiny")
    expect(page.get_by_text("It said this itself")).to_be_visible()
    page.get_by_role("button", name="Register", exact=True).click()

    expect(page.get_by_text("Tiny is in the catalog now.")).to_be_visible()
