"""The key that abm logs in to one host with: a fresh one for each, and none in the open."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import paramiko
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from accounts.secrets import decrypted, encrypted


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An Ed25519 key. Its private half is shown nowhere: not by repr, not in an error."""

    public: str
    """`ssh-ed25519 AAAA...`, without a comment."""
    private: str = field(repr=False)
    """OpenSSH's own format, without a passphrase (openssh-portable, PROTOCOL.key)."""

    def signer(self) -> paramiko.PKey:
        """What a log-in signs with."""
        return paramiko.Ed25519Key.from_private_key(io.StringIO(self.private))


def fresh_key() -> KeyPair:
    """A new key from the system's random numbers."""
    return _pair(Ed25519PrivateKey.generate())


def sealed(key: KeyPair) -> str:
    """The key as text for the database, encrypted (see accounts.secrets)."""
    return encrypted(f"{key.public}\n{key.private}")


def opened(token: str) -> KeyPair:
    """The key of a text that `sealed` made. Raises SecretUnreadable."""
    public, _, private = decrypted(token).partition("\n")
    return KeyPair(public, private)


def _pair(key: Ed25519PrivateKey) -> KeyPair:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return KeyPair(public.decode(), private.decode())
