"""A file that only a passphrase opens, written and read as a stream.

A line of JSON says how the key is made (scrypt, RFC 7914). Then come pieces of at most 1 MiB, each
four bytes of length and an AES-256-GCM text. A piece's nonce is its number and whether it is the
last one, so that pieces can be neither cut off, nor swapped, nor left out without being noticed.
"""

from __future__ import annotations

import base64
import json
import os
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

FORMAT = "abm backup 1"
PIECE_BYTES = 1 << 20
TAG_BYTES = 16
SALT_BYTES = 16
LONGEST_HEAD = 1_000
COST, BLOCK, LANES = 1 << 16, 8, 1
"""64 MiB and about 0.2 s for each guess at the passphrase."""
HIGHEST_COST = 1 << 20


class BackupUnusable(Exception):
    """A backup cannot be made or read; the message says why and what to do."""


class SealedWriter:
    """Takes bytes and writes them encrypted to `out`; `finish` writes the last piece."""

    def __init__(self, out: IO[bytes], passphrase: str) -> None:
        salt = os.urandom(SALT_BYTES)
        self._head = _head(salt)
        self._box = AESGCM(_key(passphrase, salt, COST))
        self._out = out
        self._held = bytearray()
        self._number = 0
        out.write(self._head)

    def write(self, data: bytes) -> int:
        self._held += data
        while len(self._held) > PIECE_BYTES:
            self._seal(bytes(self._held[:PIECE_BYTES]), is_last=False)
            del self._held[:PIECE_BYTES]
        return len(data)

    def finish(self) -> None:
        self._seal(bytes(self._held), is_last=True)
        self._held.clear()

    def _seal(self, plain: bytes, *, is_last: bool) -> None:
        text = self._box.encrypt(_nonce(self._number, is_last=is_last), plain, self._head)
        self._out.write(len(text).to_bytes(4, "big") + text)
        self._number += 1


class SealedReader:
    """Gives the bytes back. Raises BackupUnusable for a wrong passphrase or a damaged file."""

    def __init__(self, file: IO[bytes], passphrase: str) -> None:
        self._file = file
        self._head = file.readline(LONGEST_HEAD)
        salt, cost = _read_head(self._head)
        self._box = AESGCM(_key(passphrase, salt, cost))
        self._held = bytearray()
        self._number = 0
        self._is_at_end = False

    def read(self, size: int) -> bytes:
        while len(self._held) < size and not self._is_at_end:
            self._held += self._piece()
        given = bytes(self._held[:size])
        del self._held[:size]
        return given

    def _piece(self) -> bytes:
        length = int.from_bytes(self._file.read(4), "big")
        text = self._file.read(min(length, PIECE_BYTES + TAG_BYTES))
        if not text or len(text) < length:
            raise BackupUnusable("The backup is not whole: its end is missing. Use another one.")
        for is_last in (False, True):
            try:
                plain = self._box.decrypt(_nonce(self._number, is_last=is_last), text, self._head)
            except InvalidTag:
                continue
            self._is_at_end = is_last
            self._number += 1
            return plain
        if self._number == 0:
            raise BackupUnusable("The passphrase does not open this backup.")
        raise BackupUnusable("The backup is damaged. Use another one.")


def _head(salt: bytes) -> bytes:
    said = {
        "format": FORMAT,
        "kdf": "scrypt",
        "n": COST,
        "r": BLOCK,
        "p": LANES,
        "salt": base64.b64encode(salt).decode(),
    }
    return json.dumps(said).encode() + b"\n"


def _read_head(head: bytes) -> tuple[bytes, int]:
    """The salt and the cost. Raises BackupUnusable."""
    try:
        said = json.loads(head)
        salt, cost = base64.b64decode(said["salt"]), int(said["n"])
        is_known = said["format"] == FORMAT and (said["r"], said["p"]) == (BLOCK, LANES)
    except (ValueError, KeyError, TypeError) as error:
        raise BackupUnusable("This file is no backup of abm.") from error
    if not is_known or not 1 < cost <= HIGHEST_COST or cost & (cost - 1):
        raise BackupUnusable("This backup is of a kind that this abm does not know.")
    return salt, cost


def _key(passphrase: str, salt: bytes, cost: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=cost, r=BLOCK, p=LANES).derive(passphrase.encode())


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\1" if is_last else b"\0")
