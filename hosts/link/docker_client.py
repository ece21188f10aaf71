"""A client for this machine's Docker, wherever detection finds it."""

from __future__ import annotations

import docker

from hosts.runners.base import HostUnreachable
from hosts.runners.docker.connection import connect
from hosts.runners.docker.detection import detect


def connect_here() -> docker.APIClient:
    """A client of its own, to be closed. Raises HostUnreachable with detection's sentence."""
    found = detect()
    if not found.state.is_usable or found.address is None:
        raise HostUnreachable(found.sentence)
    return connect(found.address)
