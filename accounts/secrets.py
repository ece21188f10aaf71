"""Secrets that abm keeps for others, such as tokens and passwords, encrypted at rest.

Fernet (https://github.com/fernet/spec) with a key that HKDF makes from SECRET_KEY, so that a copy
of the database alone tells nobody anything. A former key in SECRET_KEY_FALLBACKS still reads.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

PURPOSE = b"abm: stored secrets, 1"


class SecretUnreadable(Exception):
    """A stored secret was encrypted with a key that abm no longer has; the message says so."""

    def __init__(self) -> None:
        super().__init__(
            "It was stored under another SECRET_KEY and cannot be read. Enter it again, "
            "or start abm with the former key."
        )


def encrypted(text: str) -> str:
    """`text` as a token of letters, digits, - _ and =; another one each time."""
    return _fernet().encrypt(text.encode()).decode()


def decrypted(token: str) -> str:
    """The text of a token. Raises SecretUnreadable."""
    try:
        return _fernet().decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise SecretUnreadable from error


def renewed(token: str, *, former: Sequence[str] = ()) -> str:
    """The same secret under the present key; `former` are more keys that may read it.

    Raises SecretUnreadable.
    """
    try:
        return _fernet(*former).rotate(token.encode()).decode()
    except InvalidToken as error:
        raise SecretUnreadable from error


def _fernet(*former: str) -> MultiFernet:
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS, *former)
    return MultiFernet([Fernet(_key(key)) for key in keys])


def _key(secret: str | bytes) -> bytes:
    material = secret.encode() if isinstance(secret, str) else secret
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE).derive(material)
    return base64.urlsafe_b64encode(derived)
