"""The contract of all runners, asked of Docker's on a remote host, by SSH."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from hosts.runners.base import EngineSpec
from hosts.runners.docker.remote import RemoteDockerRunner
from hosts.ssh.link import Link
from hosts.ssh.tunnel import Tunnel
from tests.fleet.docker_driver import docker_driver
from tests.fleet.remotes import HOST_ID, Box
from tests.hosts.drivers import Driver
from tests.hosts.test_contract import *  # noqa: F403

pytestmark = pytest.mark.fleet


def without_folders(spec: EngineSpec) -> EngineSpec:
    """What abm has on this machine is not over there."""
    return replace(spec, samples_dir=None, models_dir=None)


@pytest.fixture(scope="module")
def link(shared_box: Box) -> Iterator[Link]:
    with Link(shared_box.target) as made:
        yield made


@pytest.fixture(scope="module")
def client(shared_box: Box) -> Iterator[docker.DockerClient]:
    """The same daemon over its unix socket, which the lab can see."""
    with contextlib.closing(shared_box.own.remote.daemon.client()) as client:
        yield client


@pytest.fixture  # type: ignore[no-redef]  # it takes the place of the imported one
def driver(
    shared_box: Box,
    link: Link,
    client: docker.DockerClient,
    registry_address: str,
    tmp_path: Path,
) -> Iterator[Driver]:
    doors: dict[int, Tunnel] = {}

    def door(port: int) -> str:
        if port not in doors:
            doors[port] = Tunnel(link, port)
        return doors[port].url

    def run() -> RemoteDockerRunner:
        return RemoteDockerRunner(link, host_id=HOST_ID, door=door)

    daemon: Any = shared_box.own.remote.daemon  # of which only the address is asked for
    with docker_driver(daemon, client, registry_address, tmp_path) as made:
        yield replace(
            made,
            open=run,
            occupy=lambda port: client.containers.run(
                f"{registry_address}/lab/tiny",
                ["/bin/busybox", "sleep", "600"],
                ports={"1/tcp": ("127.0.0.1", port)},
                detach=True,
            ),
            complete=lambda spec: without_folders(made.complete(spec)),
        )
    for one in doors.values():
        one.close()
