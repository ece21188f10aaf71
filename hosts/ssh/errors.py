"""How a remote host can fail to answer, each told apart and with its way out.

HostUnreachable
 +- NameUnknown, NoRoute, PortClosed, NoAnswer       before anybody spoke
 +- SilentHost, HungUp, NotSsh                       it answered, but not as sshd does
 +- LinkLost, LinkBusy                               the connection was there and is not
 +- DockerDown                                       sshd answers, Docker does not
HostNotReady
 +- NothingInCommon                                  its sshd is too old
 +- HostKeyUnknown, HostKeyChanged                   nobody has accepted its host key
 +- KeyRefused                                       it does not know abm's key
 +- ForwardingForbidden, TooManySessions             its sshd forbids what abm needs
 +- NoDocker, SocketForbidden                        Docker is not there, or not for this user
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hosts.runners.base import HostNotReady, HostUnreachable
from hosts.ssh.address import SshAddress


class Phase(StrEnum):
    """What a connection has behind it."""

    REACHABLE = "reachable"
    HOST_KEY = "host_key"
    AUTHENTICATION = "authentication"


@dataclass(frozen=True, slots=True)
class Peer:
    """The host that is spoken of: as users call it, and where it is."""

    name: str
    address: SshAddress


class NameUnknown(HostUnreachable):
    """Its name leads to no address."""

    code = "SSH_NAME_UNKNOWN"

    def __init__(self, peer: Peer, *, detail: str = "", is_slow: bool = False) -> None:
        why = "took too long to look up" if is_slow else "is not known in this network"
        super().__init__(
            f"The name {peer.address.host} of {peer.name} {why}. Check its spelling, and that "
            "this machine's DNS works, or use the host's IP address.",
            detail=detail,
        )


class NoRoute(HostUnreachable):
    """The network has no way to it."""

    code = "SSH_NO_ROUTE"

    def __init__(self, peer: Peer, *, detail: str = "") -> None:
        super().__init__(
            f"This network has no way to {peer.name} ({peer.address.host}). Check that it is "
            "switched on and in the same network, or that the VPN is up.",
            detail=detail,
        )


class PortClosed(HostUnreachable):
    """The machine answers, but nothing listens on the port."""

    code = "SSH_REFUSED"

    def __init__(self, peer: Peer, *, detail: str = "") -> None:
        super().__init__(
            f"{peer.name} is there, but nothing listens on {peer.address.where}. Start its SSH "
            "server (on a NAS or a Mac: switch SSH or Remote Login on), or correct the port.",
            detail=detail,
        )


class NoAnswer(HostUnreachable):
    """Nobody answered in time."""

    code = "SSH_TIMEOUT"

    def __init__(self, peer: Peer, seconds: float, *, detail: str = "") -> None:
        super().__init__(
            f"{peer.name} ({peer.address.where}) did not answer within {seconds:g} s. Check that "
            "it is switched on, and that no firewall swallows the connection.",
            detail=detail,
        )


class SilentHost(HostUnreachable):
    """It takes the connection and then says nothing."""

    code = "SSH_SILENT"

    def __init__(self, peer: Peer, seconds: float, *, while_it: str = "was greeted") -> None:
        super().__init__(
            f"{peer.name} takes connections on {peer.address.where}, but said nothing for "
            f"{seconds:g} s when it {while_it}. Its SSH server hangs or the machine is "
            "overloaded: restart the SSH server there.",
        )


class HungUp(HostUnreachable):
    """It ended the connection before anybody had logged in."""

    code = "SSH_HUNG_UP"

    def __init__(self, peer: Peer, *, detail: str = "") -> None:
        super().__init__(
            f"{peer.name} hung up before the log-in. It may block this machine for a while after "
            "failed log-ins (fail2ban), or have too many open ones (MaxStartups). Wait a minute; "
            "its SSH server's log says why.",
            detail=detail,
        )


class NotSsh(HostUnreachable):
    """Something else answers on the port."""

    code = "SSH_NOT_SSH"

    def __init__(self, peer: Peer, *, detail: str = "") -> None:
        super().__init__(
            f"What answers on {peer.address.where} is not an SSH server. Correct the port of "
            f"{peer.name}.",
            detail=detail,
        )


class LinkLost(HostUnreachable):
    """A connection that was there ended."""

    code = "SSH_LOST"

    def __init__(self, peer: Peer, why: str = "broke off", *, detail: str = "") -> None:
        super().__init__(
            f"The connection to {peer.name} {why}. abm connects again by itself as soon as the "
            "host answers.",
            detail=detail,
        )


class LinkBusy(HostUnreachable):
    """The host did not do what it was asked in the time that the caller had."""

    code = "SSH_NO_REPLY"

    def __init__(self, peer: Peer, what: str, seconds: float) -> None:
        super().__init__(
            f"{peer.name} did not {what} within {seconds:g} s. It is overloaded, or the network "
            "to it is slow. Try again."
        )


class DockerDown(HostUnreachable):
    """The host answers, its Docker does not."""

    code = "SSH_DOCKER_DOWN"

    def __init__(self, peer: Peer, *, detail: str = "") -> None:
        super().__init__(
            f"{peer.name} answers, but Docker on it does not. Start Docker there: "
            "sudo systemctl start docker. If its socket has moved, run the command that "
            "installs abm's key once more.",
            detail=detail,
        )


class NothingInCommon(HostNotReady):
    """The two sides know no common cipher, key exchange or kind of key."""

    code = "SSH_TOO_OLD"

    def __init__(self, peer: Peer, *, detail: str = "") -> None:
        super().__init__(
            f"The SSH server of {peer.name} is too old or too strict: it and abm have no way to "
            "encrypt in common. Update it to OpenSSH 7.4 or newer.",
            detail=detail,
        )


class HostKeyUnknown(HostNotReady):
    """Nobody has accepted the host's key yet."""

    code = "SSH_HOST_KEY_UNKNOWN"

    def __init__(self, peer: Peer, *, offered: tuple[str, ...]) -> None:
        self.offered = offered
        """Its keys' fingerprints, with their kinds."""
        super().__init__(
            f"{peer.name} has not been accepted yet. Its host key is {' or '.join(offered)}: "
            "compare it with what the host itself shows, then accept it."
        )


