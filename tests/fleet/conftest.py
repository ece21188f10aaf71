"""The lab for tests: a running one, and daemons and registries that a test may do anything with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Protocol

import docker
import pytest
from playwright.sync_api import Browser, sync_playwright

from lab.faulty_registry import FaultyRegistry
from lab.fleet import NOT_UP, Lab
from lab.own import OwnDaemon, own_daemon, own_registry, own_remote
from lab.place import LabError, the_place
from lab.pushing import Pusher
from lab.registry import Registry
from tests.browser.conftest import CHROMIUM
from tests.fleet.remotes import Box, let_in


class MakeDaemon(Protocol):
    """Starts one more daemon with options of own_daemon; it ends with the test."""

    def __call__(self, **options: Any) -> OwnDaemon: ...


class MakeBox(Protocol):
    """Starts one more remote host with options of own_remote; it ends with the test."""

    def __call__(self, **options: Any) -> Box: ...


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The lab that is up. It is shared: read its registry, and leave its daemon alone."""
    lab = Lab(the_place())
    try:
        lab.require_up()
    except LabError:
        pytest.skip(NOT_UP)
    return lab


@pytest.fixture(scope="session")
def registry_address(lab: Lab) -> str:
    """Where the lab's images are: `<address>/lab/tone` and so on. Do not push to it."""
    return lab.place.registry


@pytest.fixture
def make_daemon(lab: Lab) -> Iterator[MakeDaemon]:
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> OwnDaemon:
            return stack.enter_context(own_daemon(lab.place, **options))

        yield make


@pytest.fixture
def daemon(make_daemon: MakeDaemon) -> OwnDaemon:
    """An empty Docker daemon of this test's own, to be broken at will."""
    return make_daemon()


@pytest.fixture(scope="module")
def shared_client(lab: Lab) -> Iterator[docker.DockerClient]:
    """A client of a daemon that the tests of one file share, with what they have pulled."""
    with own_daemon(lab.place) as own, contextlib.closing(own.client()) as client:
        yield client


@pytest.fixture
def docker_client(daemon: OwnDaemon) -> Iterator[docker.DockerClient]:
    """A client of the test's own daemon."""
    with contextlib.closing(daemon.client()) as client:
        yield client


@pytest.fixture
def own_images(lab: Lab) -> Iterator[Registry]:
    """An empty registry of this test's own."""
    with own_registry(lab.place) as registry:
        yield registry


@pytest.fixture
def pusher(own_images: Registry) -> Iterator[Pusher]:
    """Puts images into the test's own registry, in a moment and without a daemon."""
    with Pusher(own_images.address) as pusher:
        yield pusher


@pytest.fixture
def faulty_registry(own_images: Registry) -> Iterator[FaultyRegistry]:
    """A door to the test's own registry that counts requests and fails as it is told to."""
    with FaultyRegistry(own_images.address) as door:
        yield door


@pytest.fixture
def faulty_lab_registry(registry_address: str) -> Iterator[FaultyRegistry]:
    """The same in front of the lab's registry, with all of its images behind."""
    with FaultyRegistry(registry_address) as door:
        yield door


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """For one file at a time: Playwright keeps a loop in its thread, and others make their own."""
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt install chromium, or set CHROMIUM to its path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def shared_box(lab: Lab) -> Iterator[Box]:
    """A remote host with a simulated card that the tests of one file share: do not break it."""
    with own_remote(lab.place, has_card=True) as own:
        yield let_in(own)


@pytest.fixture
def make_box(lab: Lab) -> Iterator[MakeBox]:
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> Box:
            return let_in(stack.enter_context(own_remote(lab.place, **options)))

        yield make


@pytest.fixture
def box(make_box: MakeBox) -> Box:
    """A remote host of this test's own, reached by SSH, to be broken at will."""
    return make_box()
