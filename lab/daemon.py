"""A Docker daemon of our own: its own containerd, bridge, folders and socket.

It changes no firewall rule and no system setting (`iptables` and `ip-forward` are off): published
ports go through Docker's own proxy, and a container reaches this machine but nothing beyond it.
Its images for Docker Hub names come from the lab's registry.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import docker
import docker.errors
import psutil
import requests

from lab import network, simulated_card
from lab.place import SYSTEM_PATH, LabError, program
from lab.state import State, alive, end

READY_SECONDS = 60.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.05
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Daemon:
    """The daemon called `name`; everything of it lies below `folder`."""

    name: str
    folder: Path
    registry: str
    """Address of the registry that mirrors Docker Hub for it."""
    subnet_number: int = 0
    """0 to 255: its containers get addresses 10.77.<number>.0/24."""
    data_megabytes: int | None = None
    """Give its data a file system of its own, this large, in memory."""
    download_attempts: int = 5
    """How often it tries a layer, with 5 s more between them each time; 5 is Docker's own."""

    @property
    def socket(self) -> Path:
        return self.folder / "docker.sock"

    @property
    def host(self) -> str:
        """What DOCKER_HOST must be to reach it."""
        return f"unix://{self.socket}"

    @property
    def mark(self) -> str:
        return hashlib.sha256(str(self.folder).encode()).hexdigest()[:6]

    @property
    def bridge(self) -> str:
        return f"abml{self.mark}"

    @property
    def address(self) -> str:
        """This machine's, as its containers see it."""
        return f"10.77.{self.subnet_number}.1"

    @property
    def networks(self) -> str:
        """Out of which the networks of its containers are taken, but for the first."""
        return f"10.78.{self.subnet_number}.0/24"

    @property
    def cgroup(self) -> str:
        """Parent of its containers' control groups, by which their processes are found."""
        return f"abm-lab-{self.mark}"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def client(self) -> docker.DockerClient:
        return docker.DockerClient(base_url=self.host, version="auto", timeout=60)

    def start(self, state: State) -> None:
        """Start what does not run of it and wait until it answers. Raises LabError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._make_bridge(state)
        if self.data_megabytes is not None:
            network.mount_memory(state, self.data, self.data_megabytes)
        if state.process(self._containerd) is None:
            # A dockerd outlives its containerd without knowing what became of its containers.
            state.end(self.name, seconds=STOP_SECONDS)
            state.start(self._containerd, self._containerd_command(), env=self._environment())
        if state.process(self.name) is None:
            (self.folder / "dockerd.pid").unlink(missing_ok=True)
            state.start(self.name, self._dockerd_command(), env=self._environment())
        self._wait(state)

    def stop(self, state: State) -> None:
        """End it with its containers, bridge and mounts; its images stay on the disk."""
        if self.answers():
            self._remove_containers()
        for name in (self.name, self._containerd):
            state.end(name, seconds=STOP_SECONDS)
        self._end_what_is_left()
        network.unmount_below(state, self.folder)
        network.remove_link(state, self.bridge)

    def answers(self) -> bool:
        if not self.socket.exists():
            return False
        try:
            with contextlib.closing(docker.APIClient(base_url=self.host, timeout=5)) as client:
                return bool(client.ping())
        except (docker.errors.DockerException, requests.RequestException):
            return False

    def kill(self, state: State) -> None:
        """End dockerd alone and at once, as a crash does; `start` brings it back."""
        state.end(self.name, seconds=0)

    def quit(self, state: State) -> None:
        """End dockerd alone and politely: it ends its containers and keeps them."""
        state.end(self.name, seconds=STOP_SECONDS)

    def _make_bridge(self, state: State) -> None:
        network.make_bridge(state, self.bridge, f"{self.address}/24")

    @property
    def _containerd(self) -> str:
        return f"{self.name}-containerd"

    def _wait(self, state: State) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            dead = [name for name in (self.name, self._containerd) if state.process(name) is None]
            if dead:
                raise LabError(
                    f"{dead[0]} ended while it was starting. It said last:\n"
                    f"{state.log_tail(dead[0])}"
                )
            if self.answers():
                return
            time.sleep(POLL_SECONDS)
        raise LabError(
            f"{self.name} does not answer after {READY_SECONDS:g} s. It said last:\n"
            f"{state.log_tail(self.name)}"
        )

    def _remove_containers(self) -> None:
        """Containers and the networks that people made; volumes and images stay."""
        with contextlib.closing(self.client()) as client:
            for container in client.containers.list(all=True, ignore_removed=True):
                with contextlib.suppress(docker.errors.APIError, requests.RequestException):
                    container.remove(force=True)
            with contextlib.suppress(docker.errors.APIError, requests.RequestException):
                client.networks.prune()

    def _end_what_is_left(self) -> None:
        """Processes of containers, when their daemon was dead and could not end them."""
        groups = [group for group in CGROUPS.glob(f"**/{self.cgroup}") if group.is_dir()]
        for group in groups:
            for pid in {pid for file in group.rglob("cgroup.procs") for pid in _pids(file)}:
                with contextlib.suppress(psutil.NoSuchProcess):
                    end(psutil.Process(pid), seconds=1)
        for shim in self._shims():
            with contextlib.suppress(psutil.NoSuchProcess):
                end(shim, seconds=2)
        for group in groups:
            for folder in sorted(group.rglob("*/"), reverse=True):
                with contextlib.suppress(OSError):
                    folder.rmdir()
            with contextlib.suppress(OSError):
                group.rmdir()

    def _shims(self) -> list[psutil.Process]:
        """The shims that belong to this daemon's containerd: its socket is in their arguments."""
        socket = str(self.folder / "containerd.sock")
        found = []
        for process in psutil.process_iter(["cmdline"]):
            if socket in (process.info["cmdline"] or []) and alive(
                process.pid, process.create_time()
            ):
                found.append(process)
        return found

    def _containerd_command(self) -> list[str]:
        config = self.folder / "containerd.toml"
        config.write_text(
            f'version = 2\nroot = "{self.folder}/containerd"\n'
            f'state = "{self.folder}/containerd-state"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\naddress = "{self.folder}/containerd.sock"\n'
        )
        return [program("containerd"), "--config", str(config)]

    def _dockerd_command(self) -> list[str]:
        config = self.folder / "daemon.json"
        config.write_text(json.dumps(self._config(), indent=1))
        names = ["--containerd-namespace=abm-lab", "--containerd-plugins-namespace=abm-lab-plugins"]
        return [program("dockerd"), "--config-file", str(config), *names]

    def _config(self) -> dict[str, object]:
        folder = self.folder
        return {
            "data-root": str(self.data),
            "exec-root": str(folder / "exec"),
            "pidfile": str(folder / "dockerd.pid"),
            "hosts": [self.host],
            "group": "root",
            "containerd": str(folder / "containerd.sock"),
            "bridge": self.bridge,
            "default-address-pools": [{"base": self.networks, "size": 28}],
            "iptables": False,
            "ip6tables": False,
            "ip-forward": False,
            "ip-masq": False,
            "exec-opts": ["native.cgroupdriver=cgroupfs"],  # systemd's would want another name
            "cgroup-parent": f"/{self.cgroup}",
            "registry-mirrors": [f"http://{self.registry}"],
            "max-download-attempts": self.download_attempts,
            "runtimes": simulated_card.runtimes(),
            "log-level": "warn",
            "shutdown-timeout": 5,
        }

    def _environment(self) -> dict[str, str]:
        programs = simulated_card.write(self.folder / "bin")
        kept = {key: os.environ[key] for key in ("HOME", "LANG") if key in os.environ}
        return {**kept, "PATH": f"{programs}:{os.environ.get('PATH', '')}:{SYSTEM_PATH}"}


def _pids(file: Path) -> list[int]:
    try:
        return [int(line) for line in file.read_text().split()]
    except OSError:
        return []
