"""Engines as processes of this machine, each in an environment of its own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from hosts.runners import local_install, local_log, local_process, local_status
from hosts.runners.base import (
    EngineEndpoint,
    EngineRunner,
    EngineSpec,
    EngineStatus,
    HostFacts,
    HostNotReady,
    Progress,
    StartFailed,
)
from hosts.runners.local_facts import read_facts
from hosts.runners.local_files import EngineFiles, files_of
from hosts.runners.local_storage import LocalStorage
from jobs.outcome import CancelToken


class LocalRunner(EngineRunner):
    """Runs engines below the data directory, or in place for their developer."""

    INSTALL_STEPS: ClassVar[Mapping[str, tuple[str, float]]] = {
        "copy": ("Copy the engine's files", 0.03),
        "venv": ("Make its environment", 0.07),
        "fetch": ("Fetch its packages", 0.75),
        "link": ("Put the packages in place", 0.10),
        "mark": ("Check and finish", 0.05),
    }

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def _files(self, spec: EngineSpec) -> EngineFiles:
        return files_of(spec, self._data_dir)

    def probe(self) -> HostFacts:
        if not self._data_dir.is_dir():
            raise HostNotReady(f"The data directory {self._data_dir} is gone.")
        return read_facts(self._data_dir)

    def install(self, spec: EngineSpec, cancel: CancelToken) -> Iterator[Progress]:
        files = self._files(spec)
        files.ready_mark.unlink(missing_ok=True)
        yield Progress("copy", line=f"From {spec.source_dir}")
        local_install.copy_source(spec, files)
        cancel.check()
        if files.has_own_venv:
            yield Progress("venv")
            python = local_install.find_python(spec)
            yield Progress("venv", line=f"With {python}", fraction=0.3)
            yield from local_install.make_venv(spec, files, python, cancel)
            yield Progress("fetch")
            yield from local_install.fill_venv(spec, files, cancel)
        else:
            yield Progress("venv", line=f"Its own environment is used as it is: {files.venv}")
        cancel.check()
        yield Progress("mark", fraction=0.5)
        self._mark_ready(spec, files)
        yield Progress("mark", line="Ready.", fraction=1.0)

    def _mark_ready(self, spec: EngineSpec, files: EngineFiles) -> None:
        if not files.python.exists():
            raise HostNotReady(f"{spec.name}'s environment has no interpreter at {files.python}.")
        digest = hashlib.sha256((files.source / "server.py").read_bytes()).hexdigest()
        try:
            files.ready_mark.write_text(json.dumps({"server": digest}))
        except OSError as error:
            raise local_install.disk_error(spec, error) from error

    def _is_installed(self, files: EngineFiles) -> bool:
        return (
            files.ready_mark.exists()
            and files.python.exists()
            and (files.source / "server.py").exists()
        )

    def start(self, spec: EngineSpec) -> EngineEndpoint:
        files = self._files(spec)
        if not self._is_installed(files):
            raise StartFailed(
                f"{spec.name}'s files are not complete in {files.folder}. Install it again."
            )
        return local_process.start(spec, files)

    def stop(self, spec: EngineSpec, *, grace: float) -> None:
        local_process.end(self._files(spec), grace=grace)

    def remove(self, spec: EngineSpec, *, keeps_image: bool = False) -> int:
        files = self._files(spec)
        local_process.end(files, grace=5.0)
        freed = _bytes_below(files.folder)
        files.ready_mark.unlink(missing_ok=True)
        for _ in range(3):
            # A process that is just ending may still write into its folder.
            shutil.rmtree(files.folder, ignore_errors=True)
            if not files.folder.exists():
                return freed
            time.sleep(0.1)
        raise HostNotReady(f"The folder {files.folder} could not be deleted; delete it by hand.")

    def status(self, spec: EngineSpec) -> EngineStatus:
        files = self._files(spec)
        return local_status.status(files, is_installed=self._is_installed(files))

    def logs(self, spec: EngineSpec, *, tail: int) -> list[str]:
        return local_log.tail_of(self._files(spec).log, tail)

    def follow(self, spec: EngineSpec, *, tail: int, cancel: CancelToken) -> Iterator[str]:
        yield from local_log.follow(self._files(spec).log, tail=tail, cancel=cancel)

    def size(self, spec: EngineSpec) -> int | None:
        files = self._files(spec)
        return _bytes_below(files.folder) if files.folder.is_dir() else None

    def storage(self, deployment: str) -> LocalStorage:
        return LocalStorage()

    def end_orphan(self, pid: int, created: float) -> None:
        local_process.end_group(pid, created)


def _bytes_below(folder: Path) -> int:
    """What the files of a folder take on disk; hard links to a cache count as they are."""
    total = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += 0 if file.is_symlink() else file.lstat().st_size
    return total
