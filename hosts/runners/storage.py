"""What a host keeps on its disk for one abm beside what runs, and how it is given back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hosts.runners.base import EngineEndpoint, HostNotReady, RunnerError
from hosts.runners.container import Mount, PortBinding
from hosts.runners.docker.disk import DiskUse, Reclaimable
from hosts.runners.docker.reclaim import Reclaimed
from hosts.runners.docker.stored_files import StoredFiles

NO_IMAGES = "Engines on this host are no containers, so it keeps no images or volumes for abm."


class NotThere(RunnerError):
    """What was asked for is gone."""

    code = "NOT_THERE"


@dataclass(frozen=True, slots=True)
class FoundContainer:
    """A container of ours as its daemon has it, with all that was set on its engine."""

    id: str
    name: str
    engine: str
    """The engine that it was made for, by its label."""
    is_running: bool
    endpoint: EngineEndpoint | None
    """Where it answers; None if no way leads there."""
    image_id: str
    image_names: tuple[str, ...]
    """As it was asked for, and as the image is called now."""
    repo_digests: tuple[str, ...] = ()
    platform: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Beside what the image has and what abm sets."""
    mounts: tuple[Mount, ...] = ()
    ports: tuple[PortBinding, ...] = ()
    """Beside the engine's own."""
    gpus: tuple[str, ...] = ()
    limits: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ContainerSpec that are not as they would be by themselves."""


class HostStorage(ABC):
    """The disk of one host. Every method may raise RunnerError."""

    @abstractmethod
    def files(self, place: Mount, *, image: str = "") -> StoredFiles:
        """What is in a folder or volume; `image`, by id, is what a helper may be made of."""

    @abstractmethod
    def delete_files(self, place: Mount, path: str, *, image: str = "") -> None:
        """Delete a file or folder by its path below `place`; quiet if it is gone."""

    @abstractmethod
    def make_place(self, place: Mount, *, image: str = "") -> None:
        """Make a folder, with those above it, or a volume; quiet if it is there."""

    @abstractmethod
    def put_file(self, place: Mount, name: str, source: Path, *, image: str = "") -> None:
        """Put a copy of a small file into a place that is there, with its time."""

    def use(self, images: Collection[str]) -> DiskUse:
        """Read all of it, which may take minutes; `images` are those of engines, by id or name."""
        raise HostNotReady(NO_IMAGES)

    def reclaim(self, chosen: Reclaimable, *, images: Collection[str]) -> Reclaimed:
        """Give back what is chosen, ours and not in use; `images` as for `use`."""
        raise HostNotReady(NO_IMAGES)

    def find_container(self, container: str) -> FoundContainer:
        """A container of ours by its id. Raises NotThere if it is gone or not ours."""
        raise HostNotReady(NO_IMAGES)

    def remove_container(self, container: str, *, grace: float) -> int:
        """End and remove it; the bytes it had written. Raises NotThere as `find_container`."""
        raise HostNotReady(NO_IMAGES)
