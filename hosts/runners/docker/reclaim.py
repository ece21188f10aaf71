"""Giving disk space back: what was chosen, as far as it is ours and nobody uses it; never a prune.

Docker is asked without force, so that it refuses what somebody began to use in the meantime.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import docker
from docker.errors import APIError, NotFound

from hosts.runners.base import RunnerError
from hosts.runners.docker.card_helper import end_card_helpers
from hosts.runners.docker.disk import DiskUse, ImageUse, Reclaimable, disk_use, usage
from hosts.runners.docker.errors import explain
from hosts.runners.docker.volumes import delete_volume


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that was to go and stays; `reason` is a sentence."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """What went, by name, and the bytes that came free by it."""

    size: int
    removed: tuple[str, ...]
    kept: tuple[Kept, ...]


def reclaim(
    client: docker.APIClient,
    chosen: Reclaimable,
    *,
    deployment: str,
    images: Collection[str] = (),
    host_name: str = "this machine",
) -> Reclaimed:
    """Remove what was chosen: containers first, as they hold images and volumes.

    `images` are those of the engines, as for `disk_use`: an image that is neither among them nor
    bears our label is kept. Raises what docker-py raises when the host itself fails.
    """
    use = disk_use(client, deployment, images=images)
    work = _Reclaim(client, use, deployment, host_name)
    for found in chosen.containers:
        work.container(found)
    for name in chosen.volumes:
        work.volume(name, deployment)
    for found in chosen.images:
        work.image(found)
    for found in chosen.build_cache:
        work.build_cache(found)
    return work.result()


class _Reclaim:
    """One round; `use` is what was there before it."""

    def __init__(
        self, client: docker.APIClient, use: DiskUse, deployment: str, host_name: str
    ) -> None:
        self._client, self._use = client, use
        self._deployment, self._host_name = deployment, host_name
        self._size = 0
        self._images: set[str] = set()
        self._removed: list[str] = []
        self._kept: list[Kept] = []

    def result(self) -> Reclaimed:
        size = self._size + self._use.freed_by(self._images)
        return Reclaimed(size, tuple(self._removed), tuple(self._kept))

    def container(self, found: str) -> None:
        """With the nameless volumes that were made for it alone."""
        use = next((one for one in self._use.containers if one.id == found), None)
        if use is None:
            self._keep(found[:12], "This container is gone, or is not abm's.")
        elif use.is_running:
            self._keep(use.name, f"{use.name} runs. Stop it first.")
        elif self._done(use.name, lambda: self._client.remove_container(found, v=True)):
            self._size += use.size

    def volume(self, name: str, deployment: str) -> None:
        use = next((one for one in self._use.volumes if one.name == name), None)
        if use is None:
            self._keep(name, f"The volume {name} is gone, or is not abm's.")
        elif self._done(name, lambda: delete_volume(self._client, name, deployment)):
            self._size += use.size or 0

    def image(self, found: str) -> None:
        """By id, or by one of its names: then it stays as long as it has others."""
        use = next((one for one in self._use.images if found in (one.id, *one.names)), None)
        if use is None:
            self._keep(found, f"The image {found} is gone, or no engine's.")
            return
        name = use.names[0] if use.names else found[:19]
        there = {str(row["Id"]) for row in self._client.containers(all=True, quiet=True)}
        if there.intersection(use.used_by):
            self._keep(name, f"Containers are made from {name}. Remove them first.")
        elif found == use.id and use.foreign_names:
            other = use.foreign_names[0]
            self._keep(name, f"Somebody else calls this image {other}, so that it is kept.")
        else:
            self._remove(use, name, [found] if found != use.id else use.names or [use.id])

    def _remove(self, use: ImageUse, name: str, targets: Sequence[str]) -> None:
        end_card_helpers(self._client, self._deployment, image=use.id)
        lines: list[dict[str, str]] = []
        for target in targets:
            if not self._done(name, partial(self._untag, target, lines)):
                return
            self._removed.remove(name)
        if any(line.get("Deleted") == use.id for line in lines):
            self._images.add(use.id)
            self._removed.append(name)
        else:
            self._keep(name, f"The image {name} has other names, which keep it.")

    def _untag(self, name: str, lines: list[dict[str, str]]) -> None:
        lines.extend(self._client.remove_image(name) or ())

    def build_cache(self, found: str) -> None:
        rows = {str(row["ID"]): row for row in usage(self._client).get("BuildCache") or ()}
        if found not in rows or rows[found].get("InUse"):
            self._keep(found, "This part of the build cache is gone, or in use.")
            return
        said: dict[str, Any] = {}
        filters: Any = {"id": [found]}
        if self._done(found, lambda: said.update(self._client.prune_builds(filters, all=True))):
            self._size += int(said.get("SpaceReclaimed") or 0)

    def _done(self, name: str, act: Callable[[], object]) -> bool:
        try:
            act()
        except NotFound:
            self._keep(name, f"{name} is gone already.")
            return False
        except APIError as error:
            if error.status_code != 409:
                raise
            why = explain(str(error.explanation or error), host_name=self._host_name)
            self._keep(name, why.message)
            return False
        except RunnerError as error:
            self._keep(name, error.message)
            return False
        self._removed.append(name)
        return True

    def _keep(self, name: str, reason: str) -> None:
        self._kept.append(Kept(name, reason))
