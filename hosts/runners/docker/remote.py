"""Engines as containers of a Docker daemon on another machine, reached by SSH."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from hosts.oci.auth import Credentials
from hosts.runners.base import EngineEndpoint
from hosts.runners.docker.containers import DockerHost
from hosts.runners.docker.facts import MACHINES, DockerFacts
from hosts.runners.docker.runner import DockerRunner, no_credentials
from hosts.ssh.link import Link

NOWHERE = "invalid"
"""A name that leads nowhere (RFC 6761): a port of another machine's loopback is none of ours."""


def engine_host_of(host_id: str) -> str:
    """What stands for the host in the URLs of its engines; doors lead there, no name server."""
    return f"{host_id.rpartition(':')[2]}.{NOWHERE}"


class RemoteDockerRunner(DockerRunner):
    """DockerRunner over a link. It differs in how it connects and nothing else.

    `door` gives the local URL that leads to a port of the host's loopback.
    """

    def __init__(
        self,
        link: Link,
        *,
        host_id: str,
        door: Callable[[int], str],
        credentials: Callable[[str], Credentials | None] = no_credentials,
        version: str = "",
    ) -> None:
        super().__init__(
            Path(),
            link.docker_address,
            host_name=link.target.name,
            engine_host=engine_host_of(host_id),
            credentials=credentials,
            version=version,
        )
        self._link = link
        self._door = door

    def probe(self) -> DockerFacts:
        """What Docker says, and what abm's key may read of the machine itself."""
        facts = super().probe()
        told = self._link.facts()
        if told is None:
            return facts
        used = None
        if told.memory_total is not None and told.memory_available is not None:
            used = told.memory_total - told.memory_available
        return replace(
            facts,
            machine=facts.machine or MACHINES.get(told.machine, told.machine),
            load=told.load,
            memory_total=told.memory_total or facts.memory_total,
            memory_used=used,
            disk_total=told.disk_total,
            disk_free=told.disk_free,
        )

    def _host(self) -> DockerHost:
        return replace(super()._host(), is_abm_contained=False, reached=self._reached)

    def _reached(self, endpoint: EngineEndpoint) -> EngineEndpoint:
        port = urlsplit(endpoint.url).port or endpoint.port
        return EngineEndpoint(self._door(port), port)
