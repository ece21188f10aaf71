"""The files in a volume or a folder of the host: models, listed with sizes and deleted.

Where abm can look at them itself, it does. Elsewhere a helper looks: a container of an image that
is on the host already, without a network, that ends at once. It needs `sh`, `find`, `stat` and
`rm`, which images of Python and Debian have. It bears a label of its own, so that it is never taken
for an engine, and what a killed abm left of it can be found.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import docker
from docker.errors import APIError, NotFound
from docker.types import LogConfig
from docker.types import Mount as DockerMount

from hosts.runners.base import HostNotReady, RunnerError
from hosts.runners.container import Mount

HELPER = "abm.helper"
INSIDE = "/abm-files"
MOST_FILES = 5000
HELPER_SECONDS = 60
TOOLS = "find stat head rm"
BEGIN = f"for tool in {TOOLS}; do command -v $tool || exit 127; done > /dev/null; cd {INSIDE} &&"
"""A pipe would hide that a tool is missing, and the place would look empty."""
LIST = f"{BEGIN} find . -type f -exec stat -c '%s %Y %n' {{}} + | head -n {MOST_FILES + 1}"
DELETE = f'{BEGIN} rm -rf -- "$0"'
NOTHING = ":"
MISSING = re.compile(r"(bind source path|source path) does not exist|no such file", re.I)
"""What daemons say of a folder that is to be mounted and is not there (19.03 to 28)."""


class FolderMissing(RunnerError):
    """The host has no such folder."""

    code = "FOLDER_MISSING"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file by its path below the volume or folder; bytes; changed in UTC."""

    path: str
    size: int
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """What is in there; links are not followed and not listed."""

    files: tuple[StoredFile, ...]
    is_whole: bool = True
    """False when there are more files than are listed."""
    is_there: bool = True
    """False where the folder or volume itself is missing."""

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def entries(self) -> dict[str, int]:
        """Bytes by what lies at the top, such as one folder for each model; largest first."""
        sizes: dict[str, int] = {}
        for file in self.files:
            top = file.path.partition("/")[0]
            sizes[top] = sizes.get(top, 0) + file.size
        return dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0])))


@dataclass(frozen=True, slots=True)
class Helper:
    """How to look where abm cannot: `image` by id, on the host already."""

    client: docker.APIClient
    image: str
    deployment: str


def list_files(place: Mount, *, is_here: bool, helper: Helper | None = None) -> StoredFiles:
    """The files of a volume or folder. `is_here`: the host's paths are this machine's.

    Raises HostNotReady where abm may not look and there is no helper, and what docker-py raises.
    """
    folder = readable(place, is_here=is_here, client=helper.client if helper else None)
    if folder is not None:
        return _listed_here(folder)
    try:
        lines = _run(needed(helper, place), place, LIST, is_read_only=True).splitlines()
    except FolderMissing:
        return StoredFiles((), is_there=False)
    found = [file for file in map(_file_of, lines) if file is not None]
    files = sorted(found[:MOST_FILES], key=lambda file: file.path)
    return StoredFiles(tuple(files), is_whole=len(found) <= MOST_FILES)


def is_empty(place: Mount, *, is_here: bool, helper: Helper | None = None) -> bool:
    """Whether no file is in there: a models volume still so after the first load is a mistake."""
    return not list_files(place, is_here=is_here, helper=helper).files


