"""Named volumes of a Docker host: those of abm bear its labels, all others are left alone.

The functions raise what docker-py raises (`errors.mapped`), and RunnerError with a sentence where
something is refused.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import NotFound

from hosts.runners.base import RunnerError
from hosts.runners.docker.disk import size_of_volume, usage, users_of_volume
from hosts.runners.docker.labels import DEPLOYMENT, ENGINE


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume of ours, as Docker lists it."""

    name: str
    engine: str
    """Empty for one that several engines share."""
    driver: str
    mountpoint: str
    """A path of the host; of drivers other than `local` it may be empty."""
    used_by: tuple[str, ...]
    """Names of the containers that have it, whosever they are."""


class VolumeInUse(RunnerError):
    """Containers have this volume."""

    code = "VOLUME_IN_USE"


class NotOurs(RunnerError):
    """Something of this name is there, but abm did not make it."""

    code = "NOT_OURS"


def create_volume(
    client: docker.APIClient, name: str, deployment: str, *, engine: str = ""
) -> Volume:
    """Make it, or find it as it was made before. Raises NotOurs where another one has the name."""
    labels = {DEPLOYMENT: deployment, **({ENGINE: engine} if engine else {})}
    # Docker answers with the volume that is there, whatever its labels.
    client.create_volume(name, labels=labels)
    return _ours(client, name, deployment)


def volumes(client: docker.APIClient, deployment: str) -> tuple[Volume, ...]:
    """All of ours, by name."""
    said = client.volumes(filters={"label": f"{DEPLOYMENT}={deployment}"})
    containers = client.containers(all=True)
    found = (_volume(row, containers) for row in said.get("Volumes") or ())
    return tuple(sorted(found, key=lambda one: one.name))


def sizes(client: docker.APIClient, names: Collection[str]) -> dict[str, int]:
    """Bytes by name, of those whose driver tells; Docker counts every file of every volume."""
    rows = usage(client).get("Volumes") or ()
    told = {str(row["Name"]): size_of_volume(row) for row in rows}
    return {name: size for name in names if (size := told.get(name)) is not None}


def delete_volume(client: docker.APIClient, name: str, deployment: str) -> None:
    """Delete it with all that is in it; quiet if it is gone. Raises VolumeInUse or NotOurs."""
    try:
        found = _ours(client, name, deployment)
    except NotFound:
        return
    if found.used_by:
        raise VolumeInUse(
            f"The volume {name} is used by {_listed(found.used_by)}. Remove "
            f"{'that container' if len(found.used_by) == 1 else 'those containers'} first."
        )
    client.remove_volume(name)


def _ours(client: docker.APIClient, name: str, deployment: str) -> Volume:
    row = client.inspect_volume(name)
    if (row.get("Labels") or {}).get(DEPLOYMENT) != deployment:
        raise NotOurs(
            f"The volume {name} was not made by this abm, which leaves it alone. Choose another "
            "name, or use it as it is."
        )
    return _volume(row, client.containers(all=True))


def _volume(row: dict[str, Any], containers: list[Any]) -> Volume:
    name = str(row["Name"])
    return Volume(
        name=name,
        engine=str((row.get("Labels") or {}).get(ENGINE, "")),
        driver=str(row.get("Driver") or ""),
        mountpoint=str(row.get("Mountpoint") or ""),
        used_by=users_of_volume(name, containers),
    )


def _listed(names: Collection[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
