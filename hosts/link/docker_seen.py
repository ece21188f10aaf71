"""What is seen of a container: the values that the watch of a Docker host tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from hosts.link.watcher import HostLost, HostSeen
from hosts.runners.container import PortBinding
from hosts.runners.docker.labels import ENGINE, labels_on

RUNNING = frozenset({"running", "paused"})


@dataclass(frozen=True, slots=True)
class ContainerSeen:
    """A container of ours as it is now, told when any of this changed. Times are the host's."""

    id: str
    name: str
    engine: str
    """The engine it was made for; empty where its label is missing."""
    state: str
    """Docker's word: created, running, paused, restarting, removing, exited or dead."""
    exit_code: int | None
    """How its last run ended; None while it runs and before its first run."""
    was_out_of_memory: bool
    """The kernel ended it, or a process in it, for want of memory in its last or present run."""
    error: str
    """Why Docker could not start it, in Docker's words; mostly empty."""
    started_at: datetime | None
    finished_at: datetime | None
    restarts: int
    """How often Docker has started it again by its restart policy."""
    ports: tuple[PortBinding, ...]
    """Those published on the host now; none while it does not run."""
    image: str
    """As it was asked for."""
    image_id: str
    labels: Mapping[str, str]
    is_settled: bool = True
    """False right after its end, while Docker still tidies up: in a moment it is told again with
    all that is known of the end, or as restarting."""

    @property
    def is_running(self) -> bool:
        return self.state in RUNNING

    def ended(self, *, at: datetime, exit_code: int) -> ContainerSeen:
        """The same container by a `die` event alone."""
        return replace(
            self, state="exited", exit_code=exit_code, finished_at=at, ports=(), is_settled=False
        )


@dataclass(frozen=True, slots=True)
class ContainerGone:
    """A container of ours was removed."""

    id: str
    engine: str


@dataclass(frozen=True, slots=True)
class AllSeen:
    """All containers of ours have been told: an engine that is not among these has none."""

    engines: frozenset[str]


Seen = ContainerSeen | ContainerGone | AllSeen | HostSeen | HostLost


def container_seen(told: Mapping[str, Any], *, oom_at: float = 0.0) -> ContainerSeen:
    """A container from the answer of `/containers/{id}/json` (Docker Engine API, 1.40 on).

    `oom_at` is when an `oom` event came for it, epoch seconds of the host: older daemons forget
    the flag when it was not the first process that was ended.
    """
    state, labels = told.get("State") or {}, labels_on(told)
    word = str(state.get("Status") or "")
    started_at = time_of(state.get("StartedAt"))
    is_oom_of_this_run = started_at is not None and oom_at >= started_at.timestamp()
    has_ended = started_at is not None and word not in RUNNING
    return ContainerSeen(
        id=str(told.get("Id", "")),
        name=str(told.get("Name", "")).lstrip("/"),
        engine=labels.get(ENGINE, ""),
        state=word,
        exit_code=int(state.get("ExitCode") or 0) if has_ended else None,
        was_out_of_memory=bool(state.get("OOMKilled")) or is_oom_of_this_run,
        error=str(state.get("Error") or ""),
        started_at=started_at,
        finished_at=time_of(state.get("FinishedAt")),
        restarts=int(told.get("RestartCount") or 0),
        ports=_ports((told.get("NetworkSettings") or {}).get("Ports") or {}),
        image=str((told.get("Config") or {}).get("Image") or ""),
        image_id=str(told.get("Image") or ""),
        labels=labels,
    )


def time_of(text: object) -> datetime | None:
    """A time as Docker writes it, RFC 3339 with nanoseconds; None for its zero, the year 1."""
    try:
        read = datetime.fromisoformat(str(text or ""))
    except ValueError:
        return None
    return read if read.year > 1 and read.tzinfo else None


def _ports(told: Mapping[str, Any]) -> tuple[PortBinding, ...]:
    """From `{"8766/tcp": [{"HostIp": "127.0.0.1", "HostPort": "49153"}], "53/udp": null}`."""
    found = []
    for inside, places in told.items():
        port, _, protocol = inside.partition("/")
        for place in places or ():
            if port.isdigit() and str(place.get("HostPort", "")).isdigit():
                address = str(place.get("HostIp") or "0.0.0.0")
                binding = PortBinding(int(port), int(place["HostPort"]), address, protocol or "tcp")
                found.append(binding)
    return tuple(sorted(found, key=lambda one: (one.container_port, one.host_address)))