def delete_entry(place: Mount, path: str, *, is_here: bool, helper: Helper | None = None) -> None:
    """Delete a file or folder by its path below `place`; quiet if it is gone.

    Raises RunnerError for a path that leads out of there, or that may not be deleted.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise RunnerError(f"{path or 'An empty path'} is no file below {place.source}.")
    folder = readable(place, is_here=is_here, client=helper.client if helper else None)
    if folder is not None and os.access(folder, os.W_OK):
        _delete_here(folder, path)
        return
    with contextlib.suppress(FolderMissing):
        _run(needed(helper, place), place, DELETE, path, is_read_only=False)


def end_helpers(client: docker.APIClient, deployment: str, *, older_than: float = 0) -> int:
    """Remove helpers that a killed abm left, of so many seconds; how many there were."""
    rows = client.containers(all=True, filters={"label": f"{HELPER}={deployment}"})
    rows = [row for row in rows if row["Created"] <= time.time() - older_than]
    for row in rows:
        with contextlib.suppress(NotFound):
            client.remove_container(row["Id"], force=True, v=True)
    return len(rows)


def readable(place: Mount, *, is_here: bool, client: docker.APIClient | None) -> Path | None:
    """The folder itself, where abm can look at it."""
    if not is_here:
        return None
    path = place.source
    if not place.is_folder:
        found = client.inspect_volume(place.source) if client else {}
        # A volume with options may be mounted only while it is used.
        path = "" if found.get("Options") else str(found.get("Mountpoint") or "")
    return Path(path) if path and os.access(path, os.R_OK | os.X_OK) else None


def needed(helper: Helper | None, place: Mount) -> Helper:
    """Raises HostNotReady where there is none."""
    if helper is None:
        raise HostNotReady(
            f"abm may not look into {place.source}, and no image is on the host to look with. "
            "Install an engine there first."
        )
    return helper


def _listed_here(folder: Path) -> StoredFiles:
    files: list[StoredFile] = []
    for path, found in _walk(folder):
        if len(files) == MOST_FILES:
            return StoredFiles(tuple(files), is_whole=False)
        changed = datetime.fromtimestamp(found.st_mtime, UTC)
        files.append(StoredFile(path.relative_to(folder).as_posix(), found.st_size, changed))
    return StoredFiles(tuple(files))


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Plain files in order; what vanishes or may not be read on the way is passed over."""
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(root, name)
            with contextlib.suppress(OSError):
                found = path.lstat()
                if stat.S_ISREG(found.st_mode):
                    yield path, found


def _delete_here(folder: Path, path: str) -> None:
    target = folder / path
    # A link on the way could lead anywhere; the last one is deleted itself.
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise RunnerError(f"{path} is no file below {folder}.")
    try:
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
    except OSError as error:
        raise RunnerError(
            f"{target} cannot be deleted. Check whose it is.", detail=str(error)
        ) from error


def _run(helper: Helper, place: Mount, script: str, *words: str, is_read_only: bool) -> str:
    """What the helper prints. It runs as root, since models belong to whoever ran the engine."""
    client = helper.client
    if not place.is_folder:
        client.inspect_volume(place.source)  # Docker would make one that is not there
    kind: Literal["bind", "volume"] = "bind" if place.is_folder else "volume"
    mount = DockerMount(INSIDE, place.source, type=kind, read_only=is_read_only)
    with helper_container(helper, place, script, *words, mounts=[mount], read_only=True) as made:
        client.start(made)
        ended = client.wait(made, timeout=HELPER_SECONDS)
        said = client.logs(made, stdout=True, stderr=False).decode(errors="replace")
        if ended.get("StatusCode"):
            words_of_it = client.logs(made, stdout=False, stderr=True)
            detail = words_of_it.decode(errors="replace") or f"It lacks one of: {TOOLS}."
            raise _unusable(place, detail)
    return str(said)


@contextlib.contextmanager
def helper_container(
    helper: Helper, place: Mount, script: str, *words: str, **options: Any
) -> Iterator[str]:
    """A helper that is yet to be started, by its id; gone afterwards. Raises FolderMissing."""
    made = _created(helper, place, script, *words, **options)
    try:
        yield made
    except APIError as error:
        if error.status_code == 400:  # no `sh` in this image
            raise _unusable(place, str(error.explanation)) from error
        raise
    finally:
        with contextlib.suppress(NotFound):
            helper.client.remove_container(made, force=True, v=True)


def _created(helper: Helper, place: Mount, script: str, *words: str, **options: Any) -> str:
    client = helper.client
    config = client.create_host_config(
        network_mode="none",
        cap_drop=["ALL"],
        cap_add=["DAC_OVERRIDE"],
        log_config=LogConfig(type=LogConfig.types.JSON),
        **options,
    )
    try:
        made = client.create_container(
            helper.image,
            entrypoint=["sh", "-c", script, *words],
            command=[],
            user="0",
            labels={HELPER: helper.deployment},
            host_config=config,
        )
    except APIError as error:
        if place.is_folder and MISSING.search(str(error.explanation)):
            raise FolderMissing(f"The folder {place.source} is not there.") from error
        raise
    return str(made["Id"])


def _unusable(place: Mount, detail: str) -> RunnerError:
    return RunnerError(
        f"The helper could not look into {place.source}. Its own words stand below.", detail=detail
    )


def _file_of(line: str) -> StoredFile | None:
    """Of `4096 1795249426 ./xtts/model.pth`; None for half a name that had a line break in it."""
    size, _, rest = line.partition(" ")
    changed, _, path = rest.partition(" ")
    if not (size.isdigit() and changed.isdigit() and path.startswith("./")):
        return None
    return StoredFile(path[2:], int(size), datetime.fromtimestamp(int(changed), UTC))
