"""A host in memory for tests: it keeps the runner's promise and does as the test says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar

from hosts.runners.base import (
    EngineEndpoint,
    EngineExit,
    EngineRunner,
    EngineSpec,
    EngineStatus,
    HostFacts,
    ImageState,
    InstallFailed,
    PortTaken,
    Progress,
    RunnerError,
    StartFailed,
)
from hosts.runners.fake_storage import FakeDisk, FakeStorage
from jobs.outcome import CancelToken

FACTS = HostFacts(
    system="Linux",
    release="Fake 1",
    machine="amd64",
    hostname="fake",
    cpu_count=4,
    memory_total=8_000_000_000,
    memory_used=1_000_000_000,
    disk_total=100_000_000_000,
    disk_free=50_000_000_000,
)
FOLLOW_SECONDS = 0.02


@dataclass(slots=True)
class FakeEngine:
    """One engine of a FakeHost. `size` in bytes."""

    port: int | None = None
    """Where it runs; None when it does not."""
    started_at: datetime | None = None
    exit: EngineExit | None = None
    log: list[str] = field(default_factory=list)
    size: int = 1_000
    image_id: str = ""
    """What runs; empty for an engine without an image."""


@dataclass(slots=True)
class FakeHost:
    """What is true on a host that is not there. Tests set the fields; a FakeRunner obeys them."""

    facts: HostFacts = FACTS
    engines: dict[str, FakeEngine] = field(default_factory=dict)
    """By name: those that are installed."""
    fails: dict[str, Exception] = field(default_factory=dict)
    """Verb -> what it raises, until the test takes it out; `*` stands for every verb."""
    install_lines: list[str] = field(default_factory=lambda: ["Fetched 1 package"])
    holds_install: bool = False
    """An install goes on, silently, until it is cancelled or this is false."""
    taken_ports: set[int] = field(default_factory=set)
    """Ports on which other programs listen."""
    listening_on: int | None = None
    """Where engines listen instead of the port that they were given."""
    url: str = ""
    """Where engines answer instead of their own port: the address of a test's server."""
    urls: dict[str, str] = field(default_factory=dict)
    """Where an engine of this image id answers instead."""
    offered: dict[str, ImageState] = field(default_factory=dict)
    """What an install brings, by the image's name with its tag."""
    images: dict[str, ImageState] = field(default_factory=dict)
    """What is here, by id and by name."""
    bad_images: dict[str, RunnerError] = field(default_factory=dict)
    """Image id -> what a start with it raises."""
    orphans_ended: list[int] = field(default_factory=list)
    disk: FakeDisk = field(default_factory=FakeDisk)

    def crash(self, name: str, *, code: int | None = None, signal: int | None = None) -> None:
        """Let a running engine end by itself."""
        engine = self.engines[name]
        word = f"signal {signal}" if signal is not None else f"status {code}"
        now = datetime.now(UTC)
        engine.exit = EngineExit(now, code=code, signal=signal, reason=f"It ended with {word}.")
        engine.port = None


