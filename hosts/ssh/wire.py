"""One TCP connection to an SSH server: made in bounded time, and never waited for without end.

paramiko's own socket handling waits for ever for a peer that takes bytes and gives none. This one
knows when it last moved, ends writes that do not get on, and can be cut from any thread.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import queue
import select
import socket
import threading
import time
from typing import Any

from hosts.ssh.errors import NameUnknown, NoAnswer, NoRoute, Peer, PortClosed

TICK_SECONDS = 1.0
"""How long one read or write waits before it looks whether it was cut."""
STUCK_SECONDS = 10.0
"""A write that moves nothing for so long means that the peer is gone."""
USER_TIMEOUT_MS = 15_000
"""Linux drops a connection whose bytes are not confirmed for so long."""
SMALL_BYTES, CHUNK_BYTES = 2**11, 2**16
"""What is asked of the network: little while the host is quiet, since the room for it is held all
the time that is waited, and much as soon as much comes."""
ADDRESSES = 4
"""How many addresses of one name are tried."""

Place = tuple[socket.AddressFamily, Any]


class Wire:
    """A connected socket with the few methods that paramiko asks of one."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._socket.settimeout(TICK_SECONDS)
        self._ahead = b""
        """Read from the network, but not yet asked for."""
        self._at = 0
        self._room = SMALL_BYTES
        self._stuck_since: float | None = None
        self._is_cut = False
        self.has_spoken = False
        """Whether the peer ever sent a byte."""
        self.lived_at = time.monotonic()
        """When the peer last showed life: sent something, or took what it would not take before."""

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes; nothing at the end. Raises TimeoutError after a tick."""
        if self._at >= len(self._ahead):
            room = max(size, self._room)
            self._ahead = self._socket.recv(room)
            self._room = CHUNK_BYTES if len(self._ahead) >= room else SMALL_BYTES
            self._at = 0
            if self._ahead:
                self.has_spoken = True
                self.lived_at = time.monotonic()
        taken = self._ahead[self._at : self._at + size]
        self._at += len(taken)
        if self._at >= len(self._ahead):
            self._ahead, self._at = b"", 0  # nothing is kept while the host is quiet
        return taken

    def send(self, data: bytes) -> int:
        """Bytes taken. Raises TimeoutError after a tick, ConnectionAbortedError when stuck."""
        try:
            taken = self._socket.send(data)
        except TimeoutError as error:
            now = time.monotonic()
            self._stuck_since = self._stuck_since or now
            if now - self._stuck_since < STUCK_SECONDS:
                raise
            self.cut()
            raise ConnectionAbortedError(f"Nothing moved for {STUCK_SECONDS:g} s.") from error
        if self._stuck_since is not None:
            # A full buffer that drains is a sign of life; one that still has room is none.
            self.lived_at = time.monotonic()
            self._stuck_since = None
        return taken

    @property
    def is_free(self) -> bool:
        """Whether a small write would not wait."""
        try:
            return bool(select.select([], [self._socket], [], 0)[1])
        except (OSError, ValueError):  # closed meanwhile
            return False

    def cut(self) -> None:
        """End it now, from any thread; whoever reads or writes wakes up."""
        self._is_cut = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        self._socket.close()

    def settimeout(self, seconds: float | None) -> None:
        """Nothing: its waits are bounded already, and paramiko would make them ten a second."""

    def getpeername(self) -> object:
        return self._socket.getpeername()

    @property
    def _closed(self) -> bool:
        """paramiko asks a socket so."""
        return self._is_cut


def reach(peer: Peer, *, name_seconds: float, answer_seconds: float) -> Wire:
    """A connection to the host's port. Raises NameUnknown, NoRoute, PortClosed or NoAnswer."""
    deadline = time.monotonic() + answer_seconds
    places = _places(peer, name_seconds)[:ADDRESSES]
    failures: list[OSError] = []
    for left, (family, place) in zip(range(len(places), 0, -1), places, strict=True):
        share = max(0.1, (deadline - time.monotonic()) / left)
        connecting = socket.socket(family, socket.SOCK_STREAM)
        connecting.settimeout(share)
        try:
            connecting.connect(place)
        except OSError as error:
            connecting.close()
            failures.append(error)
            continue
        _tune(connecting)
        return Wire(connecting)
    raise _failure(peer, failures, answer_seconds)


def _failure(peer: Peer, failures: list[OSError], seconds: float) -> Exception:
    """The most telling of them: a machine that says no is there."""
    detail = "; ".join(str(one) for one in failures)
    if any(isinstance(one, ConnectionRefusedError) for one in failures):
        return PortClosed(peer, detail=detail)
    if any(isinstance(one, TimeoutError) for one in failures):
        return NoAnswer(peer, seconds, detail=detail)
    return NoRoute(peer, detail=detail)


def _tune(connected: socket.socket) -> None:
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if option := getattr(socket, "TCP_USER_TIMEOUT", None):  # macOS and Windows have none
        connected.setsockopt(socket.IPPROTO_TCP, option, USER_TIMEOUT_MS)


def _places(peer: Peer, seconds: float) -> list[Place]:
    """The addresses of a name. The system's look-up cannot be bounded, so a thread does it."""
    host, port = peer.address.host, peer.address.port
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return _look_up(host, port)
    answers: queue.SimpleQueue[list[Place] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_look_up(host, port))
        except (OSError, UnicodeError) as error:
            answers.put(error if isinstance(error, OSError) else OSError(errno.EINVAL, str(error)))

    threading.Thread(target=ask, name=f"look up {host}", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise NameUnknown(peer, is_slow=True) from None
    if isinstance(answer, OSError):
        raise NameUnknown(peer, detail=str(answer)) from answer
    return answer


def _look_up(host: str, port: int) -> list[Place]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, place) for family, _, _, _, place in found]
