"""HTTP connections that end at a deadline.

httpx bounds each wait but not their sum, so a server could drip bytes for ever.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx


class _Clock(threading.local):
    """Until when the request of this thread may last, on the monotonic clock."""

    until = float("inf")

    def start(self, seconds: float) -> None:
        """The request of this thread begins now and lasts `seconds` at most."""
        self.until = time.monotonic() + seconds

    def left(self, timeout: float | None, late: type[Exception]) -> float:
        """Seconds that a wait may take. Raises `late` when there are none."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise late("the time for this request is over")
        return left if timeout is None else min(left, timeout)


CLOCK = _Clock()


class TimedTransport(httpx.HTTPTransport):
    """A transport whose every wait ends at the deadline of its thread."""

    def __init__(self, tls: ssl.SSLContext, limits: httpx.Limits, proxy: str) -> None:
        super().__init__(verify=tls, limits=limits, proxy=proxy or None)
        # httpx has no door for a network of one's own; httpcore, which it stands on, has.
        self._pool._network_backend = _TimedNetwork()


class _TimedNetwork(httpcore.SyncBackend):
    """Connects to each address of a name in turn, until the deadline."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError("the name has no address")
        for address in _addresses(host, port):
            try:
                left = CLOCK.left(timeout, httpcore.ConnectTimeout)
                return _TimedStream(
                    super().connect_tcp(address, port, left, local_address, socket_options)
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class _TimedStream(httpcore.NetworkStream):
    """A connection; no wait on it outlasts the deadline."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, CLOCK.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, CLOCK.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = CLOCK.left(timeout, httpcore.ConnectTimeout)
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(str(error)) from error
    return list(dict.fromkeys(str(row[4][0]) for row in found))
