"""Engines of the lab as a DockerRunner is told of them, on a daemon shared by a file of tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import docker

from hosts.runners.base import EngineSpec
from hosts.runners.container import ContainerSpec
from hosts.runners.docker.runner import DockerRunner
from jobs.outcome import CancelToken
from lab.own import OwnDaemon
from tests.fleet.containers import free_port
from tests.fleet.docker_driver import DEPLOYMENT, TINY_COMMAND, runner_at

SHELL = ("/bin/sh", "-c")
PORTS = 4


@dataclass(frozen=True)
class Engines:
    """Makes specs of the lab's engines and runs them."""

    daemon: OwnDaemon
    client: docker.DockerClient
    runner: DockerRunner
    registry: str

    def spec(
        self,
        image: str = "tiny",
        *,
        name: str = "",
        environment: Mapping[str, str] | None = None,
        samples: Path | None = None,
        models: Path | None = None,
        **container: Any,
    ) -> EngineSpec:
        """`image` is one of the lab's; without a tag it is `latest`."""
        first = free_port()
        if image == "tiny":
            container.setdefault("command", TINY_COMMAND)
        container.setdefault("deployment", DEPLOYMENT)
        return EngineSpec(
            name=name or image.partition(":")[0],
            ports=range(first, first + PORTS),
            environment=environment or {},
            samples_dir=samples,
            models_dir=models,
            container=ContainerSpec(image=f"{self.registry}/lab/{image}", **container),
        )

    def installed(self, image: str = "tiny", **options: Any) -> EngineSpec:
        spec = self.spec(image, **options)
        list(self.runner.install(spec, CancelToken()))
        return spec

    def started(self, image: str = "tiny", **options: Any) -> EngineSpec:
        spec = self.installed(image, **options)
        self.runner.start(spec)
        return spec


def engines_of(daemon: OwnDaemon, client: docker.DockerClient, registry: str) -> Engines:
    return Engines(daemon, client, runner_at(daemon), registry)


def changed(spec: EngineSpec, **container: Any) -> EngineSpec:
    """The same engine with other settings of its container."""
    assert spec.container is not None
    return replace(spec, container=replace(spec.container, **container))
