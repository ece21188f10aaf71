"""Loading images from a file into a host, for machines without internet."""

from __future__ import annotations

import re
import tarfile
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import humanize

from hosts.runners.base import HostNotReady, InstallFailed, Progress, RunnerError
from hosts.runners.docker.archive_reading import MANIFEST, ArchiveContents, read_archive
from hosts.runners.docker.errors import explain, mapped
from hosts.runners.docker.images import inspect_image, platform_of
from hosts.runners.docker.pull import THIS_MACHINE, error_in
from hosts.runners.docker.sending import PIECE_BYTES, Sending, conversation
from hosts.runners.docker.stream import DaemonStream, Line
from hosts.runners.docker.tar_reading import BLOCK, Bytes
from jobs.outcome import Cancelled, CancelToken

LOAD_STEPS: Mapping[str, tuple[str, float]] = {
    "check": ("Check the file", 0.2),
    "load": ("Load the images", 0.8),
}
"""Step key -> (title, share of the whole)."""
HEARTBEAT_SECONDS = 0.5
MOST_BYTES = 100 * 10**9
NOT_YET = 0.99
SENT_SHARE = 0.5
"""Of loading; the rest is what the daemon makes of it."""
LOADED = re.compile(r"^Loaded image(?: ID)?: (?P<name>\S+)$")
DAMAGED = re.compile(
    r"invalid tar header|unexpected EOF|invalid diffID|unpigz|gzip: |manifest\.json: no such file|"
    r"archive/tar|filesystem layer verification failed|invalid character",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """An image that came from a file. `name` is empty for one without."""

    name: str
    id: str
    size: int
    """Bytes unpacked."""
    platform: str


def load(
    client: docker.APIClient,
    path: Path,
    *,
    cancel: CancelToken,
    most_bytes: int = MOST_BYTES,
    host_name: str = THIS_MACHINE,
) -> Generator[Progress, None, tuple[LoadedImage, ...]]:
    """Load the images of a file of this machine into the host; which ones came is returned.

    A file that is none of images, is cut off or gives more than `most_bytes` is refused before the
    daemon gets a byte of it. Raises RunnerError, and Cancelled moments after `cancel`.
    """
    cancel.check()
    with mapped(host_name):
        architecture = str(client.version().get("Arch") or "amd64")
    contents = yield from _checked(path, most_bytes, architecture, cancel)
    sending = Sending(_body(path, contents, most_bytes))
    loading = _Loading(sending, max(path.stat().st_size, 1), contents.layer_bytes)
    headers = {"Content-Type": "application/x-tar"}
    request = DaemonStream(
        client, "/images/load", params={"quiet": "0"}, headers=headers, body=sending
    )
    with conversation(
        request,
        cancel=cancel,
        refused=lambda said: _refused(path, said, host_name),
        host_name=host_name,
        sending=sending,
    ):
        yield from loading.follow(request, path, host_name)
    images = tuple(_loaded(client, name, host_name) for name in loading.names)
    if not images:
        raise InstallFailed(f"Docker on {host_name} read {path.name} and found no image in it.")
    came = ", ".join(f"{i.name or i.id} ({humanize.naturalsize(i.size)})" for i in images)
    yield Progress("load", line=f"These images are on {host_name} now: {came}.", fraction=1.0)
    return images


def _checked(
    path: Path, most_bytes: int, architecture: str, cancel: CancelToken
) -> Generator[Progress, None, ArchiveContents]:
    """Read the file in a thread, as packed ones take their time."""
    read, is_left = [0], threading.Event()

    def look(done: int) -> None:
        cancel.check()
        if is_left.is_set():
            raise Cancelled
        read[0] = done

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(
            read_archive, path, most_bytes=most_bytes, architecture=architecture, look=look
        )
        try:
            while wait([reading], timeout=HEARTBEAT_SECONDS).not_done:
                total = max(path.stat().st_size, 1)
                yield Progress(
                    "check", fraction=read[0] / total, bytes_done=read[0], bytes_total=total
                )
        finally:
            is_left.set()
        contents = reading.result()
    names = ", ".join(contents.names) or "no names"
    words = f"{path.name} holds {contents.images} image(s): {names}."
    yield Progress("check", line=words, fraction=1.0)
    return contents


def _body(path: Path, contents: ArchiveContents, most_bytes: int) -> Iterator[bytes]:
    """The file as it is; one without a manifest.json unpacked, with the one that was made up."""
    try:
        with path.open("rb") as file:
            if not contents.made_up_manifest:
                while piece := file.read(PIECE_BYTES):
                    yield piece
                return
            source = Bytes(file, limit=most_bytes, look=lambda done: None)
            yield from source.chunks(contents.length)
    except OSError as error:
        raise HostNotReady(f"{path} cannot be read any more.", detail=str(error)) from error
    text = contents.made_up_manifest
    info = tarfile.TarInfo(MANIFEST)
    info.size = len(text)
    yield info.tobuf(tarfile.PAX_FORMAT) + text + bytes(-len(text) % BLOCK) + bytes(2 * BLOCK)


class _Loading:
    """What the daemon has told of a load so far."""

    def __init__(self, sending: Sending, total: int, layer_bytes: int) -> None:
        self.names: list[str] = []
        self._sending, self._total, self._layer_bytes = sending, total, layer_bytes
        self._layers: dict[str, int] = {}
        self._fraction = 0.0

    def follow(self, stream: DaemonStream, path: Path, host_name: str) -> Iterator[Progress]:
        heard_at = time.monotonic()
        for line in stream.lines(every=HEARTBEAT_SECONDS):
            words = ""
            if line is not None:
                heard_at = time.monotonic()
                if said := error_in(line):
                    raise _refused(path, said, host_name)
                words = self._take(line)
            is_sent = self._sending.sent >= self._total
            silent = time.monotonic() - heard_at if is_sent else 0.0
            yield self._progress(words, stalled_for=silent)

    def _take(self, line: Line) -> str:
        detail: Any = line.get("progressDetail")
        if isinstance(detail, Mapping) and isinstance(detail.get("current"), int):
            name = str(line.get("id"))
            self._layers[name] = max(self._layers.get(name, 0), detail["current"])
            return ""
        words = str(line.get("stream") or line.get("status") or "").strip()
        if found := LOADED.match(words):
            self.names.append(found["name"])
        return words

    def _progress(self, words: str, *, stalled_for: float) -> Progress:
        sent = min(self._sending.sent / self._total, 1.0)
        made = min(sum(self._layers.values()) / max(self._layer_bytes, 1), 1.0)
        now = (SENT_SHARE * sent + (1 - SENT_SHARE) * made) * NOT_YET
        self._fraction = max(self._fraction, now)
        return Progress(
            "load",
            line=words,
            fraction=self._fraction,
            bytes_done=min(self._sending.sent, self._total),
            bytes_total=self._total,
            stalled_for=stalled_for,
        )


def _loaded(client: docker.APIClient, name: str, host_name: str) -> LoadedImage:
    with mapped(host_name, otherwise=InstallFailed):
        found = inspect_image(client, name) or {}
    shown = "" if name.startswith("sha256:") else name
    size = int(found.get("Size") or 0)
    return LoadedImage(shown, str(found.get("Id", name)), size, platform_of(found))


def _refused(path: Path, said: str, host_name: str) -> RunnerError:
    """Why the daemon did not take the file."""
    if DAMAGED.search(said):
        return InstallFailed(
            f"{path.name} is damaged: Docker on {host_name} could not read all of it. Copy or "
            "save it again.",
            detail=said,
        )
    return explain(said, host_name=host_name, otherwise=InstallFailed)
