"""What a person may ask of hosts reached by SSH: add, test, move, change keys, forget."""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.audit import note
from accounts.models import User
from accounts.plain import is_name
from accounts.refused import Refused
from accounts.roles import require_role
from hosts.models import Host, RemoteAccess
from hosts.remote_links import tidy_links
from hosts.ssh.address import AddressInvalid, parse
from hosts.ssh.install_command import Guide, guides
from hosts.ssh.keys import fresh_key, opened, sealed
from jobs.events import announce, hint
from jobs.services import ring, ring_task

KEPT = timedelta(days=1)
"""How long a host that is being added is remembered."""
LONGEST_NAME = 100
COMMAND_LINE = 0
"""Who adds a host from a shell; no person has this number."""


def being_added(user: User | None) -> RemoteAccess | None:
    """The host that this person is adding; None is the command line, which adds one as well."""
    return RemoteAccess.objects.filter(owner_pk=_owner(user)).first()


def _owner(user: User | None) -> int:
    return user.pk if user else COMMAND_LINE


@transaction.atomic
def begin_adding(*, name: str, url: str, user: User | None) -> RemoteAccess:
    """Note a host to be added and make its key. The same address again keeps key and tests.

    Raises Refused HOST_NAME_INVALID, HOST_ADDRESS_INVALID or HOST_KNOWN.
    """
    require_role(user, User.Role.ADMIN)
    name, address = _checked_name(name), _checked_address(url)
    forget_unfinished()
    draft = being_added(user)
    if draft is not None and draft.address == address:
        draft.name = name
        draft.save(update_fields=["name", "updated_at"])
        return draft
    if draft is not None:
        draft.delete()
    made = RemoteAccess.objects.create(
        owner_pk=_owner(user),
        name=name,
        mark=f"docker:{secrets.token_hex(4)}",
        address=address,
        key=sealed(fresh_key()),
    )
    note("host.prepare", made.mark, user=user, after={"name": name, "address": address})
    return made


def _checked_name(name: str) -> str:
    name = " ".join(name.split())
    if not is_name(name, most=LONGEST_NAME):
        raise Refused("HOST_NAME_INVALID", "A host's name has 1 to 100 characters.", status=400)
    return name


def _checked_address(url: str, *, own: Host | None = None) -> str:
    try:
        address = str(parse(url))
    except AddressInvalid as error:
        raise Refused("HOST_ADDRESS_INVALID", str(error), status=400) from error
    others = RemoteAccess.objects.filter(address=address, host__isnull=False).exclude(host=own)
    other = others.select_related("host").first()
    if other is not None:
        raise Refused("HOST_KNOWN", f"{address} is in abm already, as {other}.", host=other.mark)
    return address


def is_address(url: str, *, of: RemoteAccess) -> bool:
    """Whether this is another way to write the same address."""
    try:
        return str(parse(url)) == of.address
    except AddressInvalid:
        return False


def guides_of(access: RemoteAccess) -> tuple[Guide, ...]:
    """How abm's key, or the next one, gets on the host. Raises SecretUnreadable."""
    return guides(opened(access.pending_key or access.key).public, access.mark)


def ask_check(access: RemoteAccess, *, user: User) -> None:
    """Have a worker test the way to the host; the answers show one by one."""
    require_role(user, User.Role.ADMIN)
    access.check_asked_at = timezone.now()
    access.checks = []
    access.save(update_fields=["check_asked_at", "checks", "updated_at"])
    hint("hosts", "access.changed", pk=access.pk)
    ring_task("hosts.check_remote", access.pk)


@transaction.atomic
def accept_key(access: RemoteAccess, *, fingerprint: str, user: User | None) -> None:
    """Believe the host key with this fingerprint from now on, and no other.

    Raises Refused HOST_KEY_GONE where that is not what the host showed last.
    """
    require_role(user, User.Role.ADMIN)
    chosen = next((key for key in access.offered if key.fingerprint == fingerprint), None)
    if chosen is None:
        raise Refused(
            "HOST_KEY_GONE", "That is not the key that the host showed last. Test it again."
        )
    before = {"host_keys": [key.shown for key in access.known]}
    access.known_keys, access.offered_keys = [chosen.line], []
    access.save(update_fields=["known_keys", "offered_keys", "updated_at"])
    after = {"host_keys": [chosen.shown]}
    note("host.accept_key", str(access), pk=access.mark, user=user, before=before, after=after)
    words = f"The host key of {access} was accepted: {chosen.shown}"
    announce("hosts", "access.changed", text=words, pk=access.pk)


