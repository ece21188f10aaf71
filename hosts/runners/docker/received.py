"""How much an engine has fetched since it started: what its network brought, or its folder grew."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, InvalidVersion

from hosts.runners.base import EngineSpec


def received_by(
    client: docker.APIClient, spec: EngineSpec, found: Mapping[str, Any], *, is_here: bool
) -> int | None:
    """Bytes, the larger of the two: a model may come by the network or from a mounted share."""
    known = [size for size in (_network(client, found["Id"]), _folder(spec, is_here)) if size]
    return max(known) if known else None


def _network(client: docker.APIClient, container: str) -> int | None:
    try:
        said = client.stats(container, stream=False, one_shot=True)
    except (APIError, InvalidVersion):
        return None
    return sum(int(one.get("rx_bytes") or 0) for one in (said.get("networks") or {}).values())


def _folder(spec: EngineSpec, is_here: bool) -> int | None:
    """Of the engine's own folder of models, where abm sees it."""
    if not is_here or spec.models_dir is None:
        return None
    return sum(_sizes_below(spec.models_dir / spec.name))


def _sizes_below(folder: Path) -> list[int]:
    sizes = []
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append((Path(path) / name).lstat().st_size)
            except OSError:
                continue  # renamed between the two looks
    return sizes
