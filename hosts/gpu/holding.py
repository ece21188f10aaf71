"""Which of the known programs holds memory of a card: by process trees and control groups."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hosts.gpu.values import Inventory

ROOT = Path("/")
CONTAINER = re.compile(r"(?<![0-9a-f])([0-9a-f]{64})(?![0-9a-f])")
NOWHERE = Path("/nonexistent")
DEEPEST = 64


@dataclass(frozen=True, slots=True)
class Share:
    """What one holder has of one card. `memory` in bytes; None where the card does not tell."""

    holder: int | None
    """The key that was given for it; None for all others together."""
    memory: int | None
    processes: int


def shares_of(
    inventory: Inventory, known: Mapping[int, int], *, root: Path | None = ROOT
) -> dict[str, tuple[Share, ...]]:
    """Shares by the UUID of the card, the largest first, others last.

    `known` maps the number of a program's first process to its key. A process belongs to it as
    its descendant, or because it runs in the same container. Of another machine, whose processes
    cannot be looked at (`root` None), `known` has to name every process.
    """
    if root is None:
        root = NOWHERE
    groups = {group: key for pid, key in known.items() if (group := container_of(pid, root=root))}
    held: dict[str, dict[int | None, list[int | None]]] = {}
    for process in inventory.processes or ():
        key = None
        if process.pid is not None:
            key = _holder_of(process.pid, known, groups, root)
        held.setdefault(process.card, {}).setdefault(key, []).append(process.memory)
    return {
        card: tuple(
            sorted(
                (Share(key, _sum(sizes), len(sizes)) for key, sizes in by_key.items()),
                key=lambda share: (share.holder is None, -(share.memory or 0)),
            )
        )
        for card, by_key in held.items()
    }


def _sum(sizes: list[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _holder_of(
    pid: int, known: Mapping[int, int], groups: Mapping[str, int], root: Path
) -> int | None:
    for one in (pid, *ancestors_of(pid, root=root)):
        if one in known:
            return known[one]
    return groups.get(container_of(pid, root=root))


def ancestors_of(pid: int, *, root: Path = ROOT) -> Iterator[int]:
    """Its parent, that one's parent, and so on, as far as they can be seen."""
    for _ in range(DEEPEST):
        # The name stands in parentheses and may hold any characters, these included.
        after = _text(root / f"proc/{pid}/stat").rpartition(")")[2].split()
        if len(after) < 2 or not after[1].isdigit() or after[1] == "0":
            return
        pid = int(after[1])
        yield pid


def container_of(pid: int, *, root: Path = ROOT) -> str:
    """The id of the container that a process runs in; empty for none, or where none is seen.

    Docker, Podman and Kubernetes write it into the path of the control group, each in its way.
    """
    found = CONTAINER.findall(_text(root / f"proc/{pid}/cgroup"))
    return str(found[-1]) if found else ""


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
