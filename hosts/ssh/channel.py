"""A channel of an SSH connection that behaves as a socket does, for whatever reads sockets.

http.client, urllib3, docker-py and selectors take it for one: reference-counted files, time-outs,
a shutdown from another thread, and a descriptor that becomes readable.
"""

from __future__ import annotations

import contextlib
import io
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from paramiko import SSHException

FULL_SECONDS = 0.05
"""How long a send that must not wait waits all the same for room: its caller cannot poll for it."""


class Keeper(Protocol):
    """The connection that a channel is of."""

    @property
    def failure(self) -> Exception | None:
        """Why it ended; None while it lives."""


class ChannelSocket:
    """One channel. Its methods are those of `socket.socket`."""

    family = socket.AF_UNIX
    type = socket.SOCK_STREAM
    proto = 0

    def __init__(
        self,
        channel: Any,
        keeper: Keeper,
        *,
        ended_early: Callable[[ChannelSocket], Exception | None] | None = None,
        leftovers: queue.SimpleQueue[Any] | None = None,
    ) -> None:
        """`ended_early` is asked what an end before the first byte means; `leftovers` takes
        channels whose owner forgot them, since the garbage collector must not send."""
        self.channel = channel
        self._keeper = keeper
        self._ended_early = ended_early
        self._leftovers = leftovers
        self._readers = 0
        self._is_given_up = self._is_closed = self._has_heard = False
        self._bell: _Bell | None = None
        self._closing = threading.Lock()

    @property
    def is_quiet(self) -> bool:
        """Whether it is open and has nothing to read: it can carry another request."""
        return not (
            self._is_closed
            or self.channel.closed
            or self.channel.eof_received
            or self.channel.recv_ready()
        )

    @property
    def is_readable(self) -> bool:
        """Whether `recv` would not wait."""
        return bool(self.channel.recv_ready() or self.channel.eof_received or self.channel.closed)

    def ring(self, call: Callable[[], object]) -> None:
        """From now on `call` is called, from any thread, when there is something to read, and
        once at the end; it must never wait. Not for one whose `fileno` is in use."""
        self.channel.in_buffer.set_event(_Ring(call))

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Raises TimeoutError, BlockingIOError, and ConnectionResetError if the link was lost."""
        try:
            with _as_of_sockets():
                data: bytes = self.channel.recv(size)
        except TimeoutError:
            if self.channel.timeout == 0.0:
                raise BlockingIOError("Nothing to read yet.") from None
            raise
        if data:
            self._has_heard = True
        elif size:
            self._explain_end()
        return data

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        view = memoryview(buffer).cast("B")
        data = self.recv(size or len(view))
        view[: len(data)] = data
        return len(data)

    def send(self, data: Any, flags: int = 0) -> int:
        """Bytes taken. Raises TimeoutError, BlockingIOError, BrokenPipeError."""
        with _as_of_sockets():
            sent = self._send(data)
        if sent == 0 and len(data):
            raise BrokenPipeError("The other side reads no more.")
        return sent

    def _send(self, data: Any) -> int:
        if self.channel.timeout != 0.0:
            return int(self.channel.send(data))
        self.channel.settimeout(FULL_SECONDS)
        try:
            return int(self.channel.send(data))
        except TimeoutError:
            raise BlockingIOError("There is no room to send yet.") from None
        finally:
            self.channel.settimeout(0.0)

    def sendall(self, data: Any, flags: int = 0) -> None:
        view = memoryview(data).cast("B")
        at = 0
        while at < len(view):
            at += self.send(bytes(view[at : at + self.channel.out_max_packet_size]))

    def settimeout(self, seconds: float | None) -> None:
        self.channel.settimeout(seconds)

    def gettimeout(self) -> float | None:
        waits: float | None = self.channel.timeout
        return waits

    def setblocking(self, waits: bool) -> None:
        self.channel.settimeout(None if waits else 0.0)

    def setsockopt(self, *option: object) -> None:
        """Nothing: the options are those of the connection below."""

    def fileno(self) -> int:
        """Readable when there is something to read; writable always."""
        if self._is_closed:
            return -1
        if self._bell is None:
            self._bell = _Bell()
            self.channel.in_buffer.set_event(self._bell)
        return self._bell.fileno()

    def shutdown(self, how: int) -> None:
        """End it from any thread; a reader wakes up, and what is behind it sees the end."""
        with _as_of_sockets():
            if how == socket.SHUT_WR:
                self.channel.shutdown_write()
            elif how == socket.SHUT_RD:
                self.channel.shutdown_read()
            else:
                self.channel.close()

    def makefile(self, mode: str = "r", buffering: int | None = None, **_: object) -> Any:
        """A binary file, as http.client wants it; the channel stays open until it is closed."""
        self._readers += 1
        raw = socket.SocketIO(self, "rw" if "w" in mode and "r" in mode else mode[:1])  # type: ignore[arg-type]
        if buffering == 0:
            return raw
        if "w" in mode:
            return io.BufferedWriter(raw)
        return io.BufferedReader(raw)

    def close(self) -> None:
        """Close it, as soon as no file of it is open any more."""
        self._is_given_up = True
        if self._readers <= 0:
            self._close()

    def detach(self) -> int:
        raise OSError("A channel has no descriptor of its own.")

    def _decref_socketios(self) -> None:
        """A file of it was closed (socket.SocketIO calls this)."""
        self._readers = max(0, self._readers - 1)
        if self._is_given_up:
            self.close()

    def _close(self) -> None:
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
        with contextlib.suppress(OSError), _as_of_sockets():
            self.channel.close()
        if self._bell is not None:
            self._bell.close()

    def _explain_end(self) -> None:
        """Raise what an end means, where it is not just the end."""
        if self._is_given_up:
            return
        if self._keeper.failure is not None:
            raise ConnectionResetError(str(self._keeper.failure))
        if not self._has_heard and self._ended_early is not None:
            reason = self._ended_early(self)
            if reason is not None:
                raise reason

    def __enter__(self) -> ChannelSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self._leftovers is not None and not self._is_closed:
            self._leftovers.put((self.channel, self._bell))


@contextlib.contextmanager
def _as_of_sockets() -> Iterator[None]:
    """What paramiko raises where it cannot send any more is no OSError, as a socket's would be."""
    try:
        yield
    except (EOFError, SSHException) as error:
        raise ConnectionResetError(str(error) or "The connection ended.") from error


class _Ring:
    """What paramiko's buffer takes for an event."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.set = call

    def clear(self) -> None:
        """Nothing: what is there is looked at, not remembered."""


class _Bell:
    """What paramiko's buffer rings when it has something, as a descriptor to select on.

    A pair of sockets, not a pipe: a selector that also waits for room to send must wake up.
    """

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)
        self._is_rung = False
        self._lock = threading.Lock()

    def fileno(self) -> int:
        return self._near.fileno()

    def set(self) -> None:
        with self._lock:
            if not self._is_rung:
                self._is_rung = True
                with contextlib.suppress(OSError):  # closed meanwhile
                    self._far.send(b".")

    def clear(self) -> None:
        with self._lock:
            if self._is_rung:
                self._is_rung = False
                with contextlib.suppress(OSError):
                    self._near.recv(1)

    def close(self) -> None:
        self._near.close()
        self._far.close()
