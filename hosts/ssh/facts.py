"""What the forced command of abm's key line says of a host: no shell, no file transfer.

It begins with the line `abm 1 sock=PATH access=WORD`; after it stand `uname -sm`,
/proc/loadavg, the first lines of /proc/meminfo and `df -Pk` of Docker's folder, each as far as
the system has it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

GREETING = re.compile(r"abm (\d+) sock=(/\S+) access=(open|forbidden|none)")
MEMORY = re.compile(r"(MemTotal|MemAvailable): +(\d+) kB")
DISK = re.compile(r".* (\d+) +(\d+) +(\d+) +\d+% +(/.*)")
LOAD = re.compile(r"(\d+\.\d+) \d+\.\d+ \d+\.\d+ \d+/\d+ \d+")
SYSTEM = re.compile(r"([A-Z]\w+) (\w+)")
KIB = 1024


@dataclass(frozen=True, slots=True)
class RemoteFacts:
    """One reading. Sizes are bytes; None is unknown."""

    docker_socket: str
    access: str
    """`open`, `forbidden` for this user, or `none`: there is no socket."""
    system: str = ""
    machine: str = ""
    """As `uname -m` has it: x86_64, aarch64."""
    load: float | None = None
    memory_total: int | None = None
    memory_available: int | None = None
    disk_total: int | None = None
    disk_free: int | None = None


def read_facts(text: str) -> RemoteFacts | None:
    """The facts of such an answer; None if something else answered."""
    lines = [line.strip() for line in text.splitlines()]
    greetings = [
        (at, found) for at, line in enumerate(lines) if (found := GREETING.fullmatch(line))
    ]
    if not greetings:
        return None
    begins, greeting = greetings[0]  # a shell's start-up file may have spoken before
    system = load = disk = None
    memory: dict[str, int] = {}
    for line in lines[begins + 1 :]:
        if found := MEMORY.fullmatch(line):
            memory[found[1]] = int(found[2]) * KIB
        elif found := LOAD.fullmatch(line):
            load = float(found[1])
        elif found := DISK.fullmatch(line):
            disk = found
        elif system is None:
            system = SYSTEM.fullmatch(line)
    return RemoteFacts(
        docker_socket=greeting[2],
        access=greeting[3],
        system=system[1] if system else "",
        machine=system[2] if system else "",
        load=load,
        memory_total=memory.get("MemTotal"),
        memory_available=memory.get("MemAvailable"),
        disk_total=int(disk[1]) * KIB if disk else None,
        disk_free=int(disk[3]) * KIB if disk else None,
    )
