"""A place on this machine that leads to one port of a remote host's loopback.

It stays where it is when the link breaks and comes back: whoever connects meanwhile is hung up on,
and the next one gets through.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from hosts.runners.base import RunnerError
from hosts.ssh.channel import ChannelSocket

CHUNK_BYTES = 2**15
MOST_AT_ONCE = 64
WAITING = 32
OPEN_SECONDS = 10.0
IDLE_SECONDS = 3600.0
"""A connection that carried nothing for so long is forgotten."""

log = logging.getLogger(__name__)


class Ports(Protocol):
    """Whatever opens ports of one host."""

    def tcp(self, port: int, seconds: float) -> ChannelSocket: ...


class Tunnel:
    """Listens until it is closed: on a unix socket that this user alone may use, or a port.

    `path` is the socket's file; without it a free port of 127.0.0.1 is taken. Raises OSError.
    """

    def __init__(self, ports: Ports, port: int, *, path: Path | None = None) -> None:
        self._ports, self._port, self._path = ports, port, path
        self._listener = _listener(path)
        self._places = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._open: set[Any] = set()
        self._is_closed = False
        self._thread = threading.Thread(target=self._accept, name=f"tunnel {port}", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where a client on this machine reaches it; for a unix socket only the name is said."""
        if self._path is not None:
            return "http://localhost"
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        """Listen no more, and end what goes through."""
        self._is_closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        for one in list(self._open):
            with contextlib.suppress(OSError, EOFError):
                one.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                near = self._listener.accept()[0]
            except OSError:
                return
            if not self._places.acquire(blocking=False):
                near.close()
                log.warning("Too many connections at one time to port %s.", self._port)
                continue
            threading.Thread(
                target=self._serve, args=(near,), name=f"through {self._port}", daemon=True
            ).start()

    def _serve(self, near: socket.socket) -> None:
        try:
            with near:
                self._carry(near)
        finally:
            self._places.release()

    def _carry(self, near: socket.socket) -> None:
        try:
            far = self._ports.tcp(self._port, OPEN_SECONDS)
        except (RunnerError, OSError) as error:
            log.info("Port %s cannot be reached: %s", self._port, error)
            return
        near.settimeout(IDLE_SECONDS)
        far.settimeout(IDLE_SECONDS)
        self._open |= {near, far}
        back = threading.Thread(target=_pump, args=(far, near), daemon=True)
        try:
            with far:
                back.start()
                _pump(near, far)
                back.join()
        finally:
            self._open -= {near, far}


def _pump(source: Any, sink: Any) -> None:
    """Carry bytes to the end of `source`; a failure of either ends both."""
    try:
        while data := source.recv(CHUNK_BYTES):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except (OSError, EOFError):
        for one in (source, sink):
            with contextlib.suppress(OSError, EOFError):
                one.shutdown(socket.SHUT_RDWR)


def _listener(path: Path | None) -> socket.socket:
    if path is None:
        return socket.create_server(("127.0.0.1", 0), backlog=WAITING)
    path.unlink(missing_ok=True)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    path.chmod(0o600)
    listening.listen(WAITING)
    return listening
