"""The way to a host's Docker over one SSH connection: its socket, or a command where sshd forbids.

The socket needs no program over there and no session, of which sshd allows few; the command is
`docker system dial-stdio`. Which of them goes is found out once for each connection.
"""

from __future__ import annotations

import time
from enum import StrEnum
from typing import TYPE_CHECKING

from hosts.runners.base import RunnerError
from hosts.ssh.channel import ChannelSocket
from hosts.ssh.errors import DockerDown, ForwardingForbidden, NoDocker, SocketForbidden
from hosts.ssh.facts import RemoteFacts
from hosts.ssh.said import Said
from hosts.ssh.transport import FORBIDDEN, UNKNOWN_KIND, ChannelRefused

if TYPE_CHECKING:
    from hosts.ssh.connection import Connection

COMMAND = "docker"
"""What abm's key line takes for it."""
WHOLE_COMMAND = "docker system dial-stdio"
"""For a key that is not restricted."""
NOT_FOUND = 127


class Means(StrEnum):
    UNKNOWN = "unknown"
    SOCKET = "socket"
    COMMAND = "command"


class DockerWay:
    """Opens connections to Docker, by what this host allows."""

    def __init__(self, connection: Connection, socket: str) -> None:
        self._connection = connection
        self._command = COMMAND
        self.socket = socket
        self.means = Means.UNKNOWN

    def open(self, seconds: float) -> ChannelSocket:
        """Raises ForwardingForbidden, NoDocker, SocketForbidden, DockerDown and what links do."""
        deadline = time.monotonic() + seconds
        if self.means is Means.COMMAND:
            return self._by_command(seconds)
        try:
            opened = self._connection.socket(self.socket, seconds)
        except ChannelRefused as refusal:
            return self._otherwise(refusal, deadline)
        self.means = Means.SOCKET
        return opened

    def _otherwise(self, refusal: ChannelRefused, deadline: float) -> ChannelSocket:
        """Look where the socket is, try again, and take the command or say what is wrong."""
        facts = self._connection.facts(_left(deadline))
        if facts is not None and facts.docker_socket != self.socket:
            self.socket = facts.docker_socket
            try:
                opened = self._connection.socket(self.socket, _left(deadline))
            except ChannelRefused as again:
                refusal = again
            else:
                self.means = Means.SOCKET
                return opened
        is_forbidden = refusal.code in {FORBIDDEN, UNKNOWN_KIND}
        if facts is not None and facts.access != "open":
            raise self._meaning(facts, self._probed(deadline), str(refusal))
        self._command = COMMAND if facts is not None else WHOLE_COMMAND
        said = self._probed(deadline)
        if said.status == 0:
            self.means = Means.COMMAND
            return self._by_command(_left(deadline))
        if is_forbidden and said.status == NOT_FOUND:
            what = "to reach Docker's socket, and has no docker program on its PATH instead"
            raise ForwardingForbidden(self._connection.peer, what, detail=said.err)
        raise self._meaning(facts, said, str(refusal))

    def _probed(self, deadline: float) -> Said:
        """The command with nothing to say: what it complains of."""
        return self._connection.run(self._command, seconds=_left(deadline))

    def _meaning(self, facts: RemoteFacts | None, said: Said, refusal: str) -> RunnerError:
        peer = self._connection.peer
        detail = said.err.strip() or refusal
        if (facts and facts.access == "forbidden") or "permission denied" in said.err.lower():
            return SocketForbidden(peer, detail=detail)
        if said.status == NOT_FOUND and (facts is None or facts.access == "none"):
            return NoDocker(peer, detail=detail)
        return DockerDown(peer, detail=detail)

    def _by_command(self, seconds: float) -> ChannelSocket:
        return self._connection.session(self._command, seconds, ended_early=self._why_ended)

    def _why_ended(self, wire: ChannelSocket) -> Exception | None:
        """What it means that the command ended before it had said anything."""
        channel = wire.channel
        channel.status_event.wait(1.0)
        if channel.exit_status <= 0:
            return None
        err = channel.recv_stderr(2**14).decode(errors="replace")
        self.means = Means.UNKNOWN  # the socket may have moved
        return self._meaning(None, Said(channel.exit_status, "", err), "")


def _left(deadline: float) -> float:
    return max(0.1, deadline - time.monotonic())
