"""The disk of a Docker host, as far as it is one abm's."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from docker.errors import NotFound

from hosts.runners.container import Mount
from hosts.runners.docker import containers
from hosts.runners.docker.containers import DockerHost
from hosts.runners.docker.disk import DiskUse, Reclaimable, disk_use
from hosts.runners.docker.errors import mapped
from hosts.runners.docker.found import read_container
from hosts.runners.docker.images import inspect_image
from hosts.runners.docker.labels import DEPLOYMENT, ENGINE, labels_on
from hosts.runners.docker.reclaim import Reclaimed, reclaim
from hosts.runners.docker.stored_files import Helper, StoredFiles, delete_entry, list_files
from hosts.runners.docker.stored_putting import make_folder, put_file
from hosts.runners.docker.volumes import create_volume
from hosts.runners.storage import FoundContainer, HostStorage, NotThere


class DockerStorage(HostStorage):
    """Asks the daemon, and leaves alone what another abm or a person made."""

    def __init__(self, host: DockerHost, deployment: str) -> None:
        self._host = host
        self._client = host.client
        self._deployment = deployment

    def use(self, images: Collection[str]) -> DiskUse:
        with mapped(self._host.name):
            return disk_use(self._client, self._deployment, images=images)

    def reclaim(self, chosen: Reclaimable, *, images: Collection[str]) -> Reclaimed:
        with mapped(self._host.name):
            return reclaim(
                self._client,
                chosen,
                deployment=self._deployment,
                images=images,
                host_name=self._host.name,
            )

    def files(self, place: Mount, *, image: str = "") -> StoredFiles:
        with mapped(self._host.name):
            if not self._is_there(place):
                return StoredFiles((), is_there=False)
            return list_files(place, is_here=self._host.is_here, helper=self._helper(image))

    def delete_files(self, place: Mount, path: str, *, image: str = "") -> None:
        with mapped(self._host.name):
            if self._is_there(place):
                helper = self._helper(image)
                delete_entry(place, path, is_here=self._host.is_here, helper=helper)

    def make_place(self, place: Mount, *, image: str = "") -> None:
        with mapped(self._host.name):
            if place.is_folder:
                make_folder(place, is_here=self._host.is_here, helper=self._helper(image))
            else:
                create_volume(self._client, place.source, self._deployment)

    def put_file(self, place: Mount, name: str, source: Path, *, image: str = "") -> None:
        with mapped(self._host.name):
            helper = self._helper(image)
            put_file(place, name, source, is_here=self._host.is_here, helper=helper)

    def find_container(self, container: str) -> FoundContainer:
        with mapped(self._host.name):
            found = self._ours(container)
            image = inspect_image(self._client, str(found["Image"])) or {}
            return read_container(found, image, engine_host=self._host.engine_host)

    def remove_container(self, container: str, *, grace: float) -> int:
        with mapped(self._host.name):
            self._ours(container)
            return containers.remove_one(self._host, container, grace=grace)

    def _ours(self, container: str) -> dict[str, Any]:
        try:
            found = dict(self._client.inspect_container(container))
        except NotFound as error:
            raise NotThere(f"The container {container[:12]} is gone.") from error
        labels = labels_on(found)
        if labels.get(DEPLOYMENT) != self._deployment or not labels.get(ENGINE):
            raise NotThere(f"The container {container[:12]} is not this abm's; it is left alone.")
        return found

    def _is_there(self, place: Mount) -> bool:
        """A helper would have Docker make a folder or volume that is not there."""
        if place.is_folder:
            return not self._host.is_here or Path(place.source).is_dir()
        try:
            self._client.inspect_volume(place.source)
        except NotFound:
            return False
        return True

    def _helper(self, image: str) -> Helper | None:
        if not image or inspect_image(self._client, image) is None:
            return None
        return Helper(self._client, image, self._deployment)