@transaction.atomic
def save_host(access: RemoteAccess, *, user: User | None) -> Host:
    """Make the host that was being added. Raises Refused HOST_NOT_TESTED or HOST_KNOWN."""
    require_role(user, User.Role.ADMIN)
    _checked_address(access.address)
    if not access.known_keys or not access.is_let_in:
        raise Refused(
            "HOST_NOT_TESTED",
            f"{access} has not let abm in yet. Test it, and do what the first red line says.",
        )
    try:
        with transaction.atomic():
            host = Host.objects.create(
                host_id=access.mark,
                display_name=access.name,
                host_type=Host.Type.DOCKER_REMOTE,
                ssh_url=access.address,
            )
    except IntegrityError as error:
        raise Refused("HOST_KNOWN", f"{access} was just added by another page.") from error
    access.host, access.owner_pk = host, None
    access.save(update_fields=["host", "owner_pk", "updated_at"])
    note("host.add", host, user=user, after={"name": access.name, "address": access.address})
    announce("hosts", "host.added", text=f"{host} was added", pk=host.pk)
    ring_task("hosts.probe", host.pk)
    return host


@transaction.atomic
def cancel_adding(access: RemoteAccess, *, user: User | None) -> None:
    """Throw the key of a host away that was being added."""
    require_role(user, User.Role.ADMIN)
    if access.host is None:
        note("host.give_up", access.mark, user=user)
        access.delete()


def forget_unfinished() -> None:
    """Throw away what nobody has finished adding for a day, with its key."""
    old = timezone.now() - KEPT
    RemoteAccess.objects.filter(host=None, updated_at__lt=old).delete()


@transaction.atomic
def change_remote(
    access: RemoteAccess,
    *,
    url: str,
    is_always_on: bool,
    waits_while_away: bool | None = None,
    user: User,
) -> RemoteAccess:
    """Say where the host is now, and what it means when it is away. Raises Refused.

    Its host key stays the accepted one: another machine in its place is noticed.
    """
    require_role(user, User.Role.ADMIN)
    address = _checked_address(url, own=access.host)
    before = _way_of(access)
    access.address, access.is_always_on = address, is_always_on
    if waits_while_away is not None:
        access.waits_while_away = waits_while_away
    access.save(update_fields=["address", "is_always_on", "waits_while_away", "updated_at"])
    if access.host is not None:
        Host.objects.filter(pk=access.host.pk).update(ssh_url=address)
        note("host.move", access.host, user=user, before=before, after=_way_of(access))
        announce("hosts", "host.changed", pk=access.host.pk)
        ring_task("hosts.probe", access.host.pk)
        for job in access.host.jobs.filter(status="queued"):
            ring(job)  # what waited for it may be to fail by now
    return access


def _way_of(access: RemoteAccess) -> dict[str, object]:
    return {
        "address": access.address,
        "always_on": access.is_always_on,
        "work_waits": access.waits_while_away,
    }


@transaction.atomic
def begin_rotation(access: RemoteAccess, *, user: User) -> RemoteAccess:
    """Make the next key. The present one is used until the host takes the new one at a test."""
    require_role(user, User.Role.ADMIN)
    if not access.pending_key:
        access.pending_key = sealed(fresh_key())
        access.save(update_fields=["pending_key", "updated_at"])
        note("host.change_key", str(access), pk=access.mark, user=user)
    return access


@transaction.atomic
def cancel_rotation(access: RemoteAccess, *, user: User) -> RemoteAccess:
    """Throw the next key away. A host that has it already lets abm in no more."""
    require_role(user, User.Role.ADMIN)
    access.pending_key = ""
    access.save(update_fields=["pending_key", "updated_at"])
    note("host.keep_key", str(access), pk=access.mark, user=user)
    return access


@transaction.atomic
def forget_host(host: Host, *, user: User | None) -> None:
    """Take a remote host off the list with its engines, and touch nothing that is on it.

    Raises Refused HOST_BUSY while a job is under way there, or HOST_NOT_REMOTE.
    """
    require_role(user, User.Role.ADMIN)
    if not host.is_remote:
        raise Refused("HOST_NOT_REMOTE", f"{host} is part of this machine. Switch it off instead.")
    if host.jobs.filter(status="running").exists():
        raise Refused("HOST_BUSY", f"A job is under way on {host}. Cancel it first.")
    note("host.forget", host, user=user, after={"engines": host.engines.count()})
    host.engines.all().delete()
    pk, text = host.pk, f"{host} was forgotten; what is on it stays there"
    host.delete()
    announce("hosts", "host.removed", text=text, pk=pk)
    transaction.on_commit(tidy_links)
