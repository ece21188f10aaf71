"""What a Docker host's disk is used for: by this abm, and by all others in sum.

Read from `/system/df` (Docker Engine API, 1.40 to 1.45), which goes through every volume and can
take minutes on a large host. Sizes are bytes. The functions raise what docker-py raises
(`errors.mapped`).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import docker

from hosts.oci.reference import BadReference, ImageReference
from hosts.runners.docker.images import inspect_image
from hosts.runners.docker.kept_layers import LABEL as PARTIAL
from hosts.runners.docker.labels import CARDS, DEPLOYMENT, ENGINE
from hosts.runners.docker.shared_layers import LayeredImage, bytes_of

PATIENCE_SECONDS = 180.0
AGAIN_SECONDS = 0.2
BUSY = 409
"""Docker 20.10 counts for one at a time and refuses the others."""


@dataclass(frozen=True, slots=True)
class ImageUse:
    """An image of ours: engines use it, or it was made here for abm."""

    id: str
    names: tuple[str, ...]
    size: int
    own_bytes: int
    """Comes free when it goes alone; the rest it shares with other images."""
    used_by: tuple[str, ...]
    """Ids of the containers made from it, whosever they are."""
    foreign_names: tuple[str, ...] = ()
    """Of several names those that no engine has: somebody else wants it."""
    is_partial: bool = False
    """Finished layers of a pull that did not end well, kept for the next try."""


@dataclass(frozen=True, slots=True)
class ContainerUse:
    """A container of ours and what it has written outside of its volumes."""

    id: str
    name: str
    engine: str
    is_running: bool
    size: int


@dataclass(frozen=True, slots=True)
class VolumeUse:
    """A volume of ours."""

    name: str
    size: int | None
    """None where its driver does not tell."""
    engine: str
    used_by: tuple[str, ...]
    """Names of the containers that have it, whosever they are."""


@dataclass(frozen=True, slots=True)
class DiskUse:
    """A host's disk. What is ours stands one by one, the rest in sum."""

    images: tuple[ImageUse, ...]
    images_size: int
    """What ours take together and nobody else's need: shared layers count once."""
    other_images_size: int
    containers: tuple[ContainerUse, ...]
    other_containers_size: int
    volumes: tuple[VolumeUse, ...]
    other_volumes_size: int
    build_cache_size: int
    """BuildKit's. It does not say who built; abm's own builds leave none there."""
    layers: tuple[LayeredImage, ...]
    """Of all images on the host, to foretell what comes free."""

    def freed_by(self, images: Collection[str]) -> int:
        """What comes free when the images of these ids all go."""
        return bytes_of(images, self.layers)


@dataclass(frozen=True, slots=True)
class Reclaimable:
    """What may go: ids of images and containers, names of volumes, and what comes free by all."""

    images: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    build_cache: tuple[str, ...] = ()
    """Ids of records that the caller knows to be abm's: Docker cannot tell whose they are."""
    size: int = 0


def disk_use(client: docker.APIClient, deployment: str, *, images: Collection[str] = ()) -> DiskUse:
    """Ask the daemon. `images` are those of the engines, by id or by any of their names."""
    said = usage(client)
    # Its own reader of cards holds nothing: it is made of another image then.
    containers = [row for row in said.get("Containers") or [] if _label(row, CARDS) != deployment]
    rows = said.get("Images") or []
    volumes = said.get("Volumes") or []
    layers = tuple(_layered(client, row) for row in rows)
    of_us = [row for row in containers if _label(row, DEPLOYMENT) == deployment]
    of_engines = {canonical(name) for name in images}
    of_engines |= {str(row.get("ImageID")) for row in of_us}
    ours = [row for row in rows if _is_ours(row, of_engines, deployment)]
    images_size = bytes_of({str(row["Id"]) for row in ours}, layers)
    others = [row for row in containers if row not in of_us]
    own_volumes = [row for row in volumes if _label(row, DEPLOYMENT) == deployment]
    foreign_volumes = [row for row in volumes if row not in own_volumes]
    return DiskUse(
        images=tuple(_image(row, containers, of_engines) for row in ours),
        images_size=images_size,
        other_images_size=max(int(said.get("LayersSize") or 0) - images_size, 0),
        containers=tuple(_container(row) for row in of_us),
        other_containers_size=sum(int(row.get("SizeRw") or 0) for row in others),
        volumes=tuple(_volume(row, containers) for row in own_volumes),
        other_volumes_size=sum(size_of_volume(row) or 0 for row in foreign_volumes),
        build_cache_size=sum(
            int(row.get("Size") or 0)
            for row in said.get("BuildCache") or []
            if not row.get("Shared")
        ),
        layers=layers,
    )


