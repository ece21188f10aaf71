"""The contract of all runners, asked of Docker's as it stands."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from lab.fleet import Lab
from lab.own import OwnDaemon, own_daemon
from tests.fleet.docker_driver import docker_driver
from tests.hosts.drivers import Driver
from tests.hosts.test_contract import *  # noqa: F403

pytestmark = pytest.mark.fleet


@pytest.fixture(scope="module")
def machine(lab: Lab) -> Iterator[OwnDaemon]:
    with own_daemon(lab.place) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def client(machine: OwnDaemon) -> Iterator[docker.DockerClient]:
    with contextlib.closing(machine.client()) as client:
        yield client


@pytest.fixture  # type: ignore[no-redef]  # it takes the place of the imported one
def driver(
    machine: OwnDaemon, client: docker.DockerClient, registry_address: str, tmp_path: Path
) -> Iterator[Driver]:
    with docker_driver(machine, client, registry_address, tmp_path) as made:
        yield made
