"""The container that abm itself runs in: where its folders lie for the daemon outside.

What abm knows as /app/data is, for the daemon, the folder of a volume or one of the host; engines
get it by that name. Which container it is tells the kernel: Docker mounts files of the container's
own folder (.../containers/<id>/hostname) into it, whatever it is called and however it was started.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from docker.errors import NotFound

from hosts.runners.base import RunnerError
from hosts.runners.docker.connection import connect
from hosts.runners.docker.detection import detect
from hosts.runners.docker.errors import FOREIGN, mapped
from hosts.runners.docker.own_identity import MOUNTS, own_id
from hosts.runners.docker.system import read_system, text_of

AGAIN_SECONDS = 30.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """A folder inside abm's container and the same one as the daemon knows it."""

    inside: PurePosixPath
    outside: PurePosixPath


def outside_of(path: Path) -> Path:
    """`path` as the daemon of this machine knows it; the same where abm is in no container."""
    return Path(moved(path, ((place.inside, place.outside) for place in _known.places())) or path)


def inside_of(path: Path) -> Path | None:
    """`path` of the daemon's machine as abm sees it; None where it does not."""
    found = moved(path, ((place.outside, place.inside) for place in _known.places()))
    return None if found is None else Path(found)


def moved(path: Path, pairs: Iterable[tuple[PurePosixPath, PurePosixPath]]) -> PurePosixPath | None:
    """`path` from below the first of a pair to below the second, by the pair that says most."""
    below = [(old, new) for old, new in pairs if path.is_relative_to(old)]
    if not below:
        return None
    old, new = max(below, key=lambda pair: len(pair[0].parts))
    return new / path.relative_to(old)


def own_image(client: Any) -> str:
    """The id of the image that abm itself runs from, on this daemon; empty where it has none.

    Raises what docker-py raises.
    """
    if not read_system().is_container:
        return ""
    identity = own_id(text_of(MOUNTS))
    try:
        return str(client.inspect_container(identity)["Image"]) if identity else ""
    except NotFound:
        return ""  # the daemon is another machine's


def places_of(inspected: Mapping[str, Any]) -> tuple[Place, ...]:
    """What is mounted into a container, from the daemon's answer."""
    rows = inspected.get("Mounts") or []
    return tuple(
        Place(PurePosixPath(row["Destination"]), PurePosixPath(row["Source"]))
        for row in rows
        if row.get("Source") and row.get("Destination")
    )


class _Known:
    """The answer, asked for once; where there is none, again after a while."""

    def __init__(self) -> None:
        self._places: tuple[Place, ...] | None = None
        self._asked_at = -AGAIN_SECONDS
        self._lock = threading.Lock()

    def places(self) -> tuple[Place, ...]:
        with self._lock:
            if self._places is None and time.monotonic() - self._asked_at >= AGAIN_SECONDS:
                self._asked_at = time.monotonic()
                self._places = _asked()
            return self._places or ()


def _asked() -> tuple[Place, ...] | None:
    if not read_system().is_container:
        return ()
    identity = own_id(text_of(MOUNTS))
    found = detect()
    if not identity or found.address is None or not found.state.is_usable:
        return None
    try:
        with mapped("this machine"), contextlib.closing(connect(found.address)) as client:
            return places_of(client.inspect_container(identity))
    except (RunnerError, *FOREIGN) as error:
        # A daemon of another machine, or a proxy that does not let inspect through.
        log.info("Docker does not tell where abm's own folders lie: %s", error)
        return None


_known = _Known()
