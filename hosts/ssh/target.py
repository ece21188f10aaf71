"""What is needed to reach one host, and how long each part of it may take."""

from __future__ import annotations

from dataclasses import dataclass

from hosts.ssh.address import SshAddress
from hosts.ssh.errors import Peer
from hosts.ssh.keys import KeyPair
from hosts.ssh.known import HostKey

DOCKER_SOCKET = "/var/run/docker.sock"


@dataclass(frozen=True, slots=True)
class Target:
    """A host as it stands in the database."""

    name: str
    """As users call it."""
    address: SshAddress
    key: KeyPair
    known: tuple[HostKey, ...] = ()
    """The host keys that an admin has accepted."""
    docker_socket: str = DOCKER_SOCKET
    """Where Docker's socket was seen last; the host itself says where it is now."""

    @property
    def peer(self) -> Peer:
        return Peer(self.name, self.address)


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that each phase may take."""

    name: float = 4.0
    answer: float = 5.0
    greeting: float = 5.0
    agreement: float = 8.0
    login: float = 10.0
    channel: float = 10.0
    ping_after: float = 4.0
    """A host that was quiet for so long is asked for a sign of life."""
    silence: float = 11.0
    """A host that gave none for so long is given up."""
    idle: float = 300.0
    """A connection that nobody used for so long is closed until somebody wants it again."""


USUAL = Limits()
