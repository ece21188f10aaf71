"""The runners that the contract is asked of, each with what only a test does to its host.

That of Docker is in tests/fleet, where there is a daemon for it.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from hosts.runners.base import EngineRunner, EngineSpec
from hosts.runners.fake import FakeHost, FakeRunner
from hosts.runners.local import LocalRunner


def as_it_is(spec: EngineSpec) -> EngineSpec:
    return spec


@dataclass(frozen=True)
class Driver:
    """A kind of runner, and what only a test does to its host."""

    open: Callable[[], EngineRunner]
    crash: Callable[[EngineSpec], None]
    occupy: Callable[[int], object]
    hold_install: Callable[[EngineSpec], EngineSpec]
    """The same engine from a source that never answers."""
    spoil: Callable[[EngineSpec, Path], EngineSpec]
    """The same engine from a source that has not all of it; the folder is empty."""
    complete: Callable[[EngineSpec], EngineSpec] = as_it_is
    """What is only said of engines on such a host."""


def without_a_server(spec: EngineSpec, folder: Path) -> EngineSpec:
    return replace(spec, source_dir=folder)


def fake_driver() -> Driver:
    host = FakeHost()

    def hold(spec: EngineSpec) -> EngineSpec:
        host.holds_install = True
        return spec

    return Driver(
        open=lambda: FakeRunner(host),
        crash=lambda spec: host.crash(spec.name, signal=signal.SIGKILL),
        occupy=host.taken_ports.add,
        hold_install=hold,
        spoil=without_a_server,
    )


def local_driver(folder: Path, sockets: list[socket.socket]) -> Driver:
    def listen(port: int) -> int:
        holder = socket.socket()
        sockets.append(holder)
        holder.bind(("127.0.0.1", port))
        holder.listen()
        return int(holder.getsockname()[1])

    def crash(spec: EngineSpec) -> None:
        pid = LocalRunner(folder).status(spec).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def hold(spec: EngineSpec) -> EngineSpec:
        source = folder / "silent"
        source.mkdir()
        (source / "server.py").write_text("")
        address = f"http://127.0.0.1:{listen(0)}/nothing-1-py3-none-any.whl"
        (source / "requirements.txt").write_text(f"nothing @ {address}")
        return replace(spec, source_dir=source)

    return Driver(
        open=lambda: LocalRunner(folder),
        crash=crash,
        occupy=listen,
        hold_install=hold,
        spoil=without_a_server,
    )
