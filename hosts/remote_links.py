"""The SSH connections of this process, one for each remote host, and the doors to their engines.

Each process holds its own: the link for what lasts, workers for jobs, web for what people try. A
link is made when it is first asked for, made again when the host's address or keys change, and
closed when the host is gone or switched off.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from django.db import close_old_connections, connection
from django.db.utils import DatabaseError

from accounts.secrets import SecretUnreadable
from hosts.models import Host, RemoteAccess
from hosts.runners.base import HostNotReady
from hosts.ssh.channel import ChannelSocket
from hosts.ssh.keys import opened
from hosts.ssh.link import Link
from hosts.ssh.target import Target
from hosts.ssh.tunnel import Tunnel

LOOK_SECONDS = 30.0

log = logging.getLogger(__name__)


class KeyLost(HostNotReady):
    """abm's key for a host cannot be decrypted any more."""

    code = "SSH_KEY_LOST"


@dataclass(slots=True)
class _Held:
    """One host's link, and a local port for each port of the host that was asked for."""

    link: Link
    doors: dict[int, Tunnel] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Through:
    """The ports of a host by whatever link it has at that moment."""

    links: Links
    name: str

    def tcp(self, port: int, seconds: float) -> ChannelSocket:
        return self.links.now(self.name).tcp(port, seconds)


class Links:
    """Links by the names of their hosts; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}

    def link(self, name: str, target: Target) -> Link:
        """The link to `target`; it connects by itself."""
        with self._lock:
            held = self._held.get(name)
            if held is not None and _is_same_way(held.link.target, target):
                held.link.target = target  # it may have another name
                return held.link
            made = Link(target).start()
            if held is None:
                self._held[name] = _Held(made)
                return made
            old, held.link = held.link, made
        old.close()
        return made

    def door(self, name: str, port: int) -> str:
        """Where on this machine a port of the host's loopback is reached; asked for after `link`.

        It stays the same for as long as this process and the host are there.
        """
        with self._lock:
            held = self._held[name]
            if port not in held.doors:
                held.doors[port] = Tunnel(_Through(self, name), port)
            return held.doors[port].url

    def now(self, name: str) -> Link:
        """Raises HostNotReady for a host that was let go meanwhile."""
        with self._lock:
            held = self._held.get(name)
        if held is None:
            raise HostNotReady("The host was removed from abm, or switched off.")
        return held.link

    def keep_only(self, names: Collection[str]) -> None:
        """Close all links but these, with what goes through them."""
        with self._lock:
            gone = [self._held.pop(name) for name in self._held.keys() - set(names)]
        for held in gone:
            for door in held.doors.values():
                door.close()
            held.link.close()

    @property
    def names(self) -> set[str]:
        with self._lock:
            return set(self._held)


class _Keeper(threading.Thread):
    """Closes links of hosts that are gone or switched off, by whatever process that was done."""

    def __init__(self) -> None:
        super().__init__(name="abm-ssh-links", daemon=True)
        self.woken = threading.Event()

    def run(self) -> None:
        while True:
            self.woken.wait(LOOK_SECONDS)
            self.woken.clear()
            close_old_connections()
            try:
                wanted = Host.objects.filter(is_enabled=True, access__isnull=False)
                links.keep_only(set(wanted.values_list("host_id", flat=True)))
            except DatabaseError as error:
                log.warning("which hosts are still in use could not be read: %s", error)
            connection.close()


links = Links()
_keeper: _Keeper | None = None
_keeper_lock = threading.Lock()


def tidy_links() -> None:
    """A host went away or was switched off: look at once which links are to be closed."""
    if _keeper is not None:
        _keeper.woken.set()


def _is_same_way(one: Target, other: Target) -> bool:
    return replace(one, name="") == replace(other, name="")


def target_of(access: RemoteAccess, *, is_pending: bool = False) -> Target:
    """What is needed to log in, with the next key if so asked. Raises KeyLost."""
    try:
        key = opened(access.pending_key if is_pending else access.key)
    except SecretUnreadable as error:
        raise KeyLost(
            f"abm's key for {access} was encrypted under another SECRET_KEY and cannot be read. "
            "Start abm with the former key, or change the key on the host's page."
        ) from error
    return Target(str(access), access.place, key, access.known)


def link_of(host: Host) -> Link:
    """This process's link to a remote host. Raises HostNotReady, and nothing of the network."""
    access = RemoteAccess.objects.filter(host=host).select_related("host").first()
    if access is None:
        raise HostNotReady(f"How {host} is reached is not known any more. Add it again.")
    made = links.link(host.host_id, target_of(access))
    _watch_over()
    return made


def door_to(host: Host, port: int) -> str:
    """The URL on this machine that leads to a port of the remote host's loopback."""
    link_of(host)
    return links.door(host.host_id, port)


def _watch_over() -> None:
    global _keeper
    with _keeper_lock:
        if _keeper is None or not _keeper.is_alive():
            _keeper = _Keeper()
            _keeper.start()
