"""Daemons and registries of one test's own: empty, up in a moment, and gone without a trace.

Each has a folder below `tests/` of the lab with a state file in it, so that `python -m lab down`
ends what a killed test left behind.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import docker
import psutil

from lab import network
from lab.daemon import Daemon
from lab.place import LabError, Place
from lab.registry import Registry
from lab.remote import Remote
from lab.room import USER, Room
from lab.state import State

DATA_MEGABYTES = 4000
"""A bound, in memory; only what is used is taken."""
SUBNETS = range(192, 256)
"""Below these are the lab's own."""


@dataclass(frozen=True, slots=True)
class OwnDaemon:
    """A daemon that a test may stop, kill and start again."""

    daemon: Daemon
    state: State

    @property
    def host(self) -> str:
        return self.daemon.host

    def client(self) -> docker.DockerClient:
        return self.daemon.client()

    def start(self) -> None:
        self.daemon.start(self.state)

    def kill(self) -> None:
        """As a crash: containers are left to themselves until `start`."""
        self.daemon.kill(self.state)

    def stop(self) -> None:
        """As `systemctl stop docker`: its containers end and are there after `start`."""
        self.daemon.quit(self.state)


@contextlib.contextmanager
def own_daemon(
    place: Place,
    *,
    data_megabytes: int = DATA_MEGABYTES,
    download_attempts: int = 5,
    registry: str = "",
) -> Iterator[OwnDaemon]:
    """An empty daemon with its data in memory.

    `registry` mirrors Docker Hub for it; the lab's own does if none is named.
    """
    folder = _new_folder(place)
    own = OwnDaemon(
        Daemon(
            "docker",
            folder,
            registry or place.registry,
            subnet_number=_free_subnet(),
            data_megabytes=data_megabytes,
            download_attempts=download_attempts,
        ),
        _state(place, folder),
    )
    try:
        own.start()
        yield own
    finally:
        _end(place, folder)


@dataclass(frozen=True, slots=True)
class OwnRemote:
    """A remote host that a test may cut off, freeze and set up anew."""

    remote: Remote
    state: State

    @property
    def url(self) -> str:
        return self.remote.url

    @property
    def host_key(self) -> str:
        return self.remote.host_key

    def say(self, command: str, *, user: str = USER) -> str:
        """What a person types there, and what is answered. Raises LabError with its complaint."""
        said = self.remote.room.say(self.state, command, user=user)
        if said.returncode:
            raise LabError(f"{said.stdout}{said.stderr}")
        return said.stdout

    def cut(self) -> None:
        """Pull the cable: nothing arrives, and nobody is told."""
        self.remote.plug(is_in=False)

    def mend(self) -> None:
        self.remote.plug(is_in=True)

    def freeze(self) -> None:
        """Stop sshd where it stands, with all its connections; the kernel goes on answering."""
        self.remote.signal_sshd(signal.SIGSTOP)

    def thaw(self) -> None:
        self.remote.signal_sshd(signal.SIGCONT)

    def stop_sshd(self) -> None:
        self.remote.stop_sshd(self.state)

    def start_sshd(self) -> None:
        self.remote.start(self.state)

    def stop_docker(self) -> None:
        """As `systemctl stop docker`."""
        self.remote.daemon.quit(self.state)

    def start_docker(self) -> None:
        self.remote.start_docker(self.state)

    def replace_host_key(self) -> None:
        """As when the machine was set up anew."""
        self.stop_sshd()
        self.remote.replace_host_key()
        self.start_sshd()


@contextlib.contextmanager
def own_remote(
    place: Place, *, has_card: bool = False, sshd_options: str = "", registry: str = ""
) -> Iterator[OwnRemote]:
    """A remote host with an empty daemon, its data in memory.

    `registry` is the one that a door leads to; the lab's own if none is named.
    """
    folder = _new_folder(place)
    own = OwnRemote(
        Remote(
            "docker",
            folder,
            registry or place.registry,
            bridge=network.short_name("abmr", str(folder)),
            network_number=_free_subnet(76),
            number=11,
            has_card=has_card,
            sshd_options=sshd_options,
            data_megabytes=DATA_MEGABYTES,
        ),
        _state(place, folder),
    )
    try:
        own.remote.start(own.state)
        yield own
    finally:
        _end(place, folder)


@contextlib.contextmanager
def own_registry(place: Place) -> Iterator[Registry]:
    """An empty registry on a free port."""
    folder = _new_folder(place)
    registry = Registry("registry", folder, _free_port())
    try:
        registry.start(_state(place, folder))
        yield registry
    finally:
        _end(place, folder)


def end_leftovers(place: Place) -> None:
    """End all daemons and registries of tests and remove what they left."""
    for folder in _folder_of_tests(place).glob("*/"):
        _end(place, folder)


def _end(place: Place, folder: Path) -> None:
    state = _state(place, folder)
    room = Room("docker", folder / "room")
    room.thaw()
    Daemon("docker", folder, place.registry).stop(state)
    room.stop(state)
    for name in list(state.processes):
        state.end(name)
    for name in list(state.links):
        network.remove_link(state, name)
    shutil.rmtree(folder, ignore_errors=True)


def _state(place: Place, folder: Path) -> State:
    return State(replace(place, folder=folder))


def _folder_of_tests(place: Place) -> Path:
    return place.folder / "tests"


def _new_folder(place: Place) -> Path:
    folder = _folder_of_tests(place) / secrets.token_hex(3)
    folder.mkdir(parents=True)
    return folder


def _free_subnet(second: int = 77) -> int:
    """A number whose 10.<second>.<number>.0/24 no interface of this machine has."""
    taken = {row.address for rows in psutil.net_if_addrs().values() for row in rows}
    free = [number for number in SUBNETS if f"10.{second}.{number}.1" not in taken]
    if not free:
        raise LabError("All networks for daemons of tests are taken: python -m lab down")
    return secrets.choice(free)


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
