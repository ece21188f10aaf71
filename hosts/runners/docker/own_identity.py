"""Which container abm itself runs in, and whether a daemon knows it."""

from __future__ import annotations

import re
from pathlib import Path

import docker
from docker.errors import APIError

from hosts.runners.docker.system import text_of

MOUNTS = Path("/proc/self/mountinfo")
OWN_ID = re.compile(r"/containers/([0-9a-f]{64})/(?:hostname|hosts|resolv\.conf) ")
"""In MOUNTS, whose fourth field is the source: man 5 proc_pid_mountinfo."""


def own_id(mounts: str) -> str:
    """The id of the container whose /proc/self/mountinfo this is; empty where it tells none."""
    found = OWN_ID.search(mounts)
    return found[1] if found else ""


def knows_own(client: docker.APIClient) -> bool:
    """Whether the container that abm runs in is one of this daemon's; False where it says no."""
    identity = own_id(text_of(MOUNTS))
    if not identity:
        return False
    try:
        client.inspect_container(identity)
    except APIError:
        return False
    return True
