"""What is true of an engine's container now, as an EngineStatus."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hosts.runners.base import EngineExit, EngineSpec, EngineStatus
from hosts.runners.docker.container_logs import last_lines
from hosts.runners.docker.containers import DockerHost, find, is_running
from hosts.runners.docker.control_group import memory_of
from hosts.runners.docker.creation import mounts_of
from hosts.runners.docker.exits import CODES, LAST_LINES, Ending, explain_exit
from hosts.runners.docker.images import find_image, platform_of
from hosts.runners.docker.labels import container_of
from hosts.runners.docker.listening import Listener, listeners_of
from hosts.runners.docker.ports import endpoint_of, inner_port_of

NEVER = "0001-01-01"


def status_of(host: DockerHost, spec: EngineSpec) -> EngineStatus:
    """What the daemon says of the engine. Raises what docker-py raises."""
    image = find_image(host.client, spec)
    is_installed = image is not None
    found = find(host.client, spec)
    if found is None:
        return EngineStatus(is_installed, is_running=False, is_container_gone=True)
    if not is_running(found):
        ended = exit_of(host, spec, found, image or {})
        return EngineStatus(is_installed, is_running=False, exit=ended)
    endpoint = endpoint_of(found, engine_host=host.engine_host)
    pid = int(found["State"].get("Pid") or 0) or None
    inner, heard = inner_port_of(found), listeners_in(found) or ()
    return EngineStatus(
        is_installed,
        is_running=True,
        endpoint=endpoint,
        pid=pid,
        started_at=moment(found["State"].get("StartedAt")),
        memory_bytes=memory_of(pid, str(found["Id"])) if pid else None,
        # What comes out on the host is named by its port there, as the endpoint is.
        listening_ports=tuple(
            sorted({endpoint.port if endpoint and one.port == inner else one.port for one in heard})
        ),
    )


def listeners_in(found: Mapping[str, Any]) -> tuple[Listener, ...] | None:
    """Where the processes of a container listen inside; None where that cannot be seen."""
    pid = int(found["State"].get("Pid") or 0)
    return listeners_of(pid, str(found["Id"])) if pid else None


def exit_of(
    host: DockerHost, spec: EngineSpec, found: Mapping[str, Any], image: Mapping[str, Any]
) -> EngineExit | None:
    """How a container that does not run ended; None if it was never started."""
    state, container = found["State"], container_of(spec)
    code, error = int(state.get("ExitCode") or 0), str(state.get("Error") or "")
    ended = moment(state.get("FinishedAt"))
    if ended is None and not error:
        return None
    says = code not in (0, 137, 143) and not error
    ending = Ending(
        spec.name,
        code or (125 if error else 0),
        is_oom=bool(state.get("OOMKilled")),
        error=error,
        lines=last_lines(host.client, found["Id"], tail=LAST_LINES) if says else (),
        memory_limit=found["HostConfig"].get("Memory") or None,
        image=container.image,
        user=str(found["Config"].get("User") or ""),
        port=container.engine_port,
        mounts=mounts_of(spec),
        host_name=host.name,
        made_for=_made_for_others(host, image) if code in CODES else "",
    )
    reason = explain_exit(ending)
    if state.get("Restarting"):
        reason = f"{reason} Docker starts it again by its restart policy."
    if ending.signal is not None:
        return EngineExit(ended, signal=ending.signal, reason=reason)
    return EngineExit(ended, code=code, reason=reason)


def _made_for_others(host: DockerHost, image: Mapping[str, Any]) -> str:
    """The image's platform where it is not the daemon's own, else empty."""
    architecture = host.client.version().get("Arch")
    return platform_of(image) if image and image.get("Architecture") != architecture else ""


def moment(text: object) -> datetime | None:
    """Docker's `2026-01-01T12:00:00.123456789Z` as UTC; None for its word for never."""
    found = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?", str(text or ""))
    if found is None or found[1].startswith(NEVER):
        return None
    part = (found[2] or "")[:7]
    return datetime.fromisoformat(f"{found[1]}{part.ljust(7, '0') if part else ''}").replace(
        tzinfo=UTC
    )
