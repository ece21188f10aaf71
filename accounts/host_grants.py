"""Limiting an operator to some hosts; everybody goes on seeing everything.

Hosts live above this app, so they are named by string, as Job does.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.apps import apps
from django.db import transaction

from accounts.audit import note
from accounts.models import HostGrant, User
from accounts.refused import Refused
from accounts.roles import require_role


def all_hosts() -> list[Any]:
    """Every host, to choose from."""
    return list(apps.get_model("hosts", "Host").objects.all())


@transaction.atomic
def limit_to_hosts(
    person: User, *, is_limited: bool, hosts: Collection[str], user: User | None
) -> User:
    """Let somebody operate these hosts only, by primary key, or all again.

    One who is limited and has no host operates none. Raises Refused HOST_UNKNOWN.
    """
    require_role(user, User.Role.ADMIN)
    known = {str(host.pk): host for host in all_hosts()}
    if unknown := [pk for pk in hosts if pk not in known]:
        raise Refused("HOST_UNKNOWN", f"There is no host {unknown[0][:20]} any more.", status=400)
    before = _words(person)
    person.is_limited = is_limited
    person.save(update_fields=["is_limited"])
    HostGrant.objects.filter(user=person).delete()
    if is_limited:
        HostGrant.objects.bulk_create(
            HostGrant(user=person, host=known[pk]) for pk in sorted(set(hosts))
        )
    note("user.hosts", person, user=user, before=before, after=_words(person))
    return person


def _words(person: User) -> dict[str, Any]:
    if not person.is_limited:
        return {"hosts": "all"}
    rows = HostGrant.objects.filter(user=person).select_related("host").order_by("host_id")
    return {"hosts": [str(row.host) for row in rows]}
