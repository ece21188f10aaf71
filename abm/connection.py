"""What a long answer may know of the connection that it goes out by: daphne has no backpressure.

daphne's `send` returns at once and Twisted keeps what the client did not read, without limit. A
stream therefore looks here before it writes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from daphne.http_protocol import WebRequest
from daphne.server import reactor


class Connection:
    """One request's way out; Twisted's push producer, told when its buffer is full."""

    def __init__(self, request: WebRequest) -> None:
        self.is_full = False
        self._request = request
        self._is_watching = False

    def watch(self) -> None:
        """From now on `is_full` holds."""
        if self._request.channel is not None and not self._is_watching:
            self._request.registerProducer(self, True)
            self._is_watching = True

    def unwatch(self) -> None:
        """Before the answer ends, for Twisted asks that of producers."""
        if self._is_watching and self._request.channel is not None:
            self._request.unregisterProducer()
        self._is_watching = False

    def close_within(self, seconds: float) -> Callable[[], None]:
        """What closes the connection after the answer; it is cut if the client reads no more."""
        channel: Any = self._request.channel

        def close() -> None:
            if channel is not None and channel.transport is not None:
                reactor.callLater(seconds, channel.transport.abortConnection)
                channel.transport.loseConnection()

        return close

    # Twisted's names
    def pauseProducing(self) -> None:
        self.is_full = True

    def resumeProducing(self) -> None:
        self.is_full = False

    def stopProducing(self) -> None:
        self.is_full = True
