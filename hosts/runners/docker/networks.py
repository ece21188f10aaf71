"""Networks that people and compose make, and that engines join."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import docker

from hosts.runners.base import EngineSpec
from hosts.runners.docker.errors import FOREIGN
from hosts.runners.docker.labels import container_of


def lost_network(client: docker.APIClient, spec: EngineSpec, found: Mapping[str, Any]) -> bool:
    """Whether the network that a container joined is gone and one of the same name is there.

    Docker knows it by its id, so the container cannot be started any more and is made anew:
    `docker compose down` and `up` do this.
    """
    name = container_of(spec).network
    joined = (found["NetworkSettings"].get("Networks") or {}).get(name) or {}
    if not name or not joined.get("NetworkID"):
        return False
    try:
        return bool(client.inspect_network(name)["Id"] != joined["NetworkID"])
    except FOREIGN:
        return False  # who starts it hears why
