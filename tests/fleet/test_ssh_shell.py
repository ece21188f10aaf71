"""All tests of a shell in a container, asked of one on a remote host."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from hosts.runners.docker.connection import connect
from hosts.runners.docker.shell import ANY_SHELL, ShellSession
from hosts.ssh.link import Link
from tests.fleet.remotes import Box
from tests.fleet.test_shell import *  # noqa: F403
from tests.fleet.test_shell import SECONDS, Open

pytestmark = pytest.mark.fleet


class Far:
    """A remote daemon with what those tests ask of a daemon of their own."""

    def __init__(self, box: Box, link: Link) -> None:
        self._box, self._link = box, link

    @property
    def host(self) -> str:
        """Its unix socket, for the one test that makes a client of its own kind."""
        return self._box.own.remote.host

    def client(self) -> docker.DockerClient:
        made = self._box.own.remote.daemon.client()
        made.api.close()
        made.api = connect(self._link.docker_address)
        return made


@pytest.fixture(scope="module")  # type: ignore[no-redef]  # in place of the imported one
def own(shared_box: Box) -> Iterator[Far]:
    with Link(shared_box.target) as link:
        yield Far(shared_box, link)


@pytest.fixture(scope="module")  # type: ignore[no-redef]
def container(own: Far, registry_address: str) -> Iterator[Any]:
    with contextlib.closing(own.client()) as client:
        image = f"{registry_address}/library/python:3.11-slim"
        client.images.pull(image)
        made = client.containers.run(image, ["sleep", "600"], detach=True, init=True)
        yield made
        made.kill()


@pytest.fixture  # type: ignore[no-redef]
def open_shell(own: Far, container: Any) -> Iterator[Open]:
    opened: list[ShellSession] = []

    def open_one(*command: str, **options: Any) -> ShellSession:
        program = command or ANY_SHELL
        session = ShellSession(own.client().api, container.id, program, **options)
        opened.append(session)
        return session

    yield open_one
    for session in opened:
        session.close()
        assert session.wait_closed(SECONDS)
