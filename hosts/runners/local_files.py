"""Where a local engine's files lie, and what the two small files beside it say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hosts.runners.base import EngineSpec


@dataclass(frozen=True, slots=True)
class EngineFiles:
    """The places of one engine below the data directory."""

    folder: Path
    source: Path
    venv: Path
    shared: Path | None
    """What neighbours share (`_server` two levels above the engine), to be importable."""
    has_own_venv: bool
    """False for a developer's own environment, which abm only uses."""

    @property
    def ready_mark(self) -> Path:
        return self.folder / "ready.json"

    @property
    def run_mark(self) -> Path:
        return self.folder / "run.json"

    @property
    def exit_mark(self) -> Path:
        return self.folder / "exit.json"

    @property
    def config(self) -> Path:
        return self.folder / "launch.json"

    @property
    def log(self) -> Path:
        return self.folder / "engine.log"

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"


def files_of(spec: EngineSpec, data_dir: Path) -> EngineFiles:
    """The places for `spec`: a copy for engines that come with abm, its own folder in place."""
    folder = data_dir / "engines" / spec.name
    origin = spec.source_dir
    has_shared = origin is not None and (origin.parent.parent / "_server").is_dir()
    if spec.is_in_place and origin is not None:
        own = spec.venv_path is None or not (spec.venv_path / "bin" / "python").exists()
        venv = folder / "venv" if own or spec.venv_path is None else spec.venv_path
        shared = origin.parent.parent / "_server" if has_shared else None
        return EngineFiles(folder, origin, venv, shared, has_own_venv=own)
    shared = folder / "_server"
    return EngineFiles(
        folder,
        folder / "source",
        folder / "venv",
        shared if has_shared or shared.is_dir() else None,
        has_own_venv=True,
    )


def read_mark(path: Path) -> dict[str, Any]:
    """A small JSON file as values; empty when it is missing or broken."""
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
