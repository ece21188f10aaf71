"""One host's lasting connection: kept, watched, and made again when it breaks.

A link makes its first attempt at once. Later ones wait longer each time, each by chance a little
less, so that hosts which went down together do not come back together. What only a person can end
(a refused key, a changed host key) is tried once a minute. One that nobody uses rests: a worker
without jobs for a host keeps no connection to it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

from docker import APIClient

from hosts.link.turns import Turn, turns
from hosts.runners.base import RunnerError
from hosts.runners.docker.connection import DockerAddress, Source
from hosts.ssh.channel import ChannelSocket
from hosts.ssh.connection import Connection
from hosts.ssh.docker_adapter import ChannelPool, client_over
from hosts.ssh.errors import LASTING, LinkBusy, LinkLost
from hosts.ssh.facts import RemoteFacts
from hosts.ssh.login import log_in
from hosts.ssh.said import Said
from hosts.ssh.target import USUAL, Limits, Target

BEAT_SECONDS = 1.0
FIRST_WAIT, LONGEST_WAIT, LASTING_WAIT = 1.0, 30.0, 60.0
CALM_SECONDS = 20.0
"""A connection that lasted so long makes the next wait short again."""
CALL_SECONDS = 10.0

log = logging.getLogger(__name__)


class LinkState(StrEnum):
    IDLE = "idle"
    """Nobody needs it just now; the next call connects."""
    CONNECTING = "connecting"
    UP = "up"
    WAITING = "waiting"
    """The last attempt failed; another one follows."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class LinkNews:
    """How a link stands."""

    state: LinkState
    failure: RunnerError | None = None
    """Why it is not up."""
    retry_in: float | None = None
    """Seconds to the next attempt."""


Listener = Callable[[LinkNews], None]


