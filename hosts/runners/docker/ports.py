"""Ports of a host that containers are published on: which are free, and who holds the others."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import docker

from hosts.runners.base import EngineEndpoint, EngineSpec, PortTaken
from hosts.runners.docker.labels import PORT, container_of, labels_on, name_of
from hosts.runners.local_port import holder_of

LOOPBACK = "127.0.0.1"
ANY = frozenset({"", "0.0.0.0", "::"})


@dataclass(frozen=True, slots=True)
class HostPorts:
    """What is known of a host's ports now."""

    host_name: str
    held: Mapping[int, str]
    """By running containers other than the engine's own: port -> name of the container."""
    is_here: bool
    """The daemon publishes on this machine, so that abm can try a port itself."""

    def is_free(self, port: int, address: str) -> bool:
        return port not in self.held and not (self.is_here and _is_bound(port, address))

    def candidates(self, spec: EngineSpec) -> Iterator[int]:
        """Ports for the engine, the one it had first; they may be taken before they are used."""
        address = container_of(spec).engine_port_address
        own = {binding.host_port for binding in container_of(spec).ports}
        wanted = [spec.preferred_port] if spec.preferred_port in spec.ports else []
        for port in dict.fromkeys([*wanted, *spec.ports]):
            if port is None or port in spec.taken_ports or port in own:
                continue
            if self.is_free(port, address):
                yield port

    def check_own(self, spec: EngineSpec) -> None:
        """Raise PortTaken for a port of the user's own table that somebody else has."""
        for binding in container_of(spec).ports:
            port = binding.host_port
            if port is None or binding.protocol != "tcp":
                continue
            if not self.is_free(port, binding.host_address):
                raise self.taken(spec, port)

    def taken(self, spec: EngineSpec, port: int, *, detail: str = "") -> PortTaken:
        """The failure for a port of the user's own table."""
        return PortTaken(
            f"Port {port} of {self.host_name}, which {spec.name} is to be published on, is in use"
            f"{self._by(port)}. Choose another in the engine's table of ports, or stop what is "
            "there.",
            detail=detail,
        )

    def none_left(self, spec: EngineSpec, *, detail: str = "") -> PortTaken:
        """The failure when no port of the range could be had."""
        first, last = spec.ports.start, spec.ports.stop - 1
        who = self._by(first)
        return PortTaken(
            f"Every port from {first} to {last} of {self.host_name} is taken"
            f"{f' ({first}{who})' if who else ''}. End one of the programs there, or let "
            "ENGINE_PORT_START and ENGINE_PORT_MAX name other ports.",
            detail=detail,
        )

    def _by(self, port: int) -> str:
        if port in self.held:
            return f" by the container {self.held[port]}"
        said = holder_of(port) if self.is_here else ""
        return f" by{said.partition(' by')[2].rstrip(')')}" if said else ""


def ports_of(
    client: docker.APIClient, spec: EngineSpec, *, host_name: str, is_here: bool
) -> HostPorts:
    """Ask the daemon what its running containers hold. Raises what docker-py raises."""
    held: dict[int, str] = {}
    for row in client.containers():
        name = str((row.get("Names") or ["/?"])[0]).lstrip("/")
        if name != name_of(spec):
            held |= {
                int(port["PublicPort"]): name
                for port in row.get("Ports") or ()
                if "PublicPort" in port
            }
    return HostPorts(host_name, held, is_here)


def inner_port_of(found: Mapping[str, Any]) -> int:
    """Where the engine of an inspected container listens inside; 0 if it does not say."""
    text = labels_on(found).get(PORT, "")
    return int(text) if text.isdigit() else 0


def endpoint_of(found: Mapping[str, Any], *, engine_host: str) -> EngineEndpoint | None:
    """Where abm reaches the engine of an inspected container; None if nothing leads there.

    `engine_host` is the host that answers for ports published on its loopback.
    """
    inside = inner_port_of(found)
    network = str(found.get("HostConfig", {}).get("NetworkMode", ""))
    bindings = found.get("HostConfig", {}).get("PortBindings") or {}
    for bound in bindings.get(f"{inside}/tcp") or ():
        if str(bound.get("HostPort", "")).isdigit():
            address, port = str(bound.get("HostIp", "")), int(bound["HostPort"])
            host = engine_host if address in ANY or address == LOOPBACK else address
            return EngineEndpoint(f"http://{_written(host)}:{port}", port)
    if inside and network == "host":
        return EngineEndpoint(f"http://{_written(engine_host)}:{inside}", inside)
    if inside and network not in {"", "default", "bridge", "none"}:
        name = str(found.get("Name", "")).lstrip("/")
        return EngineEndpoint(f"http://{name}:{inside}", inside)
    return None


def _written(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _is_bound(port: int, address: str) -> bool:
    """Whether a program of this machine listens there; one that abm may not try counts as free."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.closing(socket.socket(family)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def may_keep_port(spec: EngineSpec, endpoint: EngineEndpoint) -> bool:
    """Whether the port of a container that does not run is still the engine's to have."""
    if container_of(spec).network:
        return True
    if spec.preferred_port in spec.ports and spec.preferred_port != endpoint.port:
        return False
    return endpoint.port in spec.ports and endpoint.port not in spec.taken_ports
