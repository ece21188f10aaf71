"""Containers of this abm without an engine: seen by the link, adopted or removed on a page.

They come of a restored database, or of an uninstall that was cut short. Foreign containers are
never among them: only those that bear this abm's label.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction

from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role
from engines.models import Engine
from hosts.link.docker_seen import ContainerSeen
from hosts.models import Host
from jobs.events import announce, hint
from jobs.models import Job
from jobs.services import submit_once

TASK = "engines.run_host_job"
VERBS = (Job.Action.ADOPT, Job.Action.REMOVE)


def note_strays(host: Host, seen: Iterable[ContainerSeen], *, are_all: bool) -> None:
    """Write down which of the containers that the host has belong to no engine.

    New ones are taken only where `are_all` have just been looked at: right after an uninstall the
    host may not have told yet that the container is gone.
    """
    known = set(
        Engine.objects.filter(host=host)
        .exclude(state=Engine.State.ABSENT)
        .values_list("name", flat=True)
    )
    rows = [
        _row(one)
        for one in seen
        if one.engine and one.engine not in known and one.state != "removing"
    ]
    rows.sort(key=lambda row: (row["name"], row["id"]))
    with transaction.atomic():
        before = Host.objects.filter(pk=host.pk).values_list("strays", flat=True).first()
        old = {row["id"] for row in before or ()}
        if not are_all:
            rows = [row for row in rows if row["id"] in old]
        if before is None or before == rows:
            return
        Host.objects.filter(pk=host.pk).update(strays=rows)
        new = [row["name"] for row in rows if row["id"] not in old]
        text = f"{host}: {', '.join(new)} came from abm, but belongs to no engine" if new else ""
        announce("hosts", "host.changed", text=text, pk=host.pk)
        hint("hosts", "strays.changed", pk=host.pk)


def _row(one: ContainerSeen) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "engine": one.engine,
        "image": "" if one.image.startswith("sha256:") else one.image,
        "state": one.state,
        "is_running": one.is_running,
        "started_at": one.started_at.isoformat() if one.started_at else "",
    }


@transaction.atomic
def forget_stray(host: Host, container: str) -> None:
    """It was adopted or removed: it is shown no more, before the link sees it itself."""
    row = Host.objects.select_for_update().get(pk=host.pk)
    left = [stray for stray in row.strays if stray["id"] != container]
    Host.objects.filter(pk=host.pk).update(strays=left)
    announce("hosts", "host.changed", pk=host.pk)
    hint("hosts", "strays.changed", pk=host.pk)


def adopt_stray(host: Host, container: str, *, user: User | None) -> Job:
    """Make an engine of it again, with the ports, volumes and variables that it has.

    Raises Refused STRAY_GONE or JOB_RUNNING.
    """
    return _submit(host, container, Job.Action.ADOPT, user)


def remove_stray(host: Host, container: str, *, user: User | None) -> Job:
    """End and remove it; its image and its volumes stay. Raises Refused as `adopt_stray`."""
    return _submit(host, container, Job.Action.REMOVE, user)


@transaction.atomic
def _submit(host: Host, container: str, action: Job.Action, user: User | None) -> Job:
    require_role(user, User.Role.OPERATOR, host=host.pk)
    stray = next((row for row in host.strays if row["id"] == container), None)
    if stray is None:
        raise Refused(
            "STRAY_GONE",
            f"{host} has no such container any more, or an engine has it by now.",
            status=404,
        )
    Host.objects.select_for_update().get(pk=host.pk)  # who asks for the other verb waits as well
    others = Job.objects.filter(host=host, action__in=VERBS, status__in=Job.OPEN)
    other = others.exclude(action=action).filter(params__container=container).first()
    if other is not None:
        raise Refused("JOB_RUNNING", f"{other} is still under way.", job=other.pk)
    return submit_once(
        at=host,
        action=action,
        task=TASK,
        subject=f"the container {stray['name']} on {host}",
        user=user,
        host=host,
        params={"container": container},
    )
