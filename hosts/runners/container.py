"""What is said of an engine that runs in a container, beside its EngineSpec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hosts.gpu.handing import Handed


@dataclass(frozen=True, slots=True)
class PortBinding:
    """A container's port published on its host. `host_port` None lets the runner choose one."""

    container_port: int
    host_port: int | None = None
    host_address: str = "127.0.0.1"
    protocol: str = "tcp"


@dataclass(frozen=True, slots=True)
class ImageState:
    """An image as its host has it, in the words of its daemon."""

    id: str
    repo_digests: tuple[str, ...] = ()
    """`repository@sha256:...` for each name under which it came; none if it was made here."""
    platform: str = ""
    """Such as `linux/amd64` or `linux/arm64/v8`."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume of the daemon by name, or a folder of the host by path, inside a container."""

    source: str
    """A volume's name, or an absolute path of the host."""
    target: str
    is_read_only: bool = False

    @property
    def is_folder(self) -> bool:
        return self.source.startswith("/") or self.source[1:3] in (":\\", ":/")


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """What is only said of an engine in a container. Sizes are bytes; empty = the image's own."""

    image: str
    """As it is pulled, with its tag: `ghcr.io/owner/name:tag`."""
    deployment: str
    """Which abm it belongs to: goes into its labels and its name."""
    image_id: str = ""
    """Run exactly this image (`sha256:...`), whatever the tag points to by now."""
    platform: str = ""
    """`linux/amd64`; empty takes the host's."""
    engine_port: int = 8766
    """Where the engine listens inside; it is told by `PORT`."""
    engine_port_address: str = "127.0.0.1"
    """Address of the host that `engine_port` is published on."""
    network: str = ""
    """Join this network and publish nothing: for an abm that runs in a container itself."""
    ports: tuple[PortBinding, ...] = ()
    """More ports than the engine's own."""
    mounts: tuple[Mount, ...] = ()
    cards: Handed = field(default_factory=Handed)
    cpus: float | None = None
    memory_bytes: int | None = None
    shm_bytes: int | None = None
    user: str = ""
    entrypoint: tuple[str, ...] | None = None
    """None keeps the image's; an empty one takes it away."""
    command: tuple[str, ...] | None = None
    extra_hosts: Mapping[str, str] = field(default_factory=dict)
    restart_policy: str = "no"
    """Docker's own: `no`, `on-failure`, `on-failure:3`, `always` or `unless-stopped`."""
