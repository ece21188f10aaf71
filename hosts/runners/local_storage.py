"""The disk of this machine, for engines that run as processes: their models are plain folders."""

from __future__ import annotations

from pathlib import Path

from hosts.runners.container import Mount
from hosts.runners.docker.stored_files import StoredFiles, delete_entry, list_files
from hosts.runners.docker.stored_putting import make_folder, put_file
from hosts.runners.storage import HostStorage


class LocalStorage(HostStorage):
    """Folders that abm sees itself."""

    def files(self, place: Mount, *, image: str = "") -> StoredFiles:
        if not Path(place.source).is_dir():
            return StoredFiles((), is_there=False)
        return list_files(place, is_here=True)

    def delete_files(self, place: Mount, path: str, *, image: str = "") -> None:
        if Path(place.source).is_dir():
            delete_entry(place, path, is_here=True)

    def make_place(self, place: Mount, *, image: str = "") -> None:
        make_folder(place, is_here=True, helper=None)

    def put_file(self, place: Mount, name: str, source: Path, *, image: str = "") -> None:
        put_file(place, name, source, is_here=True, helper=None)
