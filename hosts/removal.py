"""Taking a host off the list: only one without engines, and never this machine itself."""

from __future__ import annotations

from django.db import transaction
from django.db.models import ProtectedError

from accounts.audit import note
from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role
from hosts.models import Host
from jobs.events import announce


@transaction.atomic
def delete_host(host: Host, *, user: User | None) -> None:
    """Forget a host; nothing on it is touched. Docker on this machine is found at the next start.

    Raises Refused HOST_DELETE_FORBIDDEN or HOST_HAS_ENGINES.
    """
    require_role(user, User.Role.ADMIN)
    if host.host_type == Host.Type.SUBPROCESS:
        raise Refused(
            "HOST_DELETE_FORBIDDEN",
            f"{host} is the machine that abm runs on. Switch it off in its settings instead.",
            status=400,
            hostId=host.host_id,
            reason="the machine that abm runs on",
        )
    host.engines.filter(state="absent").exclude(jobs__status__in=("queued", "running")).delete()
    count = host.engines.count()
    if count:
        raise _has_engines(host, count)
    pk, text = host.pk, f"{host} was removed"
    try:
        host.delete()
    except ProtectedError as error:  # an install began in this very moment
        raise _has_engines(host, 1) from error
    announce("hosts", "host.removed", text=text, pk=pk)
    note("host.remove", host, pk=pk, user=user)


def _has_engines(host: Host, count: int) -> Refused:
    return Refused(
        "HOST_HAS_ENGINES",
        f"{host} still has {'an engine' if count == 1 else f'{count} engines'}. "
        f"Uninstall {'it' if count == 1 else 'them'} first.",
        status=400,
        hostId=host.host_id,
        count=count,
    )
