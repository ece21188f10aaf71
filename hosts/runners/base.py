"""What every runner promises: the verbs, the values they take and give, and how they fail.

RunnerError
 +- HostUnreachable      the host does not answer
 +- HostNotReady         it answers but cannot do this (no interpreter, no permission)
 +- InstallFailed        the engine's parts could not be fetched or put in place
 |   +- DiskFull
 |   +- ImageNotFound
 +- StartFailed          the engine could not be started
 |   +- PortTaken
 |   +- NoGpu
 +- EngineFailed         it started and then ended, or answered wrongly
 +- Cancelled            somebody asked to stop; not a failure
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self

from hosts.gpu.handing import Handed
from hosts.runners.container import ContainerSpec
from hosts.runners.container import ImageState as ImageState
from hosts.runners.progress import LayerProgress as LayerProgress
from hosts.runners.progress import Progress as Progress
from jobs.outcome import CancelToken, WorkFailed

if TYPE_CHECKING:
    from hosts.runners.docker.workshop import DockerWorkshop
    from hosts.runners.storage import HostStorage


class RunnerError(WorkFailed):
    """A host could not do what it was asked; see the tree above for what went wrong."""

    code = "RUNNER_FAILED"


class HostUnreachable(RunnerError):
    """The host does not answer."""

    code = "HOST_UNREACHABLE"


class HostNotReady(RunnerError):
    """The host answers but lacks something this needs."""

    code = "HOST_NOT_READY"


class InstallFailed(RunnerError):
    """The engine's parts could not be fetched or put in place."""

    code = "INSTALL_FAILED"


class DiskFull(InstallFailed):
    """There is no room left where the engine is being installed."""

    code = "DISK_FULL"


class ImageNotFound(InstallFailed):
    """The registry does not have this image or tag."""

    code = "IMAGE_NOT_FOUND"


class StartFailed(RunnerError):
    """The engine could not be started."""

    code = "START_FAILED"


class PortTaken(StartFailed):
    """Another program listens on the wanted port, or no port of the range is free."""

    code = "PORT_TAKEN"


class NoGpu(StartFailed):
    """The engine asked for a GPU that is not there."""

    code = "NO_GPU"


class EngineFailed(RunnerError):
    """The engine ended by itself or answered wrongly."""

    code = "ENGINE_FAILED"


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """All that a runner may know of an engine. Paths are the host's; sizes are bytes."""

    name: str
    """Unique on its host, `^[a-z][a-z0-9-]*$`: the folder or container is named after it."""
    source_dir: Path | None = None
    """The folder with engine.yaml, server.py and requirements.txt (subprocess engines)."""
    is_in_place: bool = False
    """Run in `source_dir` itself instead of a copy below the data directory."""
    venv_path: Path | None = None
    """An existing environment to use untouched."""
    python_version: str = ""
    """Wanted interpreter, such as `3.11` or `^3.10`; empty takes abm's own."""
    ports: range = range(0)
    """Where the engine may listen."""
    preferred_port: int | None = None
    taken_ports: frozenset[int] = frozenset()
    """Ports that other engines on this host hold in the database."""
    environment: Mapping[str, str] = field(default_factory=dict)
    samples_dir: Path | None = None
    models_dir: Path | None = None
    cards: Handed | None = None
    """Cards for a process; None leaves it what abm has."""
    container: ContainerSpec | None = None
    """Set for hosts that run containers."""


@dataclass(frozen=True, slots=True)
class EngineEndpoint:
    """Where an engine answers: a base URL such as `http://127.0.0.1:8766`."""

    url: str
    port: int


