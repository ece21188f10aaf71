"""A real sshd on this machine's loopback, for one test: its keys, its log, its freezing."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from hosts.ssh.address import SshAddress
from hosts.ssh.keys import KeyPair, fresh_key
from hosts.ssh.known import HostKey
from hosts.ssh.target import Target
from tests.bundled.running import free_port
from tests.hosts.waiting import until

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
NO_SSHD = "sshd is not installed: apt install openssh-server"
KINDS = {"ed25519": "ssh-ed25519", "ecdsa": "ecdsa-sha2-nistp256", "rsa": "ssh-rsa"}
CONFIG = """
ListenAddress 127.0.0.1
Port {port}
{host_keys}
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
PermitRootLogin yes
UseDNS no
SetEnv HOME={folder}
"""
"""With a HOME without start-up files: bash reads its own for commands that come by SSH."""


@dataclass
class SshServer:
    """It lets `key` in as the user who runs the tests, until a test says otherwise."""

    folder: Path
    options: str = ""
    """More lines for sshd_config, which come first and so win."""
    kinds: tuple[str, ...] = ("ed25519",)
    port: int = field(default_factory=free_port)
    key: KeyPair = field(default_factory=fresh_key)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> SshAddress:
        return SshAddress(getpass.getuser(), "127.0.0.1", self.port)

    @property
    def host_keys(self) -> tuple[HostKey, ...]:
        lines = (file.read_text() for file in sorted(self.folder.glob("host_*.pub")))
        return tuple(HostKey.from_line(" ".join(line.split()[:2])) for line in lines)

    def target(self, **other: object) -> Target:
        values: dict[str, object] = {
            "name": "gpu-box",
            "address": self.address,
            "key": self.key,
            "known": self.host_keys,
            **other,
        }
        return Target(**values)  # type: ignore[arg-type]

    def allow(self, line: str) -> None:
        """Let in what the authorized_keys line says, and nothing else."""
        (self.folder / "authorized_keys").write_text(line + "\n")

    def make_host_keys(self) -> None:
        for old in self.folder.glob("host_*"):
            old.unlink()
        for kind in self.kinds:
            file = str(self.folder / f"host_{kind}")
            command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", file]
            subprocess.run(command, check=True, timeout=20)

    def start(self) -> None:
        files = "\n".join(f"HostKey {self.folder}/host_{kind}" for kind in self.kinds)
        config = CONFIG.format(port=self.port, folder=self.folder, host_keys=files)
        (self.folder / "sshd_config").write_text(f"{self.options}\n{config}")
        words = [str(SSHD), "-D", "-e", "-f", str(self.folder / "sshd_config")]
        if os.geteuid() == 0:
            # As root it wants a folder in /run; it gets a /run of its own.
            script = 'mount -t tmpfs none /run && mkdir /run/sshd && exec "$@"'
            words = ["unshare", "--mount", "sh", "-c", script, "sh", *words]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log)
        until(self._answers)

    def stop(self) -> None:
        """End it with all sessions."""
        if self.process is None:
            return
        self.thaw()
        for one in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        self.process.wait(10)
        self.process = None

    def processes(self) -> list[psutil.Process]:
        """The listener and one or two for each connection, with what they run."""
        assert self.process is not None
        listener = psutil.Process(self.process.pid)
        return [*listener.children(recursive=True), listener]

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def _signal(self, number: signal.Signals) -> None:
        told: set[int] = set()
        while new := [one for one in self.processes() if one.pid not in told]:
            for one in new:  # and those that are born meanwhile
                told.add(one.pid)
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.send_signal(number)

    def _answers(self) -> bool:
        assert self.process is not None and self.process.poll() is None, self.log()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False


@contextlib.contextmanager
def ssh_server(
    folder: Path, *, options: str = "", kinds: tuple[str, ...] = ("ed25519",)
) -> Iterator[SshServer]:
    """One that runs, and lets its key in without restriction."""
    server = SshServer(folder, options, kinds)
    server.make_host_keys()
    server.allow(f"{server.key.public} test")
    server.start()
    try:
        yield server
    finally:
        server.stop()