class Link:
    """Keeps a connection to `target` from `start` to `close`, whenever its turn comes.

    Every call may raise RunnerError (see hosts.ssh.errors), and none waits longer than it was
    told. While the host is down calls fail at once with the reason of the last attempt.
    `told` hears of each change, in the link's turn, and must be quick and not raise.
    """

    def __init__(
        self, target: Target, *, limits: Limits = USUAL, told: Listener | None = None
    ) -> None:
        self.target = target
        self._limits, self._told = limits, told
        self._changed = threading.Condition()
        self._news = LinkNews(LinkState.IDLE)
        self._connection: Connection | None = None
        self._docker_socket = target.docker_socket
        self._used_at = time.monotonic()
        self._is_wished = False
        """Somebody wants the next attempt now."""
        self._turn: Turn | None = None
        self.pool = ChannelPool(self)

    @property
    def news(self) -> LinkNews:
        return self._news

    @property
    def docker_address(self) -> DockerAddress:
        """For everything that takes a place where Docker answers."""
        return DockerAddress(
            str(self.target.address), Source.USUAL, self.target.name, opened_by=self
        )

    def start(self) -> Self:
        """Connect, and stay connected; returns at once."""
        with self._changed:
            if self._turn is None and self._news.state is not LinkState.CLOSED:
                self._news = LinkNews(LinkState.CONNECTING)
                self._turn = turns.begin(f"link {self.target.name}", self._keep)
        return self

    def close(self) -> None:
        """End it, from any thread; what goes over it ends too."""
        with self._changed:
            connection, self._connection = self._connection, None
            self._news = LinkNews(LinkState.CLOSED, LinkLost(self.target.peer, "was closed by abm"))
            self._changed.notify_all()
            if self._turn is not None:
                self._turn.wake()
        if connection is not None:
            connection.close()
        self.pool.close()

    def try_now(self) -> None:
        """Make the next attempt at once; who calls meanwhile waits for it."""
        with self._changed:
            if self._news.state is LinkState.WAITING:
                self._news = LinkNews(LinkState.CONNECTING)
                self._is_wished = True
                if self._turn is not None:
                    self._turn.wake()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def connection(self, seconds: float = CALL_SECONDS) -> Connection:
        """The connection, if it is up or comes up in time."""
        self.start()
        deadline = time.monotonic() + seconds
        with self._changed:
            self._used_at = time.monotonic()
            while True:
                connection = self._connection
                if connection is not None and connection.failure is None:
                    return connection
                if self._news.state in {LinkState.WAITING, LinkState.CLOSED}:
                    raise self._failure()
                left = deadline - time.monotonic()
                if left <= 0:
                    raise LinkBusy(self.target.peer, "connect", seconds)
                self._changed.wait(min(left, BEAT_SECONDS))

    def docker(self, seconds: float = CALL_SECONDS) -> ChannelSocket:
        """A fresh connection to the host's Docker."""
        deadline = time.monotonic() + seconds
        connection = self.connection(seconds)
        opened = connection.docker(max(0.1, deadline - time.monotonic()))
        self._docker_socket = connection.way.socket
        return opened

    def client(self, *, api: str, timeout: float) -> APIClient:
        """A Docker client over this link; close it when it is done with."""
        return client_over(self.pool, api=api, timeout=timeout)

    def tcp(self, port: int, seconds: float = CALL_SECONDS) -> ChannelSocket:
        """A port of the host's loopback. Raises ConnectionRefusedError if nothing listens."""
        return self.connection(seconds).tcp(port, seconds)

    def session(self, command: str, seconds: float = CALL_SECONDS) -> ChannelSocket:
        """A command that runs on, its output to be read as it comes."""
        return self.connection(seconds).session(command, seconds)

    def run(self, command: str, *, seconds: float = CALL_SECONDS) -> Said:
        """A command's whole answer."""
        return self.connection(seconds).run(command, seconds=seconds)

    def facts(self, seconds: float = CALL_SECONDS) -> RemoteFacts | None:
        """What the host says of itself; None where abm's key line is not in use."""
        return self.connection(seconds).facts(seconds)

    def _failure(self) -> RunnerError:
        """A new one each time: a traceback must not grow from caller to caller."""
        failure = self._news.failure
        if failure is None:
            return LinkLost(self.target.peer)
        copy = failure.__class__.__new__(failure.__class__)
        copy.args, copy.__dict__ = failure.args, dict(failure.__dict__)
        return copy

    def _keep(self, turn: Turn) -> Iterator[float]:
        """Connect, watch, wait, again."""
        wait = FIRST_WAIT
        while self._tell(LinkNews(LinkState.CONNECTING)):
            try:
                connection = log_in(self._target_now(), self._limits)
            except RunnerError as failure:
                wait = yield from self._pause(failure, wait)
                continue
            connection.call_at_end(turn.wake)
            begun = time.monotonic()
            if not self._take(connection):
                connection.close()
                break
            is_rested = yield from self._watch(connection)
            if is_rested:
                break
            if time.monotonic() - begun > CALM_SECONDS:
                wait = FIRST_WAIT
            else:
                wait = yield from self._pause(connection.failure, wait)

    def _target_now(self) -> Target:
        target = self.target
        return Target(target.name, target.address, target.key, target.known, self._docker_socket)

    def _watch(self, connection: Connection) -> Generator[float, None, bool]:
        """Until it ends; whether that is because nobody uses it."""
        while connection.failure is None:
            yield BEAT_SECONDS
            connection.beat()
            if self._rests(connection):
                connection.close()
                self.pool.close_idle()
                return True
        connection.close()
        with self._changed:
            if self._connection is connection:
                self._connection = None
        return False

    def _rests(self, connection: Connection) -> bool:
        """Let go of what nobody used for long: then no channel is open but those kept for later."""
        with self._changed:
            idle = time.monotonic() - max(self._used_at, self.pool.used_at)
            is_used = idle < self._limits.idle
            if is_used or self._is_closed or connection.channel_count > self.pool.idle_count:
                return False
            self._connection, self._turn = None, None
            self._news = LinkNews(LinkState.IDLE)
            return True

    def _pause(self, failure: RunnerError | None, wait: float) -> Generator[float, None, float]:
        """Wait for the next attempt; seconds that the one after it is to wait."""
        longest = LASTING_WAIT if isinstance(failure, LASTING) else wait
        seconds = longest * random.uniform(0.5, 1.0)
        self._is_wished = False
        end = time.monotonic() + seconds
        self._tell(LinkNews(LinkState.WAITING, failure, seconds))
        while not (self._is_wished or self._is_closed) and (left := end - time.monotonic()) > 0:
            yield left
        return min(wait * 2, LONGEST_WAIT)

    def _take(self, connection: Connection) -> bool:
        with self._changed:
            if self._is_closed:
                return False
            self._connection = connection
        return self._tell(LinkNews(LinkState.UP))

    def _tell(self, news: LinkNews) -> bool:
        """Say how it stands; False once it is closed."""
        with self._changed:
            if self._is_closed:
                return False
            self._news = news
            self._changed.notify_all()
        log.debug("%s: %s", self.target.name, news.state)
        if self._told is not None:
            self._told(news)
        return True

    @property
    def _is_closed(self) -> bool:
        return self._news.state is LinkState.CLOSED
