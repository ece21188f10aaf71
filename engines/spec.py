"""An Engine row as the values a runner may know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings

from engines.models import Engine
from hosts.runners.base import EngineSpec


def spec_of(engine: Engine) -> EngineSpec:
    """The frozen spec of `engine`; reads the ports that its neighbours hold."""
    definition: dict[str, Any] = engine.definition
    installation = definition.get("installation") or {}
    extras = definition.get("abm") or {}
    folder = definition.get("folder") or ""
    source = Path(folder) if folder else None
    venv = installation.get("venv_path")
    taken = Engine.objects.filter(host_id=engine.host_id, port__isnull=False).exclude(pk=engine.pk)
    return EngineSpec(
        name=engine.name,
        source_dir=source,
        is_in_place=bool(definition.get("is_in_place")),
        venv_path=_below(source, venv) if venv and source else None,
        python_version=installation.get("python_version") or extras.get("python") or "",
        ports=range(settings.ENGINE_PORT_START, settings.ENGINE_PORT_MAX + 1),
        preferred_port=engine.port,
        taken_ports=frozenset(port for port in taken.values_list("port", flat=True) if port),
        environment={str(key): str(value) for key, value in engine.environment.items()},
        samples_dir=Path(engine.host.samples_path or settings.DATA_DIR / "samples"),
        models_dir=Path(engine.host.models_path or settings.DATA_DIR / "models"),
    )


def _below(source: Path, venv: str) -> Path:
    """engine.yaml writes `venv_path` from the engine's own folder; an absolute one stays."""
    path = Path(venv).expanduser()
    return path if path.is_absolute() else source / path
