"""Bridges and mounts of the lab, each written down before it is made."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from lab.place import LabError, program
from lab.state import State

SECONDS = 15


def make_bridge(state: State, name: str, address: str) -> None:
    """A bridge with an address of this machine, such as 10.77.0.1/24; quiet if it is there."""
    state.note("links", name)
    if not Path("/sys/class/net", name).exists():
        run("ip", "link", "add", "name", name, "type", "bridge")
        run("ip", "addr", "add", address, "dev", name)
    run("ip", "link", "set", name, "up")


def remove_link(state: State, name: str) -> None:
    """Remove a bridge or a cable that was noted; quiet if it is gone."""
    if name in state.links and Path("/sys/class/net", name).exists():
        run("ip", "link", "delete", name)
    state.forget("links", name)


def mount_memory(state: State, folder: Path, megabytes: int) -> None:
    """A file system in memory that holds so many megabytes; quiet if it is mounted."""
    state.note("mounts", str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    if not os.path.ismount(folder):
        run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "abm-lab", str(folder))


def unmount_below(state: State, folder: Path) -> None:
    """Unmount what lies below a folder of the lab: its own mounts and those Docker left."""
    for place in sorted(mounts_below(folder), reverse=True):
        run("umount", "--lazy", place)
    for place in [place for place in state.mounts if Path(place).is_relative_to(folder)]:
        state.forget("mounts", place)


def mounts_below(folder: Path) -> list[str]:
    """The places below `folder` where something is mounted, as /proc/self/mounts has them."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    places = (line.split()[1].encode().decode("unicode_escape") for line in lines)
    return [place for place in places if Path(place).is_relative_to(folder)]


def short_name(kind: str, owner: str) -> str:
    """A name for a link that no two owners share; Linux takes 15 letters."""
    return f"{kind}{hashlib.sha256(owner.encode()).hexdigest()[:8]}"


def run(*command: str) -> None:
    """Run a program of the system. Raises LabError with what it said."""
    try:
        subprocess.run(
            [program(command[0]), *command[1:]],
            check=True,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.CalledProcessError as error:
        raise LabError(f"`{' '.join(command)}` failed: {error.stderr.strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"`{' '.join(command)}` did not end in {SECONDS} s.") from error