def reclaimable(
    use: DiskUse,
    *,
    engines: Collection[str],
    images: Collection[str] = (),
    volumes: Collection[str] = (),
) -> Reclaimable:
    """What nobody needs. To be kept: what belongs to these `engines` by name, and these `images`
    (by id or name) and `volumes` (by name); partial images are kept, as a pull may need them.
    """
    idle = [one for one in use.containers if not one.is_running and one.engine not in engines]
    going = {one.id for one in idle}
    kept = {canonical(name) for name in images}
    unused = [
        one
        for one in use.images
        if going.issuperset(one.used_by)
        and not (one.is_partial or one.foreign_names)
        and kept.isdisjoint({one.id, *map(canonical, one.names)})
    ]
    names = {one.name for one in idle}
    free = [
        one
        for one in use.volumes
        if names.issuperset(one.used_by) and one.engine not in engines and one.name not in volumes
    ]
    size = sum(one.size for one in idle) + sum(one.size or 0 for one in free)
    return Reclaimable(
        images=tuple(one.id for one in unused),
        containers=tuple(one.id for one in idle),
        volumes=tuple(one.name for one in free),
        size=size + use.freed_by({one.id for one in unused}),
    )


def usage(client: docker.APIClient) -> dict[str, Any]:
    """What `/system/df` says; waits for its turn where another is being counted for."""
    end = time.monotonic() + PATIENCE_SECONDS
    url = f"{client.base_url}/v{client.api_version}/system/df"
    while True:
        answer = client.get(url, timeout=PATIENCE_SECONDS)
        if answer.status_code != BUSY or time.monotonic() > end:
            client._raise_for_status(answer)  # type: ignore[attr-defined]
            return dict(answer.json())
        time.sleep(AGAIN_SECONDS)


def size_of_volume(row: Mapping[str, Any]) -> int | None:
    """Of a volume in the answer of `/system/df`; -1 there is not known."""
    size = int((row.get("UsageData") or {}).get("Size", -1))
    return size if size >= 0 else None


def users_of_volume(name: str, containers: Collection[Mapping[str, Any]]) -> tuple[str, ...]:
    """Names of the containers, as they are listed, that have it."""
    return tuple(
        sorted(
            _name(row)
            for row in containers
            if any(mount.get("Name") == name for mount in row.get("Mounts") or ())
        )
    )


def _is_ours(row: Mapping[str, Any], of_engines: Collection[str], deployment: str) -> bool:
    written = (*_names(row), *(row.get("RepoDigests") or ()))
    names = {str(row["Id"]), *(canonical(str(name)) for name in written)}
    is_made_by_us = _label(row, DEPLOYMENT) == deployment or bool(_label(row, PARTIAL))
    return is_made_by_us or not names.isdisjoint(of_engines)


def _image(
    row: Mapping[str, Any], containers: list[Mapping[str, Any]], of_engines: Collection[str]
) -> ImageUse:
    names = _names(row)
    foreign = tuple(name for name in names if canonical(name) not in of_engines)
    size, shared = int(row.get("Size") or 0), max(int(row.get("SharedSize") or 0), 0)
    return ImageUse(
        id=str(row["Id"]),
        names=names,
        size=size,
        own_bytes=max(size - shared, 0),
        used_by=tuple(str(one["Id"]) for one in containers if one.get("ImageID") == row["Id"]),
        foreign_names=foreign if len(names) > 1 else (),
        is_partial=bool(_label(row, PARTIAL)),
    )


def _layered(client: docker.APIClient, row: Mapping[str, Any]) -> LayeredImage:
    found = inspect_image(client, str(row["Id"])) or {}
    return LayeredImage(
        id=str(row["Id"]),
        layers=tuple((found.get("RootFS") or {}).get("Layers") or ()),
        size=int(row.get("Size") or 0),
        shared=max(int(row.get("SharedSize") or 0), 0),
    )


def _container(row: Mapping[str, Any]) -> ContainerUse:
    return ContainerUse(
        id=str(row["Id"]),
        name=_name(row),
        engine=_label(row, ENGINE),
        is_running=row.get("State") not in {"created", "exited", "dead"},
        size=int(row.get("SizeRw") or 0),
    )


def _volume(row: Mapping[str, Any], containers: list[Mapping[str, Any]]) -> VolumeUse:
    name = str(row["Name"])
    return VolumeUse(
        name, size_of_volume(row), _label(row, ENGINE), users_of_volume(name, containers)
    )


def canonical(name: str) -> str:
    """An image's name in full; an id, or what is no name, as it is."""
    try:
        return name if name.startswith("sha256:") else ImageReference.parse(name).canonical
    except BadReference:
        return name


def _label(row: Mapping[str, Any], label: str) -> str:
    return str((row.get("Labels") or {}).get(label, ""))


def _name(row: Mapping[str, Any]) -> str:
    return str((row.get("Names") or [row["Id"][:12]])[0]).lstrip("/")


def _names(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(tag) for tag in row.get("RepoTags") or () if tag != "<none>:<none>")
