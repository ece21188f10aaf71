"""What a person may ask of a host's disk: give space back, delete models."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Q

from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role
from engines.model_places import places_of, users_of
from engines.models import Engine
from engines.strays import TASK
from hosts.models import Host
from hosts.runners.container import Mount
from hosts.runners.docker.disk import canonical
from jobs.models import Job
from jobs.services import submit_once


def reclaim_disk(host: Host, *, chosen: Collection[str], user: User | None) -> Job:
    """Give back what was chosen, as `image:<id>`, `container:<id>` or `volume:<name>`.

    Raises Refused NOTHING_CHOSEN, NOT_RECLAIMABLE, HOST_NOT_READY or JOB_RUNNING.
    """
    require_role(user, User.Role.ADMIN)
    _require_usable(host)
    wanted = sorted(set(chosen))
    if not wanted:
        raise Refused("NOTHING_CHOSEN", "Choose what is to be given back.", status=400)
    offered = {row["choice"] for row in host.disk.get("rows") or [] if row["choice"]}
    if not offered.issuperset(wanted):
        raise Refused(
            "NOT_RECLAIMABLE",
            "The disk was read again meanwhile, and some of this is needed or gone. Choose again.",
        )
    job = submit_once(
        at=host,
        alike=(),
        action=Job.Action.RECLAIM,
        task=TASK,
        subject=str(host),
        user=user,
        host=host,
        params={"chosen": wanted},
    )
    if job.params["chosen"] != wanted:
        raise Refused("JOB_RUNNING", f"{job} is still under way.", job=job.pk)
    return job


def delete_models(host: Host, *, source: str, path: str, user: User | None) -> Job:
    """Delete models by their `path` below the folder or volume `source`.

    Raises Refused MODELS_GONE, MODELS_IN_USE or HOST_NOT_READY.
    """
    require_role(user, User.Role.OPERATOR, host=host.pk)
    _require_usable(host)
    mount = mount_of(host, source)
    shown = next((row for row in host.model_places if row["source"] == source), None)
    paths = {entry["path"] for entry in shown["entries"]} if shown else set()
    if mount is None or path not in paths:
        raise Refused("MODELS_GONE", f"{host} has no such models any more.", status=404)
    require_unused(host, mount, path)
    return submit_once(
        at=host,
        action=Job.Action.DELETE,
        task=TASK,
        subject=f"{path} of {shown['title'] if shown else source} on {host}"[:200],
        user=user,
        host=host,
        params={"source": source, "path": path},
    )


def mount_of(host: Host, source: str) -> Mount | None:
    """The place of models called `source`; None if it is none of the host's."""
    return next((place.mount for place in places_of(host) if place.mount.source == source), None)


def require_unused(host: Host, mount: Mount, path: str) -> None:
    """Raise Refused MODELS_IN_USE while an engine that sees these models runs or starts."""
    users = users_of(host, mount, path)
    at_work = set(
        Job.objects.filter(engine__in=users, status__in=Job.OPEN).values_list("engine", flat=True)
    )
    busy = [engine for engine in users if engine.is_alive or engine.pk in at_work]
    if busy:
        names = ", ".join(dict.fromkeys(str(engine) for engine in busy))
        raise Refused("MODELS_IN_USE", f"{names} may be using {path}. Stop it first.")


def image_needs(host: Host) -> dict[str, list[Engine]]:
    """By id or canonical name, the images that engines of `host` run, with the engines."""
    found: dict[str, list[Engine]] = {}
    engines = Engine.objects.filter(~Q(state=Engine.State.ABSENT), ~Q(image=""), host=host)
    for engine in engines.defer("definition"):
        name = engine.image_id or canonical(f"{engine.image}:{engine.tag}")
        found.setdefault(name, []).append(engine)
    return found


def way_back_needs(host: Host) -> dict[str, list[Engine]]:
    """By id, the images that engines of `host` can be rolled back to."""
    found: dict[str, list[Engine]] = {}
    engines = Engine.objects.filter(~Q(state=Engine.State.ABSENT), host=host)
    for engine in engines.exclude(previous_image_id="").defer("definition"):
        found.setdefault(engine.previous_image_id, []).append(engine)
    return found


def _require_usable(host: Host) -> None:
    if not host.is_usable:
        why = host.state_text or host.get_state_display()
        raise Refused("HOST_NOT_READY", f"{host} cannot be reached now: {why}")
