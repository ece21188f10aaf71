"""`manage.py abm hosts add`: a host by SSH from a shell, asked as often as it takes.

Each run shows what is to be pasted over there, tests the way, and saves the host once it lets abm
in. A host key is believed when its fingerprint is named.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from accounts.rest import Shape
from hosts import remote
from hosts.api import found
from hosts.api_looks import checked_shape
from hosts.api_remote import Prepared, prepared_shape
from hosts.api_shapes import HostShape, Tested, host_shape
from hosts.models import RemoteAccess
from hosts.remote_work import check_asked
from jobs.terminal import Terminal, verb

COMMAND = "manage.py abm hosts add"


class Adding(Shape):
    """How far it is: what to paste, what the test found, and the host once it is saved."""

    prepared: Prepared
    tested: Tested
    host: HostShape | None


def add_arguments(verbs: Any) -> None:
    """The verbs below `hosts` that add one."""
    add = verb(verbs, "add", "add a host by SSH: its key, its test, and saving it")
    add.add_argument("address", help="ssh://user@host[:port]")
    add.add_argument("--name", default="", help="what it is called; its address if left out")
    add.add_argument(
        "--accept", metavar="SHA256:...", default="", help="believe the host key of this print"
    )
    verb(verbs, "give-up", "throw away the key of the host that is being added")


def add(options: dict[str, Any], terminal: Terminal) -> None:
    """Go on with adding a host. Raises Refused, and CommandError until it is saved."""
    address = options["address"]
    name = options["name"] or address.rpartition("@")[2]
    draft = remote.begin_adding(name=name, url=address, user=None)
    prepared = prepared_shape(draft)
    _test(draft)
    if options["accept"]:
        remote.accept_key(draft, fingerprint=options["accept"], user=None)
        _test(draft)
    tested = checked_shape(draft)
    host = remote.save_host(draft, user=None) if draft.is_let_in and draft.known_keys else None
    shape = host_shape(found(host.host_id)) if host else None
    if terminal.is_json:
        terminal.one(Adding(prepared=prepared, tested=tested, host=shape))
        return
    if not draft.is_let_in:
        terminal.say(f"Paste this over there, as {draft.place.user}:\n\n{prepared.install_command}")
        terminal.say(f"\nIts line in authorized_keys:\n{prepared.authorized_keys_entry}\n")
    for row in tested.checks:
        terminal.say(f"{row.state:8} {row.text}" if row.text else f"{row.state:8} {row.key}")
    _tell(draft, tested, address=address, name=name)
    terminal.say(f"{draft.name} is saved as {draft.mark}.")


def _test(draft: RemoteAccess) -> None:
    """Here and now: it needs no worker."""
    check_asked(draft.pk)
    draft.refresh_from_db()


def _tell(draft: RemoteAccess, tested: Tested, *, address: str, name: str) -> None:
    """Raises CommandError with the way on, unless the host lets abm in."""
    if draft.is_let_in:
        return
    again = f"{COMMAND} {address} --name '{name}'"
    if tested.host_keys:
        keys = "\n".join(f"{key.fingerprint}  {key.kind}" for key in tested.host_keys)
        raise CommandError(
            f"Compare with what the host says itself (ssh-keygen -lf its host key):\n{keys}\n"
            f"If one is right: {again} --accept {tested.host_keys[0].fingerprint}"
        )
    raise CommandError(f"{tested.error}\nThen: {again}")


def give_up(options: dict[str, Any], terminal: Terminal) -> None:
    """Forget the host that is being added from a shell."""
    draft = remote.being_added(None)
    if draft is None:
        terminal.say("No host is being added.")
        return
    remote.cancel_adding(draft, user=None)
    terminal.say(f"{draft.name} is not being added any more; its key was thrown away.")
