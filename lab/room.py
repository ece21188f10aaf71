"""A room for one remote host: namespaces of network, mounts and name, held by a sleeping process.

All end with the last process in them, so there is no name to clean up after. Inside, `/run`,
`/home` and the list of users are its own.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from lab import network
from lab.place import LabError, program
from lab.state import State, end

USER, GUEST = "anna", "guest"
"""The first may use Docker, the second may not."""
SECONDS = 15
POLL_SECONDS = 0.01
HOMES = "/home"
PASSWD = f"""\
root:x:0:0:root:/root:/bin/sh
sshd:x:20009:65534::/run/sshd:/usr/sbin/nologin
anna:x:20001:20001::{HOMES}/anna:/bin/sh
guest:x:20002:20002::{HOMES}/guest:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
GROUP = """\
root:x:0:
docker:x:20010:anna
anna:x:20001:
guest:x:20002:
nogroup:x:65534:
"""
SHADOW = "".join(f"{line.partition(':')[0]}:*:19000::::::\n" for line in PASSWD.splitlines())
SETUP = """\
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 abm-lab /run
mount -t tmpfs -o mode=755 abm-lab /home
mkdir -p /run/sshd /run/programs
mount --bind "$1/programs" /run/programs
for name in passwd group shadow; do mount --bind "$1/etc/$name" "/etc/$name"; done
for user in anna guest; do mkdir "/home/$user"; chown "$user:$user" "/home/$user"; done
ip link set lo up
echo "$2" > /proc/sys/kernel/hostname
readlink /proc/self/ns/net > "$1/namespace.new"
mv "$1/namespace.new" "$1/namespace"
exec sleep infinity
"""


@dataclass(frozen=True, slots=True)
class Room:
    """The room called `name`; what is bound into it lies below `folder`."""

    name: str
    folder: Path

    @property
    def programs(self) -> Path:
        """What is seen inside as /run/programs, first on everybody's PATH."""
        return self.folder / "programs"

    @property
    def process(self) -> str:
        return f"{self.name}-room"

    def start(self, state: State) -> None:
        """Hold it, if nobody does. Raises LabError."""
        if state.process(self.process) is not None:
            return
        self.programs.mkdir(parents=True, exist_ok=True)
        self.programs.chmod(0o755)
        (etc := self.folder / "etc").mkdir(exist_ok=True)
        for name, text in (("passwd", PASSWD), ("group", GROUP), ("shadow", SHADOW)):
            (etc / name).write_text(text)
        (self.folder / "namespace").unlink(missing_ok=True)
        setup = [program("sh"), "-c", SETUP, "sh", str(self.folder), f"lab-{self.name}"]
        command = [program("unshare"), "--net", "--mount", "--uts", *setup]
        state.start(self.process, command, env=_environment())
        self._wait(state)

    def inside(self, state: State) -> tuple[str, ...]:
        """What a command is put behind to run in there as root. Raises LabError."""
        held = state.process(self.process)
        if held is None:
            raise LabError(f"The remote host {self.name} is not up.")
        return (program("nsenter"), "--target", str(held.pid), "--net", "--mount", "--uts", "--")

    def join(self, state: State, bridge: str, address: str) -> None:
        """A cable from `bridge` into the room, with its address there, such as 10.0.0.2/24."""
        cable = self.cable
        if cable in state.links and Path("/sys/class/net", cable).exists():
            return
        state.note("links", cable)
        inside = self.inside(state)
        ends = ["ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns"]
        network.run(*ends, inside[2])
        network.run("ip", "link", "set", cable, "master", bridge, "up")
        network.run(*inside, program("ip"), "addr", "add", address, "dev", "eth0")
        network.run(*inside, program("ip"), "link", "set", "eth0", "up")

    @property
    def cable(self) -> str:
        """Its end on this machine; taking that down cuts the host off."""
        return network.short_name("abmv", f"{self.folder}")

    def say(
        self, state: State, command: str, *, user: str = USER, seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run what somebody types there."""
        words = ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "env", "-i"]
        home = "/root" if user == "root" else f"{HOMES}/{user}"
        paths = [f"HOME={home}", "PATH=/run/programs:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"]
        return subprocess.run(
            [*self.inside(state), *words, *paths, "sh", "-s"],
            input=command,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            cwd="/",
        )

    def processes(self) -> list[psutil.Process]:
        """All that run in its network, the holder too, with `info["name"]`."""
        try:
            namespace = (self.folder / "namespace").read_text().strip()
        except OSError:
            return []
        return [one for one in psutil.process_iter(["name"]) if _namespace(one.pid) == namespace]

    def thaw(self) -> None:
        """Let everything go on that was stopped."""
        for one in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                one.resume()

    def stop(self, state: State) -> None:
        """End all that is in it, and with that the room itself and its cable."""
        self.thaw()
        for one in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                end(one, seconds=0)
        state.end(self.process, seconds=0)
        network.remove_link(state, self.cable)
        (self.folder / "namespace").unlink(missing_ok=True)

    def _wait(self, state: State) -> None:
        deadline = time.monotonic() + SECONDS
        while not (self.folder / "namespace").exists():
            if state.process(self.process) is None or time.monotonic() > deadline:
                raise LabError(
                    f"The room of {self.name} could not be made. It said last:\n"
                    f"{state.log_tail(self.process)}"
                )
            time.sleep(POLL_SECONDS)


def _namespace(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    except OSError:
        return ""


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
