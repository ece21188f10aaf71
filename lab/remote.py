"""A remote host: a machine of its own as far as network, users, sshd and Docker go.

Its 127.0.0.1 is its own; doors lead from there to the lab's registry, so that images are called
the same on every machine. Its card, where it has one, is simulated.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from lab import network, simulated_card
from lab.daemon import Daemon
from lab.place import PROJECT, SYSTEM_PATH, LabError, program
from lab.room import USER, Room
from lab.state import State

SSH_PORT = 22
READY_SECONDS = 20.0
POLL_SECONDS = 0.02
SSHD_CONFIG = """\
{options}
ListenAddress {address}
Port {port}
HostKey {folder}/host_key
PidFile none
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UseDNS no
Subsystem sftp internal-sftp
SetEnv PATH=/run/programs:/usr/local/bin:/usr/bin:/bin
"""


@dataclass(frozen=True, slots=True)
class RemoteDaemon(Daemon):
    """The Docker daemon inside a remote host."""

    inside: tuple[str, ...] = ()
    """What a command is put behind to run in there."""
    has_card: bool = False

    def _make_bridge(self, state: State) -> None:
        """Nothing: this one makes its own, in there."""

    def _containerd_command(self) -> list[str]:
        return [*self.inside, *Daemon._containerd_command(self)]

    def _dockerd_command(self) -> list[str]:
        return [*self.inside, *Daemon._dockerd_command(self)]

    def _config(self) -> dict[str, object]:
        config = Daemon._config(self)
        del config["bridge"]
        return config | {
            "hosts": [self.host, "unix:///run/docker.sock"],
            "group": "docker",
            "bip": f"10.79.{self.subnet_number}.1/24",
            "runtimes": simulated_card.runtimes() if self.has_card else {},
        }

    def _environment(self) -> dict[str, str]:
        if self.has_card:
            return Daemon._environment(self)
        return {"HOME": os.environ.get("HOME", "/"), "PATH": SYSTEM_PATH}


@dataclass(frozen=True, slots=True)
class Remote:
    """The remote host called `name`; everything of it lies below `folder`."""

    name: str
    folder: Path
    registry: str
    bridge: str
    """Joins it to this machine, which is `10.76.<network_number>.1` there."""
    network_number: int
    number: int
    """From 2 to 250; its own address is `10.76.<network_number>.<number>`."""
    has_card: bool = False
    """Docker takes requests for GPUs, and nvidia-smi tells of two simulated cards."""
    sshd_options: str = ""
    """More lines for sshd_config, which come first and so win."""
    data_megabytes: int | None = None

    @property
    def address(self) -> str:
        return f"10.76.{self.network_number}.{self.number}"

    @property
    def url(self) -> str:
        """What abm is told."""
        return f"ssh://{USER}@{self.address}"

    @property
    def room(self) -> Room:
        return Room(self.name, self.folder / "room")

    @property
    def daemon(self) -> RemoteDaemon:
        """As seen from outside."""
        return RemoteDaemon(
            self.name,
            self.folder,
            self.registry,
            subnet_number=self.network_number,
            data_megabytes=self.data_megabytes,
            has_card=self.has_card,
        )

    @property
    def host(self) -> str:
        return self.daemon.host

    @property
    def sshd(self) -> str:
        return f"{self.name}-sshd"

    @property
    def host_key(self) -> str:
        """Its public host key, as `known_hosts` would have it: kind and base64."""
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])

    def start(self, state: State) -> None:
        """Start what does not run of it and wait until sshd and Docker answer. Raises LabError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.data_megabytes is not None:
            network.mount_memory(state, self.daemon.data, self.data_megabytes)
        network.make_bridge(state, self.bridge, f"10.76.{self.network_number}.1/24")
        self.room.start(state)
        self.room.join(state, self.bridge, f"{self.address}/24")
        if self.has_card:
            # Users may not read the project.
            simulated_card.write_for_others(self.room.programs, seen_as="/run/programs")
        self._open_door(state)
        self.start_sshd(state)
        self.start_docker(state)
        self._wait(state)

    def stop(self, state: State) -> None:
        """End it with its containers; its images stay on the disk."""
        self.room.thaw()
        self.daemon.stop(state)
        for name in (self.sshd, self._door):
            state.end(name)
        self.room.stop(state)

    def answers(self) -> bool:
        return self.daemon.answers() and self._greets()

    def start_docker(self, state: State) -> None:
        replace(self.daemon, inside=self.room.inside(state)).start(state)

    def start_sshd(self, state: State) -> None:
        if state.process(self.sshd) is not None:
            return
        if not (self.folder / "host_key").exists():
            self.replace_host_key()
        config = self.folder / "sshd_config"
        config.write_text(
            SSHD_CONFIG.format(
                options=self.sshd_options, address=self.address, port=SSH_PORT, folder=self.folder
            )
        )
        command = [*self.room.inside(state), program("sshd"), "-D", "-e", "-f", str(config)]
        state.start(self.sshd, command, env={"PATH": SYSTEM_PATH})

    def stop_sshd(self, state: State) -> None:
        """With all that is logged in."""
        state.end(self.sshd)
        for one in self.sshd_processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()

    def replace_host_key(self) -> None:
        """Another one, as after a new installation; for sshd's next start."""
        file = self.folder / "host_key"
        for old in (file, file.with_suffix(".pub")):
            old.unlink(missing_ok=True)
        command = [program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(file)]
        subprocess.run(command, check=True, timeout=20)

    def sshd_processes(self) -> list[psutil.Process]:
        """The listener and those of each connection."""
        return [one for one in self.room.processes() if one.info["name"] == "sshd"]

    def signal_sshd(self, number: signal.Signals) -> None:
        """To all of them, those too that are born meanwhile."""
        told: set[int] = set()
        while new := [one for one in self.sshd_processes() if one.pid not in told]:
            for one in new:
                told.add(one.pid)
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.send_signal(number)

    def plug(self, *, is_in: bool) -> None:
        """Pull the cable, or put it back."""
        network.run("ip", "link", "set", self.room.cable, "up" if is_in else "down")

    @property
    def _door(self) -> str:
        return f"{self.name}-door"

    def _open_door(self, state: State) -> None:
        if state.process(self._door) is not None:
            return
        held, port = self.room.inside(state)[2], self.registry.rpartition(":")[2]
        command = [sys.executable, "-I", str(PROJECT / "lab" / "door.py"), held, port]
        state.start(self._door, command, env={"PATH": SYSTEM_PATH})

    def _greets(self) -> bool:
        try:
            with socket.create_connection((self.address, SSH_PORT), timeout=2) as one:
                return one.recv(4) == b"SSH-"
        except OSError:
            return False

    def _wait(self, state: State) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self._greets():
            if state.process(self.sshd) is None or time.monotonic() > deadline:
                said = state.log_tail(self.sshd)
                raise LabError(f"sshd of {self.name} does not answer. It said last:\n{said}")
            time.sleep(POLL_SECONDS)
