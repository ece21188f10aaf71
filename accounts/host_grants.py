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

GRANTS = "grants__host"
"""To be prefetched where many people are asked for."""


def all_hosts() -> list[Any]:
    """Every host, to choose from."""
    return list(apps.get_model("hosts", "Host").objects.all())


def hosts_of(person: User) -> list[str] | None:
    """The ids of the hosts that they may operate at most; None for all of them."""
    if not person.is_limited:
        return None
    return sorted(grant.host.host_id for grant in person.grants.all())


@transaction.atomic
def limit_to_hosts(person: User, *, hosts: Collection[str] | None, user: User | None) -> User:
    """Let somebody operate these hosts only, by their ids such as `docker:local`; None for all.

    One who is limited to none operates none. Raises Refused HOST_NOT_FOUND.
    """
    require_role(user, User.Role.ADMIN)
    known = {host.host_id: host for host in all_hosts()}
    wanted = sorted(set(hosts or ()))
    if unknown := [name for name in wanted if name not in known]:
        name = unknown[0][:64]
        raise Refused("HOST_NOT_FOUND", f"There is no host {name}.", status=404, hostId=name)
    before = hosts_of(person)
    person.is_limited = hosts is not None
    person.save(update_fields=["is_limited"])
    person.grants.all().delete()
    HostGrant.objects.bulk_create(HostGrant(user=person, host=known[name]) for name in wanted)
    person.__dict__.pop("granted_hosts", None)
    note("user.hosts", person, user=user, before=_words(before), after=_words(hosts_of(person)))
    return person


def _words(hosts: list[str] | None) -> dict[str, str]:
    return {"hosts": "all" if hosts is None else ", ".join(hosts) or "none"}
