"""The table of an engine's volumes: named ones of the daemon, and folders of its host.

Folders are what a container could take a host over with, so they lie below folders that an admin
has allowed, and some are never mounted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath, PureWindowsPath

from engines.forms import Cell, Posted, Table, Unfit, refused, rows_of
from hosts.runners.container import Mount

VOLUME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,127}\Z")
WINDOWS = re.compile(r"[A-Za-z]:[\\/]")
SYSTEM_FOLDERS = tuple(map(PurePosixPath, ("/proc", "/sys", "/dev")))
DAEMONS_OWN = (
    "/run/docker.sock",
    "/var/run/docker.sock",
    "/run/containerd",
    "/run/podman",
    "/run/user",
    "/var/lib/docker",
    "/var/lib/containerd",
)
"""Who may write to one of these is root of the host; so are the folders that they lie in."""
SOCKETS = frozenset({"docker.sock", "podman.sock", "containerd.sock"})


@dataclass(frozen=True, slots=True)
class MountRow:
    """A row of the volumes table; `mode` is `rw` or `ro`."""

    source: Cell
    target: Cell
    mode: Cell


def mounts_shown(mounts: Iterable[Mount]) -> Table[MountRow, Mount]:
    """The table of the volumes that are set."""
    values = tuple(mounts)
    rows = tuple(
        MountRow(Cell(one.source), Cell(one.target), Cell("ro" if one.is_read_only else "rw"))
        for one in values
    )
    return Table("MOUNTS_INVALID", rows, values)


def read_mounts(
    posted: Posted, *, roots: Sequence[str], is_here: bool = False
) -> Table[MountRow, Mount]:
    """The volumes of a form. A folder of the host must lie below one of `roots`.

    `is_here` says that the host is this machine, so that links can be followed before.
    """
    names = ("mount-source", "mount-target", "mount-mode")
    rows: list[MountRow] = []
    values: list[Mount] = []
    errors: list[str] = []
    for source, target, mode in rows_of(posted, names, errors=errors):
        if not source and not target:
            continue
        row = MountRow(Cell(source), Cell(target), Cell(mode or "rw"))
        try:
            checked = _source(source, roots)
            if is_here and checked.startswith("/"):
                _source(os.path.realpath(checked), [os.path.realpath(root) for root in roots])
            inside = _target(target, {one.target for one in values})
            values.append(Mount(checked, inside, is_read_only=mode == "ro"))
        except Unfit as error:
            row = refused(row, error)
            errors.append(str(error))
        rows.append(row)
    return Table("MOUNTS_INVALID", tuple(rows), tuple(values), tuple(errors))


def _source(text: str, roots: Sequence[str]) -> str:
    """A volume's name or a folder of the host, in its shortest form."""
    if not text:
        raise Unfit("source", "The volume is missing: write its name, or a folder of the host.")
    if not (text.startswith("/") or WINDOWS.match(text)):
        if VOLUME.match(text):
            return text
        raise Unfit(
            "source",
            f"{text} is no name of a volume: use letters, digits, . _ and -, at least two; "
            "a folder begins with /.",
        )
    folder, refusal = _path(text), _folder_refused(text)
    if refusal:
        raise Unfit("source", refusal)
    if not any(folder.is_relative_to(_path(root)) for root in roots if root):
        below = f"is not below {' or '.join(roots)}" if roots else "cannot be mounted"
        way = "Choose a folder there" if roots else "An admin can allow folders in abm's settings"
        raise Unfit("source", f"{text} {below}. {way}, or use a volume by name.")
    return str(folder)


def _folder_refused(text: str) -> str:
    """Why a folder is never mounted, wherever the roots are; empty if it may be."""
    folder = _path(text)
    if ".." in folder.parts:
        return f"{text} leads upwards by “..”: write the folder as it is."
    if "\x00" in text or "\n" in text:
        return "A folder has no line breaks in its name."
    is_daemons = folder.name in SOCKETS or any(
        folder.is_relative_to(own) or PurePosixPath(own).is_relative_to(folder)
        for own in DAEMONS_OWN
    )
    if (isinstance(folder, PurePosixPath) and is_daemons) or len(folder.parts) < 2:
        return f"{text} holds the whole host or its Docker; who has that is root. Choose another."
    if isinstance(folder, PurePosixPath) and _is_of_system(folder):
        return f"{text} belongs to the system of the host. Choose another."
    return ""


def _target(text: str, taken: Collection[str]) -> str:
    """A folder inside the container, in its shortest form."""
    folder = PurePosixPath("/" + text.lstrip("/"))
    if not text.startswith("/") or "\x00" in text or "\n" in text:
        raise Unfit("target", f"{text or 'It'} is no place in the container: begin it with /.")
    if ".." in folder.parts or len(folder.parts) < 2 or _is_of_system(folder):
        raise Unfit(
            "target", f"{text} cannot be a volume's place in the container: name a folder below /."
        )
    if str(folder) in taken:
        raise Unfit("target", f"{text} is the place of another volume already.")
    return str(folder)


def _is_of_system(folder: PurePosixPath) -> bool:
    return any(folder.is_relative_to(one) for one in SYSTEM_FOLDERS)


def _path(text: str) -> PurePath:
    if WINDOWS.match(text):
        return PureWindowsPath(text)
    # Two slashes at the beginning would be a root of their own.
    return PurePosixPath("/" + text.lstrip("/") if text.startswith("/") else text)
