"""The container of one engine: found by its labels, made, started, ended and removed."""

from __future__ import annotations

import contextlib
import http.client
import logging
import math
import re
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import APIError, NotFound

from hosts.runners.base import (
    EngineEndpoint,
    EngineSpec,
    HostNotReady,
    PortTaken,
    StartFailed,
)
from hosts.runners.docker.connection import version_of
from hosts.runners.docker.creation import body_of, make_folders, settings_digest
from hosts.runners.docker.errors import mapped
from hosts.runners.docker.images import find_image
from hosts.runners.docker.labels import IMAGE, SPEC, container_of, filter_of, labels_on, name_of
from hosts.runners.docker.networks import lost_network
from hosts.runners.docker.own_container import inside_of
from hosts.runners.docker.ports import LOOPBACK, HostPorts, endpoint_of, may_keep_port, ports_of

PLATFORM_API = (1, 41)
"""Docker 20.10: the first that takes a platform for a container."""
MOST_PORTS = 20
"""So many ports are tried: other engines that start at this moment look at the same ones."""
REPLACE_GRACE = 10.0
SHUTDOWN_SECONDS = 2.0
END_SECONDS = 5.0
LOOK_SECONDS = 0.02

log = logging.getLogger(__name__)


def as_it_is(endpoint: EngineEndpoint) -> EngineEndpoint:
    """An endpoint that is reached where it says."""
    return endpoint


@dataclass(frozen=True, slots=True)
class DockerHost:
    """What containers must know of the daemon that they are made on."""

    client: docker.APIClient
    name: str
    """How a user knows it."""
    engine_host: str = "127.0.0.1"
    """Who answers, as abm sees it, for ports published on the host's loopback."""
    is_here: bool = False
    """It has the folders and ports that abm sees, so that abm may look at them."""
    is_abm_contained: bool = False
    """abm itself runs in a container, where the host's loopback is not its own."""
    is_elsewhere: bool = False
    """It is another machine's, reached by TCP."""
    version: str = ""
    """abm's, for the label."""
    reached: Callable[[EngineEndpoint], EngineEndpoint] = as_it_is
    """Where abm gets through to an endpoint, which may lead by way of a tunnel."""


def find(client: docker.APIClient, spec: EngineSpec) -> dict[str, Any] | None:
    """The engine's container as the daemon describes it; None if there is none.

    Of several the one that runs, else the newest. Raises what docker-py raises.
    """
    rows = client.containers(all=True, filters=filter_of(spec))
    rows.sort(key=lambda row: (row.get("State") == "running", row.get("Created", 0)), reverse=True)
    for row in rows:
        with contextlib.suppress(NotFound):
            return dict(client.inspect_container(row["Id"]))
    return None


def is_running(found: Mapping[str, Any]) -> bool:
    """Its process lives; not while Docker waits to start it again."""
    state = found["State"]
    return bool(state.get("Running")) and not state.get("Restarting")


def start(host: DockerHost, spec: EngineSpec) -> EngineEndpoint:
    """Run the engine's container, a new one where none fits. Raises RunnerError."""
    with mapped(host.name, otherwise=StartFailed):
        image = find_image(host.client, spec)
        found = find(host.client, spec)
    if image is None:
        raise StartFailed(
            f"{container_of(spec).image} is not on {host.name}, so {spec.name} cannot be started. "
            "Install it again."
        )
    if found is not None and (endpoint := _taken_up(host, spec, found, image)):
        return endpoint
    with mapped(host.name, otherwise=StartFailed):
        if found is not None and is_running(found):
            _end(host, found, grace=REPLACE_GRACE)
    ports = _ports(host, spec)
    ports.check_own(spec)
    if host.is_here:
        make_folders(spec, user=_user(spec, image))
    elif host.is_abm_contained:
        make_folders(spec, user=_user(spec, image), seen=inside_of)
    if found is not None:
        with mapped(host.name, otherwise=StartFailed):
            # Not before: its log is lost with it.
            remove(host, spec, grace=REPLACE_GRACE)
        ports = _ports(host, spec)  # its own are free now
    return _started_anew(host, spec, image, ports)


def _ports(host: DockerHost, spec: EngineSpec) -> HostPorts:
    with mapped(host.name, otherwise=StartFailed):
        return ports_of(host.client, spec, host_name=host.name, is_here=host.is_here)


def _taken_up(
    host: DockerHost, spec: EngineSpec, found: Mapping[str, Any], image: Mapping[str, Any]
) -> EngineEndpoint | None:
    """Where the container that is there runs; None if it does not fit or cannot be started."""
    is_other = labels_on(found).get(SPEC) != settings_digest(spec)
    if is_other or lost_network(host.client, spec, found):
        return None
    endpoint = endpoint_of(found, engine_host=host.engine_host)
    if is_running(found):
        if found["State"].get("Paused"):
            with mapped(host.name, otherwise=StartFailed):
                host.client.unpause(found["Id"])
        return endpoint
    is_same_image = labels_on(found).get(IMAGE) == image["Id"]
    if endpoint is None or not is_same_image or not may_keep_port(spec, endpoint):
        return None
    try:
        with mapped(host.name, otherwise=StartFailed):
            if found["State"].get("Restarting"):
                host.client.stop(found["Id"], timeout=0)
            host.client.start(found["Id"])
    except PortTaken:
        return None
    return endpoint


