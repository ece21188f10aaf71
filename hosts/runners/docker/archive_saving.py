"""Saving an image to a file, for machines without internet."""

from __future__ import annotations

import contextlib
import errno
import io
import shutil
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import docker
import humanize

from hosts.oci.reference import ImageReference
from hosts.runners.base import DiskFull, HostNotReady, ImageNotFound, Progress, RunnerError
from hosts.runners.docker.archive_reading import read_archive
from hosts.runners.docker.errors import FOREIGN, mapped, translated
from hosts.runners.docker.images import inspect_image
from hosts.runners.docker.pull import THIS_MACHINE
from hosts.runners.docker.stream import DaemonStream
from jobs.outcome import CancelToken

SAVE_STEPS: Mapping[str, tuple[str, float]] = {"save": ("Write the file", 1.0)}
"""Step key -> (title, share of the whole)."""
HEARTBEAT_SECONDS = 0.5
SPARE_BYTES = 64 * 10**6
"""Left free beside a file that is saved."""
NOT_YET = 0.99


@dataclass(frozen=True, slots=True)
class SavedArchive:
    """A file that holds an image; its size in bytes."""

    path: Path
    size: int
    names: tuple[str, ...]


def save(
    client: docker.APIClient,
    image: ImageReference,
    path: Path,
    *,
    cancel: CancelToken,
    host_name: str = THIS_MACHINE,
) -> Generator[Progress, None, SavedArchive]:
    """Write an image of the host to a file of this machine, as `docker save` does.

    It grows as `<path>.part` and gets its name when it is whole and was read again; one of that
    name is replaced then. Raises RunnerError, and Cancelled moments after `cancel`; the part is
    removed.
    """
    cancel.check()
    with mapped(host_name):
        found = inspect_image(client, image.canonical)
    if found is None:
        raise ImageNotFound(f"{image} is not on {host_name}. Install or pull it first.")
    size = int(found.get("Size") or 0)
    _check_room(path, size, image)
    part = path.with_name(f"{path.name}.part")
    name = quote(image.canonical, safe="/:@")
    try:
        with part.open("wb") as file:
            download = _Download(client, f"/images/{name}/get", file)
            yield from _downloaded(download, size, cancel, host_name)
        yield Progress("save", line="The file is read again.", fraction=NOT_YET)
        contents = read_archive(part, most_bytes=2 * size + SPARE_BYTES)
        part.replace(path)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        part.unlink(missing_ok=True)
    saved = SavedArchive(path, path.stat().st_size, contents.names)
    words = f"{image} is saved as {path}: {humanize.naturalsize(saved.size)}."
    yield Progress("save", line=words, fraction=1.0, bytes_done=saved.size, bytes_total=saved.size)
    return saved


class _Download(DaemonStream):
    """An answer that is written to a file as it comes, in the reading thread."""

    def __init__(self, client: docker.APIClient, path: str, file: io.BufferedWriter) -> None:
        super().__init__(client, path, params={}, method="GET")
        self._file = file
        self.received = 0
        self.failure: OSError | None = None
        """Why the file could not be written."""

    def receive(self, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            try:
                self._file.write(chunk)
            except OSError as error:
                self.failure = error
                raise
            self.received += len(chunk)


def _downloaded(
    download: _Download, size: int, cancel: CancelToken, host_name: str
) -> Iterator[Progress]:
    began = time.monotonic()
    try:
        with download as stream:
            cancel.on_cancel(stream.hang_up)
            for _ in stream.lines(every=HEARTBEAT_SECONDS):
                done = stream.received
                yield Progress(
                    "save",
                    fraction=min(done / max(size, 1), NOT_YET),
                    bytes_done=done,
                    bytes_total=max(size, done),
                    bytes_per_second=done / (time.monotonic() - began),
                )
    except FOREIGN as error:
        cancel.check()
        if download.failure is not None:
            raise download.failure from error
        raise translated(error, host_name=host_name) from error
    cancel.check()


def _check_room(path: Path, size: int, image: ImageReference) -> None:
    """Raises HostNotReady for a folder that is not there, and DiskFull without room."""
    if not path.parent.is_dir():
        raise HostNotReady(f"There is no folder {path.parent} to save {image} in. Make it first.")
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(path.parent).free
        if free < size + SPARE_BYTES:
            raise DiskFull(
                f"{image} takes {humanize.naturalsize(size)}, and {path.parent} has only "
                f"{humanize.naturalsize(free)} left. Free some space or choose another folder."
            )


def _not_written(path: Path, error: OSError) -> RunnerError:
    kind = DiskFull if error.errno == errno.ENOSPC else HostNotReady
    return kind(
        f"{path} could not be written: {error.strerror}. See that its disk has room and that "
        "abm's user may write there.",
        detail=str(error),
    )
