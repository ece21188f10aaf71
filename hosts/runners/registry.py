"""Which runner reaches which type of host: a new driver is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hosts.oci.auth import Credentials
from hosts.runners.base import EngineRunner, HostNotReady
from hosts.runners.docker.remote import RemoteDockerRunner
from hosts.runners.docker.runner import DockerRunner, no_credentials
from hosts.runners.local import LocalRunner
from hosts.ssh.link import Link


@dataclass(frozen=True, slots=True)
class Far:
    """A remote host: its id, the link to it, and what gives local URLs for its ports."""

    host_id: str
    link: Link
    door: Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Setup:
    """What runners are told of this abm."""

    data_dir: Path
    host_name: str = "this machine"
    engine_host: str = "127.0.0.1"
    """Where ports that a daemon publishes are reached from here."""
    version: str = ""
    credentials: Callable[[str], Credentials | None] = no_credentials
    """The stored login of a registry, by the registry's name."""
    far: Far | None = None
    """How a host is reached that is another machine."""


def _local(setup: Setup) -> EngineRunner:
    return LocalRunner(setup.data_dir)


def _docker(setup: Setup) -> EngineRunner:
    return DockerRunner(
        setup.data_dir,
        host_name=setup.host_name,
        engine_host=setup.engine_host,
        version=setup.version,
        credentials=setup.credentials,
    )


def _remote_docker(setup: Setup) -> EngineRunner:
    if setup.far is None:
        raise HostNotReady(f"How {setup.host_name} is reached is not known. Add it again.")
    return RemoteDockerRunner(
        setup.far.link,
        host_id=setup.far.host_id,
        door=setup.far.door,
        version=setup.version,
        credentials=setup.credentials,
    )


RUNNERS: dict[str, Callable[[Setup], EngineRunner]] = {
    "subprocess": _local,
    "docker:local": _docker,
    "docker:remote": _remote_docker,
}


def open_runner(host_type: str, setup: Setup) -> EngineRunner:
    """The runner for hosts of `host_type`. Raises HostNotReady for a type without a driver."""
    if host_type not in RUNNERS:
        raise HostNotReady(f"abm has no driver for hosts of the type {host_type} yet.")
    return RUNNERS[host_type](setup)