def _started_anew(
    host: DockerHost, spec: EngineSpec, image: Mapping[str, Any], ports: HostPorts
) -> EngineEndpoint:
    """Make a container and start it, on the next port if somebody else was quicker."""
    if container_of(spec).network:
        return _made(host, spec, image, port=None)
    tried: dict[int, PortTaken] = {}
    for _ in range(MOST_PORTS):
        port = next((one for one in ports.candidates(spec) if one not in tried), None)
        if port is None:
            break
        try:
            return _made(host, spec, image, port=port)
        except PortTaken as error:
            told = re.findall(r":(\d+)\b", error.detail)
            for binding in container_of(spec).ports:
                if binding.host_port and str(binding.host_port) in told:
                    raise ports.taken(spec, binding.host_port, detail=error.detail) from error
            tried[port] = error
        ports = _ports(host, spec)
    last = list(tried.values())[-1] if tried else None
    raise ports.none_left(spec, detail=last.detail if last else "") from last


def _made(
    host: DockerHost, spec: EngineSpec, image: Mapping[str, Any], *, port: int | None
) -> EngineEndpoint:
    """One try. A container that cannot get its port is removed again."""
    body = body_of(spec, image=image, port=port, version=host.version)
    with mapped(host.name, otherwise=StartFailed):
        made = _create(host.client, spec, body)
    for warning in made.get("Warnings") or ():
        log.info("Docker on %s warns of %s: %s", host.name, spec.name, warning)
    try:
        with mapped(host.name, otherwise=StartFailed):
            host.client.start(made["Id"])
            found = host.client.inspect_container(made["Id"])
    except PortTaken:
        with mapped(host.name), contextlib.suppress(NotFound):
            host.client.remove_container(made["Id"], force=True)
        raise
    endpoint = endpoint_of(found, engine_host=host.engine_host)
    if endpoint is None:
        raise StartFailed(
            f"{spec.name} was started, but no way leads to its port "
            f"{container_of(spec).engine_port}. Give it a network, or let it publish its port."
        )
    return endpoint


def _create(client: docker.APIClient, spec: EngineSpec, body: dict[str, Any]) -> dict[str, Any]:
    platform = container_of(spec).platform or None
    if version_of(client.api_version) < PLATFORM_API:
        platform = None
    made = client.create_container_from_config(body, name_of(spec), platform)  # type: ignore[no-untyped-call]
    return dict(made)


def stop(host: DockerHost, spec: EngineSpec, *, grace: float) -> None:
    """Ask the engine, then its container, then force it. Quiet if it does not run."""
    with mapped(host.name):
        found = find(host.client, spec)
        if found is None or not (is_running(found) or found["State"].get("Restarting")):
            return
        _end(host, found, grace=grace)


def remove(host: DockerHost, spec: EngineSpec, *, grace: float) -> int:
    """End and remove every container of the engine; the bytes that they had written.

    Raises what docker-py raises.
    """
    return _remove_all(host, filter_of(spec), grace=grace)


def remove_one(host: DockerHost, container: str, *, grace: float) -> int:
    """The same for the container of this whole id."""
    return _remove_all(host, {"id": container}, grace=grace)


def _remove_all(host: DockerHost, filters: dict[str, Any], *, grace: float) -> int:
    freed, client = 0, host.client
    for row in client.containers(all=True, size=True, filters=filters):
        with contextlib.suppress(NotFound):
            found = client.inspect_container(row["Id"])
            if is_running(found):
                _end(host, found, grace=grace)
            client.remove_container(row["Id"], force=True, v=True)
            freed += int(row.get("SizeRw") or 0)
    return freed


def _end(host: DockerHost, found: Mapping[str, Any], *, grace: float) -> None:
    """By POST /shutdown, SIGTERM and SIGKILL, each with its time limit."""
    client, container = host.client, str(found["Id"])
    endpoint = endpoint_of(found, engine_host=host.engine_host)
    # Inside a container another program may have that port of the loopback.
    is_elsewhere = host.is_abm_contained and host.engine_host == LOOPBACK
    may_ask = not found["State"].get("Paused") and not (is_elsewhere and _publishes(found))
    if endpoint and may_ask and _asked_to_shut_down(host.reached(endpoint)):
        _wait_for_end(client, container, SHUTDOWN_SECONDS)
    try:
        # Also when it is down by itself: only a stop keeps a restart policy from its work.
        client.stop(container, timeout=math.ceil(grace))
    except NotFound:
        return
    except APIError as error:
        log.warning("Docker on %s did not stop %s: %s", host.name, container[:12], error)
        with contextlib.suppress(APIError):
            client.kill(container)
    if not _wait_for_end(client, container, END_SECONDS):
        raise HostNotReady(
            f"The container {str(found['Name']).lstrip('/')} does not end, not even by SIGKILL. "
            f"Restart Docker on {host.name}."
        )


def _publishes(found: Mapping[str, Any]) -> bool:
    return bool(found["HostConfig"].get("PortBindings"))


def _wait_for_end(client: docker.APIClient, container: str, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while True:
        try:
            if not is_running(client.inspect_container(container)):
                return True
        except NotFound:
            return True
        if time.monotonic() > until:
            return False
        time.sleep(LOOK_SECONDS)


def _asked_to_shut_down(endpoint: EngineEndpoint) -> bool:
    request = urllib.request.Request(f"{endpoint.url}/shutdown", data=b"", method="POST")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=SHUTDOWN_SECONDS) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, http.client.HTTPException):
        return False


def _user(spec: EngineSpec, image: Mapping[str, Any]) -> str:
    """Whom the container runs as: the spec's word, or the image's."""
    return container_of(spec).user or str((image.get("Config") or {}).get("User") or "")
