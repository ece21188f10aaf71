"""The host keys an admin has accepted. Nothing else is ever believed, and nothing is added here."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from hosts.ssh.errors import HostKeyChanged, HostKeyUnknown, Peer

KINDS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
"""Each kind of key that abm can check, best first, and the signatures that it is proved by."""
WORDS = {"ssh-ed25519": "ED25519", "ssh-rsa": "RSA"}


@dataclass(frozen=True, slots=True)
class HostKey:
    """A host's public key, as OpenSSH writes it: `ssh-ed25519 AAAA...`."""

    kind: str
    blob: str
    """Base64 of the key (RFC 4253, 6.6)."""

    @classmethod
    def from_line(cls, line: str) -> HostKey:
        """Read what `line` wrote. Raises ValueError for anything else."""
        kind, _, blob = line.strip().partition(" ")
        try:
            raw = base64.b64decode(blob, validate=True)
        except binascii.Error as error:
            raise ValueError("This is no host key.") from error
        if kind not in KINDS or not raw.startswith(len(kind).to_bytes(4, "big") + kind.encode()):
            raise ValueError("This is no host key of a kind that abm knows.")
        return cls(kind, blob)

    @property
    def line(self) -> str:
        return f"{self.kind} {self.blob}"

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -lf` shows it: `SHA256:` and 43 letters."""
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"

    @property
    def words(self) -> str:
        """The kind as ssh-keygen calls it: ED25519, ECDSA, RSA."""
        return WORDS.get(self.kind, "ECDSA")

    @property
    def shown(self) -> str:
        return f"{self.fingerprint} ({self.words})"


def check(peer: Peer, offered: HostKey, *, known: Iterable[HostKey]) -> None:
    """Quiet if `offered` is one of `known`. Raises HostKeyUnknown and HostKeyChanged."""
    accepted = tuple(known)
    if offered in accepted:
        return
    if not accepted:
        raise HostKeyUnknown(peer, offered=(offered.shown,))
    same = [one for one in accepted if one.kind == offered.kind]
    raise HostKeyChanged(peer, old=tuple(one.shown for one in same or accepted), new=offered.shown)


def signatures_of(known: Iterable[HostKey]) -> tuple[str, ...]:
    """What to ask the host to prove: the accepted kinds alone; all where none is accepted yet."""
    kinds = {one.kind for one in known} or set(KINDS)
    return tuple(way for kind, ways in KINDS.items() if kind in kinds for way in ways)
