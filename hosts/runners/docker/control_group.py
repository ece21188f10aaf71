"""How much memory a container of this machine takes, read from its control group.

The daemon's own `stats` waits up to a second for its next sample, also for a single one. Files:
https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files and, for version 1,
https://docs.kernel.org/admin-guide/cgroup-v1/memory.html.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
FILES = (
    ("sys/fs/cgroup/memory", "memory.usage_in_bytes", "total_inactive_file"),
    ("sys/fs/cgroup", "memory.current", "inactive_file"),
)
"""Versions 1 and 2: where it is mounted, what is used, what of that the kernel gives back."""


def memory_of(pid: int, container_id: str, *, root: Path = ROOT) -> int | None:
    """Bytes, as `docker stats` shows them: without the files that the kernel keeps for it.

    None where abm cannot look: the process `pid` is not seen here, or is not the container's.
    """
    for group in _groups(root / f"proc/{pid}/cgroup", container_id):
        for mounted, used, kept in FILES:
            folder = root / mounted / group.lstrip("/")
            bytes_used = _number(folder / used)
            if bytes_used is not None:
                return max(bytes_used - _kept(folder / "memory.stat", kept), 0)
    return None


def is_seen(pid: int, container_id: str, *, root: Path = ROOT) -> bool:
    """Whether this machine's process `pid` is the container's: it may count on another one."""
    return any(_groups(root / f"proc/{pid}/cgroup", container_id))


def _groups(file: Path, container_id: str) -> Iterator[str]:
    """Paths of the container's groups; lines are `number:controllers:path`."""
    for line in _text(file).splitlines():
        _, controllers, path = line.split(":", 2)
        if container_id in path and (controllers in {"", "memory"}):
            yield path


def _kept(file: Path, name: str) -> int:
    rows = dict(line.split(" ", 1) for line in _text(file).splitlines() if " " in line)
    return int(rows.get(name, 0))


def _number(file: Path) -> int | None:
    text = _text(file).strip()
    return int(text) if text.isdigit() else None


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
