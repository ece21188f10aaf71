"""One SSH connection from its log-in to its end. It does not come back; hosts.ssh.link does."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from paramiko import SSHException

from hosts.runners.base import RunnerError
from hosts.ssh.channel import ChannelSocket
from hosts.ssh.docker_way import DockerWay
from hosts.ssh.errors import ForwardingForbidden, LinkBusy, LinkLost, TooManySessions
from hosts.ssh.facts import RemoteFacts, read_facts
from hosts.ssh.said import Said, read_all
from hosts.ssh.target import Limits, Target
from hosts.ssh.transport import FORBIDDEN, ChannelRefused, Transport

MOST_SESSIONS = 9
"""sshd allows 10 at one time (MaxSessions) and counts one that has just ended for a moment."""
RETRY_SECONDS = 0.05
LATE_SECONDS = 3.0
"""Between two beats: after more, this process itself slept, and the host is not to blame."""
FACTS_SECONDS = 5.0
FACTS_BYTES = 2**16


class Connection:
    """A logged-in connection. Every call may raise RunnerError (see hosts.ssh.errors)."""

    def __init__(self, transport: Transport, target: Target, limits: Limits) -> None:
        self.target, self.peer = target, target.peer
        self._transport, self._limits = transport, limits
        self._failure: RunnerError | None = None
        self._free = threading.BoundedSemaphore(MOST_SESSIONS)
        self._sessions: set[int] = set()
        transport.freed = self._release
        self._leftovers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._beat_at = self._pinged_at = self._pardoned_at = time.monotonic()
        self.way = DockerWay(self, target.docker_socket)
        self.ended = transport.ended
        """Set as soon as it is over."""

    @property
    def failure(self) -> RunnerError | None:
        """Why it ended; None while it lives."""
        if self._failure is None and not self._transport.is_active():
            self._failure = LinkLost(self.peer, detail=str(self._transport.get_exception() or ""))
        return self._failure

    @property
    def channel_count(self) -> int:
        """Channels that are open, or not yet closed by both sides."""
        return self._transport.channel_count

    def call_at_end(self, call: Callable[[], object]) -> None:
        """Call it as soon as this is over, from any thread; `call` never waits."""
        self._transport.died = call
        if self.ended.is_set():
            call()

    def beat(self) -> None:
        """Look after it; to be called about once a second. Ends it if the host gives no sign."""
        now = time.monotonic()
        if now - self._beat_at > LATE_SECONDS:
            self._pardoned_at = now
        self._beat_at = now
        silence = now - max(self._transport.wire.lived_at, self._pardoned_at)
        if silence > self._limits.silence:
            words = f"was given up: the host gave no sign of life for {silence:.0f} s"
            self._end(LinkLost(self.peer, words))
            return
        patience = self._limits.ping_after
        if min(silence, now - self._pinged_at) > patience and self._transport.ping():
            self._pinged_at = now
        self._sweep()

    def close(self) -> None:
        self._end(LinkLost(self.peer, "was closed by abm"))

    def docker(self, seconds: float) -> ChannelSocket:
        """A fresh connection to the host's Docker."""
        return self.way.open(seconds)

    def socket(self, path: str, seconds: float) -> ChannelSocket:
        """A unix socket of the host (openssh-portable, PROTOCOL, 2.4). Raises ChannelRefused."""
        place = (path, "", 0)
        return self._wrapped(self._open("direct-streamlocal@openssh.com", place, seconds))

    def tcp(self, port: int, seconds: float) -> ChannelSocket:
        """A port of the host's loopback. Raises ConnectionRefusedError if nothing listens."""
        place = ("127.0.0.1", port, "127.0.0.1", 0)
        try:
            return self._wrapped(self._open("direct-tcpip", place, seconds))
        except ChannelRefused as refusal:
            if refusal.code == FORBIDDEN:
                what = f"to reach engines on it (port {port})"
                raise ForwardingForbidden(self.peer, what, detail=str(refusal)) from refusal
            raise ConnectionRefusedError(f"Nothing listens on port {port}.") from refusal

    def session(
        self,
        command: str,
        seconds: float,
        *,
        ended_early: Callable[[ChannelSocket], Exception | None] | None = None,
    ) -> ChannelSocket:
        """A command's input and output as one socket, for as long as it runs."""
        deadline = time.monotonic() + seconds
        channel = self._new_session(deadline)
        try:
            with self._in_words(f"start `{command}`", seconds):
                left = max(0.1, deadline - time.monotonic())
                self._transport.execute(channel, command, seconds=left)
        except BaseException as error:
            with contextlib.suppress(EOFError, OSError, SSHException):
                channel.close()
            if isinstance(error, ChannelRefused):
                what = "to run its commands"
                raise ForwardingForbidden(self.peer, what, detail=str(error)) from error
            raise
        return self._wrapped(channel, ended_early=ended_early)

    def run(self, command: str, *, seconds: float, most_bytes: int = FACTS_BYTES) -> Said:
        """What a command says, at most `most_bytes` of it. Raises LinkBusy when time is up."""
        deadline = time.monotonic() + seconds
        what = f"finish `{command}`"
        with self.session(command, seconds) as wire, self._in_words(what, seconds):
            wire.shutdown(socket.SHUT_WR)
            said = read_all(wire.channel, deadline=deadline, most_bytes=most_bytes)
        if said is None:
            if self.failure is not None:
                raise self.failure
            raise LinkBusy(self.peer, what, seconds)
        return said

    def facts(self, seconds: float = FACTS_SECONDS) -> RemoteFacts | None:
        """What the host says of itself; None where abm's key line is not in use."""
        return read_facts(self.run("facts", seconds=seconds).out)

    def _wrapped(self, channel: Any, **options: Any) -> ChannelSocket:
        return ChannelSocket(channel, self, leftovers=self._leftovers, **options)

    def _open(self, kind: str, place: tuple[str | int, ...], seconds: float) -> Any:
        with self._in_words("open a channel", seconds):
            return self._transport.open(kind, place, seconds=seconds)

    def _new_session(self, deadline: float) -> Any:
        """A session, as soon as sshd allows one more."""
        if not self._free.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise TooManySessions(self.peer)
        while True:
            try:
                channel = self._open("session", (), max(0.1, deadline - time.monotonic()))
            except ChannelRefused as refusal:
                if time.monotonic() + RETRY_SECONDS < deadline and not self.failure:
                    time.sleep(RETRY_SECONDS)
                    continue
                self._free.release()
                raise TooManySessions(self.peer, detail=str(refusal)) from refusal
            except BaseException:
                self._free.release()
                raise
            self._sessions.add(channel.chanid)
            return channel

    def _release(self, number: int) -> None:
        """A channel is gone. sshd counts a command until it has ended, so abm does as well."""
        with contextlib.suppress(KeyError):
            self._sessions.remove(number)
            self._free.release()

    @contextlib.contextmanager
    def _in_words(self, what: str, seconds: float) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise LinkBusy(self.peer, what, seconds) from error
        except (ConnectionError, EOFError, SSHException) as error:
            raise (self.failure or LinkLost(self.peer, detail=str(error))) from error

    def _sweep(self) -> None:
        """Close channels that their owners forgot."""
        with contextlib.suppress(queue.Empty):
            while True:
                channel, bell = self._leftovers.get_nowait()
                with contextlib.suppress(EOFError, OSError, SSHException):
                    channel.close()
                if bell is not None:
                    bell.close()

    def _end(self, failure: RunnerError) -> None:
        if self._failure is None:
            self._failure = failure
        self._transport.wire.cut()
        self._transport.close()
        self.ended.set()
        self._sweep()
