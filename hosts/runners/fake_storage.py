"""The disk of a host in memory, for tests."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from hosts.runners.container import Mount
from hosts.runners.docker.disk import DiskUse, Reclaimable
from hosts.runners.docker.reclaim import Kept, Reclaimed
from hosts.runners.docker.stored_files import FolderMissing, StoredFile, StoredFiles
from hosts.runners.storage import FoundContainer, HostStorage, NotThere


@dataclass(slots=True)
class FakeDisk:
    """What lies on it. Tests set the fields."""

    use: DiskUse = field(default_factory=lambda: DiskUse((), 0, 0, (), 0, (), 0, 0, ()))
    files: dict[str, list[StoredFile]] = field(default_factory=dict)
    """By the path or name of their folder or volume."""
    containers: dict[str, FoundContainer] = field(default_factory=dict)
    """Containers of ours, by id."""


class FakeStorage(HostStorage):
    """Gives back what is asked for unless a container has it."""

    def __init__(self, disk: FakeDisk) -> None:
        self._disk = disk

    def files(self, place: Mount, *, image: str = "") -> StoredFiles:
        there = self._disk.files.get(place.source)
        return StoredFiles(tuple(there or ()), is_there=there is not None)

    def delete_files(self, place: Mount, path: str, *, image: str = "") -> None:
        there = self._disk.files
        there.pop(f"{place.source}/{path}", None)
        there[place.source] = [
            file for file in there.get(place.source, ()) if file.path.partition("/")[0] != path
        ]

    def make_place(self, place: Mount, *, image: str = "") -> None:
        self._disk.files.setdefault(place.source, [])

    def put_file(self, place: Mount, name: str, source: Path, *, image: str = "") -> None:
        if place.source not in self._disk.files:
            raise FolderMissing(f"The folder {place.source} is not there.")
        there = self._disk.files[place.source]
        found = source.stat()
        changed = datetime.fromtimestamp(int(found.st_mtime), UTC)
        others = [file for file in there if file.path != name]
        self._disk.files[place.source] = [*others, StoredFile(name, found.st_size, changed)]

    def use(self, images: Collection[str]) -> DiskUse:
        return self._disk.use

    def reclaim(self, chosen: Reclaimable, *, images: Collection[str]) -> Reclaimed:
        use = self._disk.use
        gone = [one for one in use.images if one.id in chosen.images and not one.used_by]
        empty = [one for one in use.volumes if one.name in chosen.volumes and not one.used_by]
        held = [one for one in use.volumes if one.name in chosen.volumes and one.used_by]
        self._disk.use = replace(
            use,
            images=tuple(one for one in use.images if one not in gone),
            volumes=tuple(one for one in use.volumes if one not in empty),
        )
        return Reclaimed(
            sum(one.size or 0 for one in empty) + sum(one.own_bytes for one in gone),
            (*(one.name for one in empty), *(one.id for one in gone)),
            tuple(Kept(one.name, f"The volume {one.name} is used.") for one in held),
        )

    def find_container(self, container: str) -> FoundContainer:
        if container not in self._disk.containers:
            raise NotThere(f"The container {container[:12]} is gone.")
        return self._disk.containers[container]

    def remove_container(self, container: str, *, grace: float) -> int:
        self.find_container(container)
        del self._disk.containers[container]
        return 1_000
