"""Remote hosts of the lab as abm knows them: with a key installed and a host key accepted."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hosts.ssh.address import parse
from hosts.ssh.install_command import install_command
from hosts.ssh.keys import fresh_key
from hosts.ssh.known import HostKey
from hosts.ssh.target import Target
from lab.own import OwnRemote
from lab.room import GUEST, USER

HOST_ID = "docker:lab"


@dataclass(frozen=True, slots=True)
class Box:
    """A remote host and how abm reaches it."""

    own: OwnRemote
    target: Target

    @property
    def guest(self) -> Target:
        """As the user who may not use Docker, let in by the same key."""
        self.own.say(install_command(self.target.key.public, HOST_ID), user=GUEST)
        return replace(self.target, address=replace(self.target.address, user=GUEST))

    def accept(self) -> Target:
        """The target with the host key that it has now."""
        return replace(self.target, known=(HostKey.from_line(self.own.host_key),))


def let_in(own: OwnRemote) -> Box:
    """Paste abm's command there, as an admin does."""
    key = fresh_key()
    own.say(install_command(key.public, HOST_ID), user=USER)
    known = (HostKey.from_line(own.host_key),)
    return Box(own, Target("gpu-box", parse(own.url), key, known))
