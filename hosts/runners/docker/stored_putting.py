"""Making folders on a host and putting small files into them.

As for reading (stored_files.py), abm does it itself where it sees the place, and a helper is in
its way elsewhere: the file travels into a container that has the place and is never started.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from pathlib import Path
from typing import Literal

from docker.types import Mount as DockerMount

from hosts.runners.base import RunnerError
from hosts.runners.container import Mount
from hosts.runners.docker.stored_files import (
    HELPER_SECONDS,
    INSIDE,
    NOTHING,
    FolderMissing,
    Helper,
    helper_container,
    needed,
    readable,
)


def make_folder(place: Mount, *, is_here: bool, helper: Helper | None) -> None:
    """Make a folder with those above it; quiet if it is there. Raises RunnerError."""
    if is_here:
        try:
            Path(place.source).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunnerError(
                f"The folder {place.source} could not be made: {error.strerror}. Make it by hand, "
                "or choose another in the host's settings.",
                detail=str(error),
            ) from error
        return
    one = needed(helper, place)
    # Unlike mounts, binds have the daemon make what is missing.
    bound = {"binds": [f"{place.source}:{INSIDE}"]}
    with helper_container(one, place, NOTHING, read_only=True, **bound) as made:
        one.client.start(made)
        one.client.wait(made, timeout=HELPER_SECONDS)


def put_file(
    place: Mount, name: str, source: Path, *, is_here: bool, helper: Helper | None
) -> None:
    """Put a copy of `source` into a place, with its time. Raises FolderMissing or RunnerError."""
    client = helper.client if helper else None
    folder = readable(place, is_here=is_here, client=client)
    if folder is None and is_here and place.is_folder and not Path(place.source).exists():
        raise FolderMissing(f"The folder {place.source} is not there.")
    if folder is not None and os.access(folder, os.W_OK):
        _copy(source, folder / name)
        return
    one = needed(helper, place)
    kind: Literal["bind", "volume"] = "bind" if place.is_folder else "volume"
    mounts = [DockerMount(INSIDE, place.source, type=kind)]
    with helper_container(one, place, NOTHING, mounts=mounts) as made:
        one.client.put_archive(made, INSIDE, _archive(name, source))


def _copy(source: Path, target: Path) -> None:
    coming = target.with_name(f".{target.name}.coming")
    try:
        shutil.copy2(source, coming)
        coming.chmod(0o644)
        coming.replace(target)
    except OSError as error:
        coming.unlink(missing_ok=True)
        raise RunnerError(
            f"{target} cannot be written: {error.strerror}. Check whose folder it is.",
            detail=str(error),
        ) from error


def _archive(name: str, source: Path) -> bytes:
    found = source.stat()
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = found.st_size, int(found.st_mtime), 0o644
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive, source.open("rb") as file:
        archive.addfile(entry, file)
    return packed.getvalue()