class HostKeyChanged(HostNotReady):
    """The host's key is not the one that was accepted."""

    code = "SSH_HOST_KEY_CHANGED"

    def __init__(self, peer: Peer, *, old: tuple[str, ...], new: str) -> None:
        self.old, self.new = old, new
        """Fingerprints with their kinds: what was accepted, and what the host shows now."""
        super().__init__(
            f"{peer.name} shows another host key than the one that was accepted. Accepted: "
            f"{', '.join(old)}. Now: {new}. Either it was set up anew, or another machine "
            "answers in its place. abm refuses it until an admin has compared and accepted "
            "the new key."
        )


class KeyRefused(HostNotReady):
    """The host does not let abm's key in."""

    code = "SSH_KEY_REFUSED"

    def __init__(self, peer: Peer, *, detail: str = "") -> None:
        super().__init__(
            f"{peer.name} refused abm's key for the user {peer.address.user}. Run the command "
            "that installs the key, as that user, on the host. If it was run: the home folder "
            "and ~/.ssh must not be writable for others, and the account must not be locked.",
            detail=detail,
        )


class ForwardingForbidden(HostNotReady):
    """Its sshd forbids the way to Docker's socket or to engines."""

    code = "SSH_FORWARDING_FORBIDDEN"

    def __init__(self, peer: Peer, what: str, *, detail: str = "") -> None:
        super().__init__(
            f"The SSH server of {peer.name} forbids abm {what}. Allow local forwarding there "
            "(AllowTcpForwarding local or yes in sshd_config), and run the command that "
            "installs abm's key once more.",
            detail=detail,
        )


class TooManySessions(HostNotReady):
    """All that its sshd allows at one time is in use."""

    code = "SSH_TOO_MANY_SESSIONS"

    def __init__(self, peer: Peer, *, detail: str = "") -> None:
        super().__init__(
            f"{peer.name} allows no more commands at one time over one connection. Try again "
            "when fewer jobs run there, or set AllowStreamLocalForwarding yes in its "
            "sshd_config, which needs none.",
            detail=detail,
        )


class NoDocker(HostNotReady):
    """There is no Docker on the host."""

    code = "SSH_NO_DOCKER"

    def __init__(self, peer: Peer, *, detail: str = "") -> None:
        super().__init__(
            f"No Docker was found on {peer.name}. Install Docker there, start it, and run the "
            "command that installs abm's key once more: it looks where Docker is.",
            detail=detail,
        )


class SocketForbidden(HostNotReady):
    """The user may not use Docker's socket."""

    code = "SSH_SOCKET_FORBIDDEN"

    def __init__(self, peer: Peer, *, detail: str = "") -> None:
        user = peer.address.user
        super().__init__(
            f"The user {user} on {peer.name} may not use Docker. Run there: "
            f"sudo usermod -aG docker {user}. abm sees it at its next log-in.",
            detail=detail,
        )


LASTING = (HostKeyUnknown, HostKeyChanged, KeyRefused, NothingInCommon)
"""Only a person can end these: trying again soon is worth nothing and may get abm blocked."""