class FakeRunner(EngineRunner):
    """Does to a FakeHost what a runner does to a host; opened anew as often as one likes."""

    INSTALL_STEPS: ClassVar[Mapping[str, tuple[str, float]]] = {
        "fetch": ("Fetch its packages", 0.8),
        "mark": ("Check and finish", 0.2),
    }

    def __init__(self, host: FakeHost) -> None:
        self._host = host

    def _obey(self, verb: str) -> None:
        for name in (verb, "*"):
            if name in self._host.fails:
                raise self._host.fails[name]

    def probe(self) -> HostFacts:
        self._obey("probe")
        return self._host.facts

    def install(self, spec: EngineSpec, cancel: CancelToken) -> Iterator[Progress]:
        self._obey("install")
        source = None if spec.container else spec.source_dir
        if source is not None and not (source / "server.py").is_file():
            raise InstallFailed(f"{spec.name} has no server.py in {spec.source_dir}.")
        yield Progress("fetch", line=f"From {spec.source_dir}")
        for number, line in enumerate(self._host.install_lines, start=1):
            cancel.check()
            yield Progress("fetch", line=line, fraction=number / len(self._host.install_lines))
        while self._host.holds_install:
            cancel.wait(FOLLOW_SECONDS)
            cancel.check()
        cancel.check()
        self._host.engines.setdefault(spec.name, FakeEngine())
        if spec.container is not None and (image := self._host.offered.get(spec.container.image)):
            self._host.images |= {image.id: image, spec.container.image: image}
        yield Progress("mark", line="Ready.", fraction=1.0)

    def start(self, spec: EngineSpec) -> EngineEndpoint:
        self._obey("start")
        engine = self._host.engines.get(spec.name)
        if engine is None:
            raise StartFailed(f"{spec.name}'s files are not complete. Install it again.")
        engine.port = None
        engine.image_id = self._image_to_start(spec)
        engine.port = self._choose_port(spec)
        engine.started_at, engine.exit = datetime.now(UTC), None
        engine.log.append(f"{spec.name} begins on port {engine.port}")
        return self._endpoint(engine)

    def _image_to_start(self, spec: EngineSpec) -> str:
        if spec.container is None:
            return ""
        image = self.image(spec)
        if image is None:
            raise StartFailed(f"{spec.container.image} is not on the host. Install it again.")
        if image.id in self._host.bad_images:
            raise self._host.bad_images[image.id]
        return image.id

    def image(self, spec: EngineSpec) -> ImageState | None:
        self._obey("image")
        if spec.container is None:
            return None
        return self._host.images.get(spec.container.image_id or spec.container.image)

    def _choose_port(self, spec: EngineSpec) -> int:
        held = {engine.port for engine in self._host.engines.values()}
        busy = held | self._host.taken_ports | spec.taken_ports
        wanted = [spec.preferred_port] if spec.preferred_port in spec.ports else []
        ports: list[int] = [port for port in (*wanted, *spec.ports) if port is not None]
        for port in ports:
            if port not in busy:
                return port
        raise PortTaken(
            f"Every port from {spec.ports.start} to {spec.ports.stop - 1} is taken. Let "
            "ENGINE_PORT_START and ENGINE_PORT_MAX name other ports."
        )

    def _endpoint(self, engine: FakeEngine) -> EngineEndpoint:
        port = engine.port or 0
        url = self._host.urls.get(engine.image_id) or self._host.url
        return EngineEndpoint(url or f"http://127.0.0.1:{port}", port)

    def stop(self, spec: EngineSpec, *, grace: float) -> None:
        self._obey("stop")
        engine = self._host.engines.get(spec.name)
        if engine is not None and engine.port is not None:
            engine.port = None
            engine.exit = EngineExit(datetime.now(UTC), code=0, reason="It was asked to end.")

    def remove(self, spec: EngineSpec, *, keeps_image: bool = False) -> int:
        self._obey("remove")
        engine = self._host.engines.pop(spec.name, None)
        return engine.size if engine is not None else 0

    def status(self, spec: EngineSpec) -> EngineStatus:
        self._obey("status")
        engine = self._host.engines.get(spec.name)
        if engine is None or engine.port is None:
            gone = engine.exit if engine is not None else None
            return EngineStatus(is_installed=engine is not None, is_running=False, exit=gone)
        return EngineStatus(
            is_installed=True,
            is_running=True,
            endpoint=self._endpoint(engine),
            pid=10_000 + engine.port,
            started_at=engine.started_at,
            memory_bytes=20_000_000,
            listening_ports=(self._host.listening_on or engine.port,),
        )

    def logs(self, spec: EngineSpec, *, tail: int) -> list[str]:
        self._obey("logs")
        engine = self._host.engines.get(spec.name)
        return engine.log[-tail:] if engine is not None and tail > 0 else []

    def follow(self, spec: EngineSpec, *, tail: int, cancel: CancelToken) -> Iterator[str]:
        self._obey("follow")
        log = self._host.engines[spec.name].log if spec.name in self._host.engines else []
        at = max(0, len(log) - tail)
        while True:
            while at < len(log):
                yield log[at]
                at += 1
            if cancel.wait(FOLLOW_SECONDS):
                return

    def size(self, spec: EngineSpec) -> int | None:
        self._obey("size")
        engine = self._host.engines.get(spec.name)
        return engine.size if engine is not None else None

    def storage(self, deployment: str) -> FakeStorage:
        self._obey("storage")
        return FakeStorage(self._host.disk)

    def end_orphan(self, pid: int, created: float) -> None:
        self._obey("end_orphan")
        self._host.orphans_ended.append(pid)
