"""How abm knows its own containers: by their labels, never by a name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from hosts.runners.base import EngineSpec, StartFailed
from hosts.runners.container import ContainerSpec

ENGINE = "abm.engine"
"""The engine's name, unique on its host within one abm."""
DEPLOYMENT = "abm.deployment"
"""Which abm made it: several may share one daemon, and each sees only what is its own."""
SPEC = "abm.spec"
"""Digest of the settings that it was made from, but for its port on the host."""
IMAGE = "abm.image"
"""Id of the image that it was made from, as the daemon gave it."""
PORT = "abm.port"
"""Where the engine listens inside."""
CARDS = "abm.cards"
"""Which abm's reader of cards it is (`card_helper`); it is no engine's."""
VERSION = "abm.version"
"""The abm that made it."""
NAME_DIGITS = 8


def container_of(spec: EngineSpec) -> ContainerSpec:
    """What is said of the engine's container. Raises StartFailed where nothing is."""
    if spec.container is None:
        raise StartFailed(
            f"{spec.name} has no image to run in Docker. Choose a variant with an image, or "
            "install it on this machine without Docker."
        )
    return spec.container


def name_of(spec: EngineSpec) -> str:
    """What its container is called, for people; abm finds it by labels."""
    return f"abm-{container_of(spec).deployment[:NAME_DIGITS]}-{spec.name}"


def filter_of(spec: EngineSpec) -> dict[str, Any]:
    """What finds the engine's containers among all that a daemon has."""
    return {"label": [f"{ENGINE}={spec.name}", f"{DEPLOYMENT}={container_of(spec).deployment}"]}


def labels_of(spec: EngineSpec, *, settings: str, image: str, version: str) -> dict[str, str]:
    """All labels of a new container; `settings` is their `digest_of`."""
    container = container_of(spec)
    return {
        ENGINE: spec.name,
        DEPLOYMENT: container.deployment,
        SPEC: settings,
        IMAGE: image,
        PORT: str(container.engine_port),
        **({VERSION: version} if version else {}),
    }


def volume_labels_of(spec: EngineSpec) -> dict[str, str]:
    """All labels of a volume that is made with the engine's container."""
    return {ENGINE: spec.name, DEPLOYMENT: container_of(spec).deployment}


def labels_on(found: Mapping[str, Any]) -> dict[str, str]:
    """The labels of an inspected container."""
    return dict(found.get("Config", {}).get("Labels") or {})


def digest_of(settings: Mapping[str, Any]) -> str:
    """Sixteen digits that change whenever a setting does."""
    written = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()[:16]
