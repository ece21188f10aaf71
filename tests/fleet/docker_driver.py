"""Docker as the contract of runners wants it: an engine of 4 MB, and what only a test does."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker

from hosts.runners.base import EngineSpec
from hosts.runners.container import ContainerSpec
from hosts.runners.docker.connection import DockerAddress
from hosts.runners.docker.labels import filter_of
from hosts.runners.docker.runner import DockerRunner
from lab.own import OwnDaemon
from tests.hosts.drivers import Driver

DEPLOYMENT = "0123456789abcdef"
TINY_COMMAND = ("/bin/sh", "-c", "echo tiny begins; exec /bin/busybox httpd -f -p $PORT -h /www")


def runner_at(daemon: OwnDaemon, **options: Any) -> DockerRunner:
    return DockerRunner(Path("/nowhere"), DockerAddress(daemon.host), **options)


def container_in(client: docker.DockerClient, spec: EngineSpec) -> Any:
    """The engine's only container."""
    (found,) = client.containers.list(all=True, filters=filter_of(spec))
    return found


@contextlib.contextmanager
def docker_driver(
    daemon: OwnDaemon, client: docker.DockerClient, registry: str, folder: Path
) -> Iterator[Driver]:
    """Its containers and images are gone afterwards."""
    sockets: list[socket.socket] = []

    def listen(port: int) -> int:
        holder = socket.socket()
        sockets.append(holder)
        holder.bind(("127.0.0.1", port))
        holder.listen()
        return int(holder.getsockname()[1])

    def with_image(spec: EngineSpec, image: str) -> EngineSpec:
        made = ContainerSpec(image=image, deployment=DEPLOYMENT, command=TINY_COMMAND)
        return replace(spec, container=made, samples_dir=folder / "s", models_dir=folder / "m")

    yield Driver(
        open=lambda: runner_at(daemon),
        crash=lambda spec: container_in(client, spec).kill(),
        occupy=listen,
        hold_install=lambda spec: with_image(spec, f"127.0.0.1:{listen(0)}/lab/tiny"),
        spoil=lambda spec, _: with_image(spec, f"{registry}/lab/tiny:no-such-tag"),
        complete=lambda spec: with_image(spec, f"{registry}/lab/tiny"),
    )
    for held in sockets:
        held.close()
    for container in client.containers.list(all=True):
        container.remove(force=True)
    client.images.prune(filters={"dangling": False})
