"""Learning of a custom image what it is: it is started once, asked `/info`, and removed again."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import docker
import psutil

from hosts.oci.reference import ImageReference
from hosts.runners.base import (
    EngineFailed,
    ImageNotFound,
    Progress,
    StartFailed,
)
from hosts.runners.docker.engine_info import NotAnEngine, as_definition
from hosts.runners.docker.errors import mapped
from hosts.runners.docker.guest import BY_FORM, Guest, remove
from hosts.runners.docker.images import inspect_image, platform_of
from hosts.runners.docker.pull import THIS_MACHINE
from jobs.outcome import CancelToken

DISCOVER_STEPS: Mapping[str, tuple[str, float]] = {
    "start": ("Start the image once", 0.1),
    "wait": ("Wait until it answers", 0.8),
    "ask": ("Ask what it is", 0.1),
}
"""Step key -> (title, share of the whole)."""
LABEL = "abm.discover"
"""Which abm made the container; nothing else of abm takes notice of one with it."""
OWNER_LABEL = "abm.discover.owner"
UNTIL_LABEL = "abm.discover.until"
"""Seconds since 1970 after which nobody waits for it any more."""
ENGINE_PORT = 8766
START_SECONDS = 90.0
SPARE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class DiscoveredImage:
    """What an image said of itself."""

    definition: Mapping[str, Any]
    """In the keys of engine.yaml, as they came: to be checked like any other definition."""
    image_id: str
    platform: str
    size: int
    """Bytes unpacked."""
    port: int
    """Where the engine listens inside."""

    @property
    def in_words(self) -> str:
        """Such as `espeak-ng, an engine of the type tts`."""
        return "{name}, an engine of the type {engine_type}".format_map(self.definition)


def discover(
    client: docker.APIClient,
    image: ImageReference,
    *,
    deployment: str,
    cancel: CancelToken,
    environment: Mapping[str, str] | None = None,
    port: int = ENGINE_PORT,
    needs_gpu: bool = False,
    network: str = "",
    engine_host: str = "127.0.0.1",
    seconds: float = START_SECONDS,
    host_name: str = THIS_MACHINE,
) -> Generator[Progress, None, DiscoveredImage]:
    """Start an image of the host without a name, read its `/info`, and remove the container.

    It is published on a free loopback port of the host, which `engine_host` answers for; with
    `network` it is reached inside that instead. `seconds` is how long it may take to answer.
    Raises ImageNotFound, StartFailed, EngineFailed, and Cancelled moments after `cancel`; the
    container is removed in any case.
    """
    cancel.check()
    with mapped(host_name):
        remove_leftovers(client, deployment)
        found = inspect_image(client, image.canonical)
    if found is None:
        raise ImageNotFound(f"{image} is not on {host_name}. Pull, build or load it first.")
    yield Progress("start", line=f"{image} is started to ask it what it is.")
    body = _body(str(found["Id"]), environment or {}, port, network, needs_gpu=needs_gpu)
    body["Labels"] = _labels(deployment, seconds)
    with mapped(host_name, otherwise=StartFailed):
        made = client.create_container_from_config(body)  # type: ignore[no-untyped-call]
    guest = Guest(client, str(made["Id"]), image, host_name)
    try:
        info = yield from guest.asked(port, network, engine_host, seconds=seconds, cancel=cancel)
    finally:
        guest.close()
    described = _described(image, found, info, port)
    yield Progress("ask", line=f"{image} is {described.in_words}.", fraction=1.0)
    return described


def remove_leftovers(client: docker.APIClient, deployment: str) -> int:
    """Remove what an abm left that was ended while it asked; how many containers that were.

    Raises what docker-py raises.
    """
    removed = 0
    for row in client.containers(all=True, filters={"label": f"{LABEL}={deployment}"}):
        if _is_left(row.get("Labels") or {}):
            remove(client, str(row["Id"]))
            removed += 1
    return removed


def _described(
    image: ImageReference, found: Mapping[str, Any], info: Any, port: int
) -> DiscoveredImage:
    platform = platform_of(found)
    try:
        definition = as_definition(info, tag=image.tag or "latest", platform=platform)
    except NotAnEngine as error:
        raise EngineFailed(f"{image} answers /info, but {error} {BY_FORM}") from error
    size = int(found.get("Size") or 0)
    return DiscoveredImage(definition, str(found["Id"]), platform, size, port)


def _body(
    image: str, environment: Mapping[str, str], port: int, network: str, *, needs_gpu: bool
) -> dict[str, Any]:
    """What the daemon is told of the container: nothing of the host is given to it."""
    config: dict[str, Any] = {}
    if network:
        config["NetworkMode"] = network
    else:
        # Docker chooses a port that is free.
        config["PortBindings"] = {f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}
    if needs_gpu:
        config["DeviceRequests"] = [{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}]
    variables = {"LOG_LEVEL": "info", **environment, "PORT": str(port)}
    return {
        "Image": image,
        "Env": [f"{name}={text}" for name, text in variables.items()],
        "ExposedPorts": {f"{port}/tcp": {}},
        "HostConfig": config,
    }


def _labels(deployment: str, seconds: float) -> dict[str, str]:
    until = time.time() + seconds + SPARE_SECONDS
    return {LABEL: deployment, OWNER_LABEL: _owner(os.getpid()), UNTIL_LABEL: f"{until:.0f}"}


def _is_left(labels: Mapping[str, str]) -> bool:
    """Whether nobody waits for it: its process is dead, or its time is over."""
    machine, _, process = labels.get(OWNER_LABEL, "").partition("/")
    pid = process.partition("-")[0]
    if machine == socket.gethostname() and pid.isdigit():
        return _owner(int(pid)) != labels[OWNER_LABEL]
    until = labels.get(UNTIL_LABEL, "")
    return not until.isdigit() or int(until) < time.time()


def _owner(pid: int) -> str:
    """A process of one machine, told apart from a later one with the same id."""
    created = 0
    with contextlib.suppress(psutil.Error):
        created = int(psutil.Process(pid).create_time())
    return f"{socket.gethostname()}/{pid}-{created}"
