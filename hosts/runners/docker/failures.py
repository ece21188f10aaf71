"""Which state a failed attempt to reach a daemon means, and in what words."""

from __future__ import annotations

import contextlib
import errno
import getpass
import os
import sys
import time
from pathlib import Path

from docker.errors import APIError

from hosts.runners.base import HostNotReady, RunnerError
from hosts.runners.docker import guidance
from hosts.runners.docker.connection import DockerAddress, Source
from hosts.runners.docker.errors import (
    UNREADABLE,
    errno_of,
    is_name_unknown,
    is_timeout,
    translated,
)
from hosts.runners.docker.finding import DockerState, Finding, Surroundings, found
from hosts.runners.docker.system import is_service_starting

if sys.platform != "win32":
    import grp
    import pwd

THIS_MACHINE = "this machine"
STARTING_SECONDS = 30.0
"""How young a socket may be for its silence to mean that the daemon is still coming up."""


def failed(error: Exception, address: DockerAddress, by: Surroundings) -> Finding:
    """The state that a failure to connect or to understand the answer means."""
    told, number = translated(error, host_name=THIS_MACHINE), errno_of(error)
    detail, name = told.detail, _name(address)
    if number in {errno.EACCES, errno.EPERM}:
        return _denied(address, by, detail)
    has_answered = isinstance(error, (APIError, *UNREADABLE))
    if _is_starting(address, by) and (not has_answered or _is_server_error(error)):
        words = f"{name} is starting. Its socket is there and it does not answer yet."
        way = guidance.to_wait()
        return found(DockerState.STARTING, words, way, address=address, detail=detail)
    if isinstance(told, HostNotReady) or has_answered:
        words = _misunderstood(error, told, address)
        way = guidance.to_look(by.system)
        return found(DockerState.ERROR, words, way, address=address, detail=detail)
    if number in {errno.ECONNREFUSED, errno.ENOENT}:
        words = f"{name} is not running: nobody answers at {address.url}."
        way = guidance.to_start(by.system, address)
    else:
        words = f"{name} at {address.url} {_silence(error, number)}."
        way = guidance.to_start(by.system, address, restart=True)
    return found(DockerState.UNREACHABLE, words, way, address=address, detail=detail)


def _misunderstood(error: Exception, told: RunnerError, address: DockerAddress) -> str:
    text = told.detail.lower()
    if "http request to an https server" in text:
        return (
            f"The daemon at {address.url} wants TLS. Set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH "
            "to the folder with ca.pem, cert.pem and key.pem."
        )
    if isinstance(told, HostNotReady):
        return told.message
    if _is_server_error(error):
        return (
            f"{_name(address)} answers with an error of its own. Its engine may be stopped, "
            "paused or broken."
        )
    return f"What answers at {address.url} is not Docker. Check the address."


def _denied(address: DockerAddress, by: Surroundings, detail: str) -> Finding:
    """Say who may use the socket, and how abm's user becomes one of them."""
    user, group, number, is_member = _rights(address.path)
    owner = f" It belongs to the group {group}." if group else ""
    words = f"{user} may not use Docker's socket {address.path or address.url}.{owner}"
    if is_member:
        words = (
            f"{user} is in the group {group} and may use Docker, but not yet: abm was started "
            "before that."
        )
    way = guidance.to_permit(
        by.system, user=user, group=group, group_number=number, is_member=is_member
    )
    return found(DockerState.PERMISSION_DENIED, words, way, address=address, detail=detail)


def _rights(path: Path | None) -> tuple[str, str, int | None, bool]:
    """abm's user, the group that may use the socket, its number, and if the user is in it."""
    user, group, number = "abm", "", None
    if sys.platform == "win32":
        return getpass.getuser(), group, number, False
    with contextlib.suppress(KeyError):
        user = pwd.getpwuid(os.geteuid()).pw_name
    is_member = False
    with contextlib.suppress(OSError, KeyError):
        seen = path.stat() if path else None
        if seen and seen.st_mode & 0o020 and seen.st_gid:
            number = seen.st_gid
            entry = grp.getgrgid(number)
            group = entry.gr_name
            is_member = user in entry.gr_mem and number not in os.getgroups()
    return user, group, number, is_member


def _is_starting(address: DockerAddress, by: Surroundings) -> bool:
    """Its socket was made a moment ago, or systemd says that Docker is on its way."""
    if address.path is None:
        return False
    try:
        age = time.time() - address.path.stat().st_mtime
    except OSError:
        return False
    if 0 <= age < STARTING_SECONDS:
        return True
    return address.source is Source.USUAL and is_service_starting(by.system)


def _is_server_error(error: Exception) -> bool:
    """Docker Desktop answers 500 or 503 while its machine starts, is paused or is broken."""
    return isinstance(error, APIError) and bool(error.is_server_error())


def _silence(error: Exception, number: int | None) -> str:
    """How a daemon did not answer."""
    if is_timeout(error):
        return "does not answer. It may hang, or the way to it is cut"
    if is_name_unknown(error):
        return "cannot be reached: its name is not known in the network"
    if number:
        return f"cannot be reached: {os.strerror(number).lower()}"
    return "closed the connection without an answer"


def _name(address: DockerAddress) -> str:
    if address.source is Source.USUAL:
        return address.label or "Docker"
    return f"Docker ({address.label})"
