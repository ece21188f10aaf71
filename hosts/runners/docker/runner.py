"""Engines as containers of a Docker daemon."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import docker

from hosts.oci.auth import Credentials
from hosts.runners.base import (
    EngineEndpoint,
    EngineFailed,
    EngineRunner,
    EngineSpec,
    EngineStatus,
    HostNotReady,
    HostUnreachable,
    ImageState,
    Progress,
    RunnerError,
)
from hosts.runners.docker import containers
from hosts.runners.docker.connection import DockerAddress, candidates, connect
from hosts.runners.docker.container_logs import follow_lines, last_lines
from hosts.runners.docker.containers import DockerHost
from hosts.runners.docker.detection import detect
from hosts.runners.docker.errors import FOREIGN, UNREADABLE, mapped
from hosts.runners.docker.facts import DockerFacts, read_facts
from hosts.runners.docker.finding import DockerState, Finding
from hosts.runners.docker.images import find_image, remove_image, state_of
from hosts.runners.docker.installing import Installer
from hosts.runners.docker.listening import address_problem, is_reached
from hosts.runners.docker.observed import listeners_in, status_of
from hosts.runners.docker.ports import endpoint_of, inner_port_of
from hosts.runners.docker.received import received_by
from hosts.runners.docker.shell import ShellSession
from hosts.runners.docker.storage import DockerStorage
from hosts.runners.docker.system import read_system
from hosts.runners.docker.workshop import DockerWorkshop
from jobs.outcome import CancelToken

THIS_MACHINE = "this machine"
REMOVE_GRACE = 5.0
SILENT = frozenset({DockerState.UNREACHABLE, DockerState.STARTING})


def no_credentials(registry: str) -> Credentials | None:
    """No login is stored for any registry."""
    return None


NAMES: dict[str, str] = {}
"""Address -> the name of the machine of its daemon, which stays while abm runs."""


class DockerRunner(EngineRunner):
    """Runs engines as containers, which it knows by their labels alone.

    Without an `address` it finds the daemon of this machine (see `detection`). `engine_host` is
    who answers, as abm sees it, for ports published on the host's loopback; `credentials` gives
    the stored login of a registry.
    """

    INSTALL_STEPS: ClassVar[Mapping[str, tuple[str, float]]] = {
        "resolve": ("Look what the image is", 0.01),
        "check": ("Ask its registry for sizes", 0.02),
        "pull": ("Pull the image", 0.95),
        "ready": ("Check and finish", 0.02),
    }

    def __init__(
        self,
        data_dir: Path,
        address: DockerAddress | None = None,
        *,
        host_name: str = THIS_MACHINE,
        engine_host: str = "127.0.0.1",
        credentials: Callable[[str], Credentials | None] = no_credentials,
        version: str = "",
    ) -> None:
        self._address = address
        self._host_name = host_name
        self._engine_host = engine_host
        self._credentials = credentials
        self._version = version
        self._client: docker.APIClient | None = None
        self._is_apart = self._is_elsewhere = False
        """abm runs in a container, and the daemon outside of it."""

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def probe(self) -> DockerFacts:
        if self._address is None:
            finding = detect()
            if finding.facts is None:
                raise _refusal(finding)
            return finding.facts
        host = self._host()
        with mapped(self._host_name, otherwise=HostNotReady):
            return read_facts(host.client, self._address, read_system())

    def install(self, spec: EngineSpec, cancel: CancelToken) -> Iterator[Progress]:
        facts, host = self.probe(), self._host()
        installer = Installer(host.client, facts, self._host_name, self._credentials)
        yield from installer.install(spec, cancel)

    def start(self, spec: EngineSpec) -> EngineEndpoint:
        return containers.start(self._host(), spec)

    def stop(self, spec: EngineSpec, *, grace: float) -> None:
        containers.stop(self._host(), spec, grace=grace)

    def remove(self, spec: EngineSpec, *, keeps_image: bool = False) -> int:
        host = self._host()
        with mapped(self._host_name):
            written = containers.remove(host, spec, grace=REMOVE_GRACE)
            return written + (0 if keeps_image else remove_image(host.client, spec))

    def status(self, spec: EngineSpec) -> EngineStatus:
        host = self._host()
        with mapped(self._host_name):
            return status_of(host, spec)

    def logs(self, spec: EngineSpec, *, tail: int) -> list[str]:
        host = self._host()
        with mapped(self._host_name):
            found = containers.find(host.client, spec)
            return last_lines(host.client, found["Id"], tail=tail) if found else []

    def follow(self, spec: EngineSpec, *, tail: int, cancel: CancelToken) -> Iterator[str]:
        client = self._host().client
        with mapped(self._host_name):
            yield from follow_lines(
                client, lambda: containers.find(client, spec), tail=tail, cancel=cancel
            )

    def size(self, spec: EngineSpec) -> int | None:
        host = self._host()
        with mapped(self._host_name):
            image = find_image(host.client, spec)
        return int(image.get("Size") or 0) if image else None

    def image(self, spec: EngineSpec) -> ImageState | None:
        host = self._host()
        with mapped(self._host_name):
            found = find_image(host.client, spec)
        return state_of(found) if found else None

    def storage(self, deployment: str) -> DockerStorage:
        return DockerStorage(self._host(), deployment)

    def workshop(self) -> DockerWorkshop:
        return DockerWorkshop(self._host(), self._credentials)

    def end_orphan(self, pid: int, created: float) -> None:
        """Nothing: Docker's containers have a parent of their own."""

    def address_problem(self, spec: EngineSpec) -> str:
        """Why a running engine does not answer where it should, with the way out; empty if fine."""
        host = self._host()
        with mapped(self._host_name):
            found = containers.find(host.client, spec)
        if found is None or not containers.is_running(found):
            return ""
        endpoint = endpoint_of(found, engine_host=self._engine_host)
        return address_problem(
            endpoint,
            listeners_in(found),
            name=spec.name,
            inner_port=inner_port_of(found),
            is_reached=endpoint is not None and is_reached(host.reached(endpoint)),
            is_abm_contained=host.is_abm_contained,
            is_elsewhere=host.is_elsewhere,
        )

    def received(self, spec: EngineSpec) -> int | None:
        host = self._host()
        with mapped(self._host_name):
            found = containers.find(host.client, spec)
            if found is None or not containers.is_running(found):
                return None
            return received_by(host.client, spec, found, is_here=host.is_here)

    def processes(self, spec: EngineSpec) -> tuple[int, ...]:
        host = self._host()
        with mapped(self._host_name):
            found = containers.find(host.client, spec)
            if found is None or not containers.is_running(found):
                return ()
            rows = host.client.top(found["Id"], ps_args="-eo pid")["Processes"]
            return tuple(int(row[0]) for row in rows)

    def shell(
        self, spec: EngineSpec, *, cols: int, rows: int, wake: Callable[[], None]
    ) -> ShellSession:
        """A terminal inside the running container; its session outlives this runner.

        Raises EngineFailed where there is no running container.
        """
        host = self._host()
        with mapped(self._host_name):
            found = containers.find(host.client, spec)
        if found is None or not containers.is_running(found) or self._address is None:
            raise EngineFailed("Its container does not run. Start the engine first.")
        with mapped(self._host_name, otherwise=HostNotReady):
            client = connect(self._address)
        return ShellSession(
            client, found["Id"], cols=cols, rows=rows, host_name=self._host_name, wake=wake
        )

    def _host(self) -> DockerHost:
        """The daemon, connected to at the first question."""
        if self._client is None:
            self._address, self._client = self._connected()
            is_contained, is_tcp = read_system().is_container, self._address.is_tcp
            has_other_name = (is_contained or is_tcp) and self._has_other_name()
            self._is_apart = is_contained and has_other_name
            self._is_elsewhere = is_tcp and has_other_name
        is_socket = bool(self._address and (self._address.path or self._address.pipe))
        return DockerHost(
            self._client,
            self._host_name,
            engine_host=self._engine_host,
            is_here=is_socket and not self._is_apart,
            is_abm_contained=self._is_apart,
            is_elsewhere=self._is_elsewhere,
            version=self._version,
        )

    def _has_other_name(self) -> bool:
        """The daemon runs outside of the container that abm runs in."""
        assert self._address is not None and self._client is not None
        url = self._address.url
        if url not in NAMES:
            with mapped(self._host_name):
                NAMES[url] = str(self._client.info().get("Name"))
        return NAMES[url] != platform.node()

    def _connected(self) -> tuple[DockerAddress, docker.APIClient]:
        if self._address is not None:
            with mapped(self._host_name, otherwise=HostNotReady):
                return self._address, connect(self._address)
        for address in candidates():
            if address.is_there:
                try:
                    return address, connect(address)
                except (*FOREIGN, *UNREADABLE, HostNotReady):
                    continue  # another place may answer; if none does, detection says why
        finding = detect()
        if finding.address is None or not finding.state.is_usable:
            raise _refusal(finding)
        with mapped(self._host_name, otherwise=HostNotReady):
            return finding.address, connect(finding.address)


def _refusal(finding: Finding) -> RunnerError:
    """Detection's sentence and the first step of the way out."""
    steps = [step.text for step in finding.way_out[:1]]
    kind = HostUnreachable if finding.state in SILENT else HostNotReady
    return kind(" ".join([finding.sentence, *steps]), detail=finding.detail)
