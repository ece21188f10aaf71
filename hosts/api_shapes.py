"""Hosts in the words of the API's contract; what it lacks is told in the same manner."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from accounts.plain import PLAIN
from accounts.rest import Name, Shape, Text, Wish
from hosts.models import Host

ORDER = {Host.Type.SUBPROCESS: 0, Host.Type.DOCKER_LOCAL: 1, Host.Type.DOCKER_REMOTE: 2}
CATEGORIES = {
    Host.State.UNREACHABLE: "SSH_TIMEOUT",
    Host.State.PERMISSION_DENIED: "DOCKER_PERMISSION_DENIED",
}
"""The contract's word for a state; any other trouble is its SSH_ERROR."""
Path500 = Annotated[str | None, Field(max_length=500, pattern=PLAIN)]


class HostShape(Shape):
    """A host, with the keys of the contract; times are UTC."""

    host_id: str
    host_type: str
    display_name: str
    ssh_url: str | None
    is_available: bool
    has_gpu: bool | None
    last_checked_at: datetime | None
    created_at: datetime
    engine_count: int
    is_enabled: bool
    state: str
    state_text: str


class HostsAnswer(Shape):
    """Every host: processes first, then Docker here, then the others by name."""

    success: bool = True
    hosts: list[HostShape]
    count: int


class Volumes(Shape):
    """Where samples and models lie on a host."""

    success: bool = True
    host_id: str
    samples_path: str | None
    models_path: str | None
    validation_error: str | None = None


class VolumesWish(Wish):
    """Both are replaced: an absent one goes back to abm's own folder."""

    samples_path: Path500 = None
    models_path: Path500 = None


class HostWish(Wish):
    """What is absent stays as it is."""

    name: Name | None = None
    is_enabled: bool | None = None
    ssh_url: Text | None = Field(None, description="Of a remote host; its host key stays.")
    is_always_on: bool | None = Field(None, description="Whether its absence is a trouble.")
    waits_while_away: bool | None = Field(None, description="Whether work waits until it is back.")


class TestWish(Wish):
    """Which host is to be looked at: one of the list, or the one that was prepared."""

    host_id: Text
    ssh_url: Text = ""


class CheckShape(Shape):
    """One of the tests of the way to a remote host; its sentence has the way out in it."""

    key: str
    state: str
    text: str


class HostKeyShape(Shape):
    """A host key that the host showed and nobody has accepted yet."""

    fingerprint: str
    kind: str


class Tested(Shape):
    """What a look at a host found; `errorCategory` is one of the contract's words or null.

    `hostKeys` are to be compared with what the host says of itself, and one of them accepted.
    """

    success: bool
    docker_version: str | None
    has_gpu: bool
    has_docker_permission: bool
    error: str | None
    error_category: str | None
    checks: list[CheckShape] = []
    host_keys: list[HostKeyShape] = []


class Facts(Shape):
    """What a host said of itself when it was looked at last; sizes in bytes, unknown is null."""

    success: bool = True
    host_id: str
    is_stale: bool
    read_at: datetime | None
    state: str
    state_text: str
    advice: dict[str, Any]
    facts: dict[str, Any]


class GpuShape(Shape):
    """A card: bytes, percent, degrees Celsius, watts. `holders` are engines that hold memory."""

    uuid: str
    vendor: str
    index: int | None
    name: str
    memory_total: int | None
    memory_used: int | None
    memory_free: int | None
    utilization: float | None
    temperature: float | None
    power: float | None
    power_limit: float | None
    driver: str
    cuda: str
    compute_capability: str
    is_stale: bool
    read_at: datetime
    holders: list[dict[str, Any]]
    others: int | None = Field(description="Processes on it that are no engine's.")


class GpusAnswer(Shape):
    """The cards of a host; where they cannot be read `error` says why."""

    success: bool = True
    host_id: str
    has_gpu: bool | None
    read_at: datetime | None
    error: str | None
    gpus: list[GpuShape]


def gpus_answer(host: Host) -> GpusAnswer:
    """A host's cards; it comes from `hosts_shown`."""
    return GpusAnswer(
        host_id=host.host_id,
        has_gpu=host.has_gpu,
        read_at=host.gpus_read_at,
        error=host.gpu_text or None,
        gpus=[
            GpuShape(**{name: getattr(card, name) for name in GpuShape.model_fields})
            for card in host.gpus.all()
        ],
    )


def host_shape(host: Host) -> HostShape:
    """A host as the API tells it; it comes from `hosts_shown`."""
    return HostShape(
        host_id=host.host_id,
        host_type=host.host_type,
        display_name=host.display_name,
        ssh_url=host.ssh_url or None,
        is_available=host.is_available and host.is_enabled,
        has_gpu=host.has_gpu,
        last_checked_at=host.last_checked_at,
        created_at=host.created_at,
        engine_count=getattr(host, "engine_count", 0),
        is_enabled=host.is_enabled,
        state=host.state,
        state_text=host.state_text,
    )


def hosts_answer(hosts: Iterable[Host]) -> HostsAnswer:
    rows = sorted(hosts, key=lambda row: (ORDER[Host.Type(row.host_type)], row.display_name))
    return HostsAnswer(hosts=[host_shape(row) for row in rows], count=len(rows))


def tested_shape(host: Host) -> Tested:
    is_well = host.is_usable
    category = None if is_well else CATEGORIES.get(Host.State(host.state), "SSH_ERROR")
    if category == "SSH_TIMEOUT" and not host.is_remote:
        category = "SSH_ERROR"  # there is no SSH to be waited for; the sentence says what it is
    return Tested(
        success=is_well,
        docker_version=host.docker_version or None,
        has_gpu=bool(host.has_gpu),
        has_docker_permission=host.is_docker and is_well,
        error=None if is_well else host.state_text or host.get_state_display(),
        error_category=category,
    )


def facts_shape(host: Host) -> Facts:
    return Facts(
        host_id=host.host_id,
        is_stale=host.is_stale,
        read_at=host.seen_at,
        state=host.state,
        state_text=host.state_text,
        advice=host.advice,
        facts=host.facts,
    )


def volumes_shape(host: Host) -> Volumes:
    return Volumes(
        host_id=host.host_id,
        samples_path=host.samples_path or None,
        models_path=host.models_path or None,
    )
