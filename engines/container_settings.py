"""What a person sets on an engine's container: ports, volumes, limits, idle time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import QueryDict

from accounts.audit import columns
from accounts.models import User
from accounts.refused import Refused
from accounts.roles import has_role, require_role
from engines.forms import Table, ports_shown, read_ports
from engines.limits import limits_shown, read_limits
from engines.models import Engine
from engines.mounts import mounts_shown, read_mounts
from engines.noting import note_engine
from hosts.models import Host
from hosts.runners.container import Mount, PortBinding
from jobs.events import announce

MOST_IDLE_MINUTES = 10_000


def container_context(engine: Engine) -> dict[str, Any]:
    """The forms as they are set."""
    return {
        "ports": ports_shown(_ports(engine), pages=_pages(engine)),
        "mounts": mounts_shown(Mount(**row) for row in engine.mounts),
        "limits": limits_shown(engine.limits),
        "mount_roots": settings.MOUNT_ROOTS,
    }


def _ports(engine: Engine) -> tuple[PortBinding, ...]:
    return tuple(PortBinding(**row) for row in engine.ports)


def _pages(engine: Engine) -> dict[int, str]:
    """Addresses of the ports that a browser can open: any TCP port with a number of its own."""
    place = engine.host.address_for_people
    return {
        port.container_port: f"http://{_name(port, place)}:{port.host_port}/"
        for port in _ports(engine)
        if port.host_port and port.protocol == "tcp"
    }


def _name(port: PortBinding, place: str) -> str:
    if port.host_address in {"0.0.0.0", "::"}:
        return place
    return f"[{port.host_address}]" if ":" in port.host_address else port.host_address


@transaction.atomic
def set_container(engine: Engine, posted: QueryDict, *, user: User | None) -> dict[str, Any]:
    """Keep what the form says; it counts from the next start. The forms, with what is wrong.

    An operator sets ports and volumes; only an admin opens a port to the network or sets limits,
    user, entrypoint and command. Nothing is kept if one field does not fit.
    """
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    if not engine.host.is_docker:
        raise Refused("NO_CONTAINER", f"{engine} runs as a process; it has no container to set.")
    is_admin = user is None or has_role(user, User.Role.ADMIN)
    before = _ports(engine)
    ports = read_ports(posted, may_open=is_admin, kept=before)
    mounts = read_mounts(posted, roots=settings.MOUNT_ROOTS, is_here=_is_here(engine.host))
    limits = limits_shown(engine.limits)
    if is_admin:
        limits = read_limits(posted, cpu_count=engine.host.facts.get("cpu_count"))
    clash = _clash(engine, ports)
    errors = [*ports.errors, *mounts.errors, *limits.errors, *clash]
    if not errors:
        former = columns(engine, "ports", "mounts", "limits")
        engine.ports, engine.mounts = ports.stored, mounts.stored
        engine.limits = dict(limits.stored)
        engine.save(update_fields=["ports", "mounts", "limits", "updated_at"])
        text = f"The container of {engine} was changed"
        announce("engines", "engine.changed", text=text, pk=engine.pk)
        values = columns(engine, "ports", "mounts", "limits")
        note_engine("container", engine, user=user, before=former, after=values)
        return {**container_context(engine), "container_saved": True}
    context = {"ports": ports, "mounts": mounts, "limits": limits}
    return {**context, "mount_roots": settings.MOUNT_ROOTS, "container_errors": errors}


def _is_here(host: Host) -> bool:
    return bool(host.facts.get("is_on_this_machine"))


def _clash(engine: Engine, ports: Table[Any, PortBinding]) -> Iterable[str]:
    """Ports of the host that another engine there holds."""
    wanted = {port.host_port for port in ports.values if port.host_port}
    there = Engine.objects.filter(host=engine.host).exclude(state=Engine.State.ABSENT)
    others = there.exclude(pk=engine.pk)
    for other in others:
        held = {other.port, *(row.get("host_port") for row in other.ports)}
        for port in sorted(wanted & held):
            yield f"Port {port} of {engine.host} belongs to {other}. Choose another one."


@transaction.atomic
def set_idle(engine: Engine, *, text: str, user: User | None) -> Engine:
    """After how many minutes unused it is stopped; empty takes ENGINE_IDLE_MINUTES, 0 never.

    Raises Refused IDLE_INVALID.
    """
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    text = text.strip()
    if text and not (text.isdecimal() and int(text[:6]) <= MOST_IDLE_MINUTES):
        raise Refused(
            "IDLE_INVALID",
            f"“{text[:20]}” is no number of minutes from 0 to {MOST_IDLE_MINUTES:,}.",
            status=400,
        )
    before = columns(engine, "idle_minutes")
    engine.idle_minutes = int(text) if text else None
    engine.save(update_fields=["idle_minutes", "updated_at"])
    announce("engines", "engine.changed", pk=engine.pk)
    after = columns(engine, "idle_minutes")
    note_engine("idle", engine, user=user, before=before, after=after)
    return engine
