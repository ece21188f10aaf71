"""Which runner reaches which type of host: a new driver is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hosts.oci.auth import Credentials
from hosts.runners.base import EngineRunner, HostNotReady
from hosts.runners.docker.runner import DockerRunner, no_credentials
from hosts.runners.local import LocalRunner


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


RUNNERS: dict[str, Callable[[Setup], EngineRunner]] = {
    "subprocess": _local,
    "docker:local": _docker,
}


def open_runner(host_type: str, setup: Setup) -> EngineRunner:
    """The runner for hosts of `host_type`. Raises HostNotReady for a type without a driver."""
    if host_type not in RUNNERS:
        raise HostNotReady(f"abm has no driver for hosts of the type {host_type} yet.")
    return RUNNERS[host_type](setup)
