"""The contract of all runners, asked of Docker on a remote host."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from hosts.runners.docker.runner import DockerRunner
from hosts.ssh.link import Link
from lab.door import enter
from tests.fleet.docker_driver import docker_driver
from tests.fleet.remotes import Box
from tests.hosts.drivers import Driver
from tests.hosts.test_contract import *  # noqa: F403

pytestmark = pytest.mark.fleet


@pytest.fixture(scope="module")
def link(shared_box: Box) -> Iterator[Link]:
    with Link(shared_box.target) as made:
        yield made


@pytest.fixture(scope="module")
def near(shared_box: Box) -> Iterator[docker.DockerClient]:
    """The same daemon over its unix socket: what a test does behind abm's back."""
    with contextlib.closing(shared_box.own.remote.daemon.client()) as client:
        yield client


def listening_there(box: Box, port: int) -> socket.socket:
    """A listener on the host's own loopback; a thread's network namespace is its own."""
    made: list[socket.socket] = []

    def make() -> None:
        pid = box.own.remote.room.inside(box.own.state)[2]
        enter(os.open(f"/proc/{pid}/ns/net", os.O_RDONLY))
        made.append(socket.create_server(("127.0.0.1", port)))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join(10)
    return made[0]


@pytest.fixture  # type: ignore[no-redef]  # it takes the place of the imported one
def driver(
    shared_box: Box,
    link: Link,
    near: docker.DockerClient,
    registry_address: str,
    tmp_path: Path,
) -> Iterator[Driver]:
    for name in ("s", "m/tiny"):  # abm makes no folders on another machine
        (tmp_path / name).mkdir(parents=True)
    with contextlib.ExitStack() as held:

        def occupy(port: int) -> None:
            held.enter_context(listening_there(shared_box, port))

        with docker_driver(shared_box.own, near, registry_address, tmp_path) as local:

            def hold(spec: EngineSpec) -> EngineSpec:  # noqa: F405
                # abm and the daemon each ask their own 127.0.0.1.
                made = local.hold_install(spec)
                assert made.container is not None
                occupy(int(made.container.image.partition(":")[2].partition("/")[0]))
                return made

            yield replace(
                local,
                open=lambda: DockerRunner(
                    Path("/nowhere"), link.docker_address, host_name="gpu-box"
                ),
                occupy=occupy,
                hold_install=hold,
            )
