"""A long answer of the daemon, line by line, that can be ended from outside while it is silent.

docker-py's own streams cannot: closing the client leaves the reader waiting and the daemon working,
and the answer's head, without which there is no `Response` to close, comes only with the first
word (a pull from a registry that does not answer has none). So the request goes out on a
connection of its own, made by the client's adapter (Unix socket, TCP with TLS, pipe or SSH alike),
a thread reads it, and hanging up is a shutdown of its socket: the daemon sees that at once and
stops.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import docker
import requests
from docker.errors import APIError, StreamParseError
from urllib3.connection import HTTPConnection

from hosts.runners.base import RunnerError
from hosts.runners.docker.errors import FOREIGN

CONNECT_SECONDS = 10.0
CLOSE_SECONDS = 1.0
CHUNK_BYTES = 2**16
REFUSAL_BYTES = 2**16
AFTER_IDLE, BETWEEN, MISSED = 15, 5, 3
"""Seconds and count of TCP keep-alive: a daemon whose machine went dark is noticed in 30 s."""

NETWORK = {socket.AF_INET, socket.AF_INET6}

log = logging.getLogger(__name__)
Line = Mapping[str, Any]


class DaemonStream:
    """One request whose answer is JSON objects, one on each line. A context manager, for one use.

    `path` is without the API's version, such as `/images/create`; `body` is sent in the pieces
    that it comes in.
    """

    def __init__(
        self,
        client: docker.APIClient,
        path: str,
        *,
        params: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        method: str = "POST",
        body: Iterable[bytes] | None = None,
    ) -> None:
        self._client, self._body = client, body
        url = f"{client.base_url}/v{client.api_version}{path}"
        self._request = requests.Request(method, url, params=params).prepare()
        self._headers = {"User-Agent": "abm", **(headers or {})}
        self._lines: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        self._wire: Any = None
        """The socket, or what stands for it (a TLS socket, a channel of SSH, a pipe)."""
        self._is_hung_up = threading.Event()
        self._is_whole = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name=f"docker {path}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.hang_up()
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            log.warning("A connection to Docker does not end; left behind: %s", self._thread.name)

    def hang_up(self) -> None:
        """End it now, from any thread; the daemon stops what it was doing for it."""
        self._is_hung_up.set()
        self._lines.put(None)
        if self._wire is None:
            return
        try:
            self._wire.shutdown(socket.SHUT_RDWR)
        except (OSError, AttributeError):  # a pipe of Windows cannot be shut down, only closed
            with contextlib.suppress(OSError):
                self._wire.close()

    def lines(self, *, every: float) -> Iterator[Line | None]:
        """Each line, and None whenever there was none for `every` seconds.

        Raises what docker-py and the layers below it raise (`errors.mapped`), and
        `docker.errors.APIError` for a refusal; quiet after `hang_up`.
        """
        while True:
            try:
                line = self._lines.get(timeout=every)
            except queue.Empty:
                yield None
                continue
            if line is None or self._is_hung_up.is_set():
                break
            yield line
        if self._is_hung_up.is_set():
            return
        if self._error is not None:
            raise self._error
        if not self._is_whole:
            raise ConnectionError("The answer ended before its end.")

    def _read(self) -> None:
        connection: HTTPConnection | None = None
        try:
            connection = self._new_connection()
            self._connect(connection)
            self._follow(connection)
        except (*FOREIGN, RunnerError) as error:  # the latter from a link by SSH
            self._error = error
        except AttributeError as error:
            # http.client loses its socket to a shutdown in mid-read
            self._error = ConnectionError(str(error))
        finally:
            if connection is not None:
                connection.close()
            self._lines.put(None)

    def _new_connection(self) -> HTTPConnection:
        adapter: Any = self._client.get_adapter(str(self._request.url))
        pool = adapter.get_connection_with_tls_context(
            self._request, verify=self._client.verify, cert=self._client.cert
        )
        connection: HTTPConnection = pool._new_conn()
        connection.timeout = CONNECT_SECONDS
        return connection

    def _connect(self, connection: HTTPConnection) -> None:
        connection.connect()
        wire = self._wire = connection.sock
        if self._is_hung_up.is_set():
            raise ConnectionError("Hung up before it was connected.")
        connection.timeout = None  # which it sets anew with each request and each answer
        wire.settimeout(None)
        if isinstance(wire, socket.socket) and wire.family in NETWORK:
            _keep_alive(wire)

    def _follow(self, connection: HTTPConnection) -> None:
        parts = urlsplit(str(self._request.url))
        target = f"{parts.path}?{parts.query}"
        method = str(self._request.method)
        with contextlib.suppress(BrokenPipeError):  # a refusal may come before the body is sent
            connection.request(
                method,
                target,
                self._body,
                self._headers,
                chunked=self._body is not None,
                preload_content=False,
            )
        response = connection.getresponse()
        if response.status >= 400:
            said = _message(response.read(REFUSAL_BYTES))
            raise APIError(said, explanation=said)
        self.receive(response.stream(CHUNK_BYTES))
        self._is_whole = True

    def receive(self, chunks: Iterable[bytes]) -> None:
        """Take the answer as it comes, in the reading thread."""
        rest = b""
        for chunk in chunks:
            *whole, rest = (rest + chunk).split(b"\n")
            for raw in whole:
                self._take(raw)
        self._take(rest)

    def _take(self, raw: bytes) -> None:
        if not raw.strip():
            return
        try:
            line = json.loads(raw)
        except ValueError as error:
            raise StreamParseError(str(error)) from error
        if isinstance(line, dict):
            self._lines.put(line)


def _keep_alive(connected: socket.socket) -> None:
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", AFTER_IDLE),
        ("TCP_KEEPINTVL", BETWEEN),
        ("TCP_KEEPCNT", MISSED),
    ):
        if option := getattr(socket, name, None):  # macOS and Windows lack some
            connected.setsockopt(socket.IPPROTO_TCP, option, value)


def _message(body: bytes) -> str:
    """The daemon's own words in a refusal: `{"message": "..."}`."""
    text = body.decode(errors="replace").strip()
    try:
        said = json.loads(text)
    except ValueError:
        return text
    return str(said.get("message") or text) if isinstance(said, dict) else text