@dataclass(frozen=True, slots=True)
class EngineExit:
    """How an engine ended: `code`, or `signal` when it was ended from outside; UTC."""

    at: datetime | None
    code: int | None = None
    signal: int | None = None
    reason: str = ""
    """A sentence: what it means, as far as can be told."""


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """What the host says of an engine right now."""

    is_installed: bool
    is_running: bool
    is_container_gone: bool = False
    """It has no container: it was never started, or somebody removed it."""
    endpoint: EngineEndpoint | None = None
    pid: int | None = None
    started_at: datetime | None = None
    memory_bytes: int | None = None
    cpu_percent: float | None = None
    listening_ports: tuple[int, ...] = ()
    """Where its processes really listen: tells a wrong port apart from a slow start."""
    exit: EngineExit | None = None
    """Set when it ran and is gone."""
    told_at: datetime = field(default_factory=partial(datetime.now, UTC), compare=False)


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a host says of itself; None is unknown, never zero. Sizes are bytes."""

    system: str = ""
    release: str = ""
    machine: str = ""
    """Architecture as the platform names it: amd64, arm64."""
    hostname: str = ""
    cpu_name: str = ""
    cpu_count: int | None = None
    load: float | None = None
    memory_total: int | None = None
    memory_used: int | None = None
    disk_total: int | None = None
    disk_free: int | None = None
    python_versions: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    """Other software by name, such as `uv` or `docker`."""


class EngineRunner(ABC):
    """Runs engines on one host. A context manager; sync; keeps no state between calls.

    Every method may raise RunnerError. `install`, `start`, `stop` and `remove` can run twice
    without harm.
    """

    INSTALL_STEPS: ClassVar[Mapping[str, tuple[str, float]]]
    """Step key -> (title, share of the whole, all shares adding up to 1), in order."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back what `__enter__` took; safe to call twice."""
        return None

    @abstractmethod
    def probe(self) -> HostFacts:
        """Read the host's facts; raise HostUnreachable or HostNotReady with the way out."""

    @abstractmethod
    def install(self, spec: EngineSpec, cancel: CancelToken) -> Iterator[Progress]:
        """Put the engine's parts in place; done when the iterator ends."""

    @abstractmethod
    def start(self, spec: EngineSpec) -> EngineEndpoint:
        """Start the engine and return at once; it may not answer yet."""

    @abstractmethod
    def stop(self, spec: EngineSpec, *, grace: float) -> None:
        """End the engine: ask, wait `grace` seconds, then force. Quiet if it is not running."""

    @abstractmethod
    def remove(self, spec: EngineSpec, *, keeps_image: bool = False) -> int:
        """Stop and delete everything that install made; return the bytes freed.

        `keeps_image` leaves an engine's image where it is, for hosts that have images.
        """

    @abstractmethod
    def status(self, spec: EngineSpec) -> EngineStatus:
        """What is true now; never raises for an engine that is merely absent."""

    @abstractmethod
    def logs(self, spec: EngineSpec, *, tail: int) -> list[str]:
        """The last `tail` lines that the engine wrote, oldest first, also after it ended."""

    @abstractmethod
    def follow(self, spec: EngineSpec, *, tail: int, cancel: CancelToken) -> Iterator[str]:
        """The last `tail` lines and then each new one, until cancelled."""

    @abstractmethod
    def size(self, spec: EngineSpec) -> int | None:
        """Bytes that the installed engine takes on disk."""

    def image(self, spec: EngineSpec) -> ImageState | None:
        """The image that a start would run; None if it is not there, or there are no images."""
        return None

    def received(self, spec: EngineSpec) -> int | None:
        """Bytes that a running engine has fetched since its start; None where nobody can tell."""
        return None

    def processes(self, spec: EngineSpec) -> tuple[int, ...]:
        """The numbers of a running engine's processes as its host counts them, where told."""
        return ()

    def address_problem(self, spec: EngineSpec) -> str:
        """Why a running engine is not reached where it should be, if that can be told."""
        return ""

    def storage(self, deployment: str) -> HostStorage:
        """The host's disk, as far as it is this abm's. Raises HostNotReady where it has no view."""
        raise HostNotReady("What engines take on this host's disk cannot be told.")

    def workshop(self) -> DockerWorkshop:
        """Where images are made and sent out. Raises HostNotReady where there are none."""
        raise HostNotReady("Engines on this host are processes, so there are no images on it.")

    @abstractmethod
    def end_orphan(self, pid: int, created: float) -> None:
        """End a process group that a dead abm left, if `pid` is still the process of `created`."""
