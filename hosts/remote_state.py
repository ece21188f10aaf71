"""In which state a remote host is, by how it failed."""

from __future__ import annotations

from hosts.models import Host
from hosts.runners.base import HostUnreachable, RunnerError
from hosts.runners.docker.connection import ApiTooOld
from hosts.ssh.errors import (
    HostKeyChanged,
    KeyRefused,
    NoDocker,
    NothingInCommon,
    SocketForbidden,
)

STATES: dict[type[RunnerError], Host.State] = {
    HostKeyChanged: Host.State.ERROR,
    KeyRefused: Host.State.PERMISSION_DENIED,
    SocketForbidden: Host.State.PERMISSION_DENIED,
    NoDocker: Host.State.CLIENT_MISSING,
    NothingInCommon: Host.State.TOO_OLD,
    ApiTooOld: Host.State.TOO_OLD,
    HostUnreachable: Host.State.UNREACHABLE,
}


def state_of_failure(error: RunnerError) -> Host.State:
    """Unreachable for what time may mend; the others want a person."""
    for kind, state in STATES.items():
        if isinstance(error, kind):
            return state
    return Host.State.ERROR
