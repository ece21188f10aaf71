"""The daemon's events as they come, for who does not wait for them in a thread of its own.

By SSH a host's connection tells when there is something, and what is there is read then: no thread
waits. A socket of this machine tells nothing of the kind and is read by a thread, of which there is
one, since there is one Docker here.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import urlencode

import docker
from docker.errors import APIError, StreamParseError

from hosts.runners.docker.stream import REFUSAL_BYTES, DaemonStream, Line
from hosts.ssh.channel import ChannelSocket
from hosts.ssh.docker_adapter import ChannelAdapter

CHUNK_BYTES = 2**16
HEAD_END = b"\r\n\r\n"
LINE_END = b"\r\n"
ANSWER_SECONDS = 5.0


class Lines(Protocol):
    """Events of one daemon: a context manager that never waits while inside."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def taken(self) -> list[Line]:
        """What came since the last time. Raises ConnectionError at the end, APIError if refused."""

    def hang_up(self) -> None:
        """End it now, from any thread."""


def event_lines(
    client: docker.APIClient, params: Mapping[str, str], *, rung: Callable[[], None]
) -> Lines:
    """`rung` is called, from any thread, when there is something to take."""
    if isinstance(client.get_adapter(client.base_url), ChannelAdapter):
        return _ChannelLines(client, params, rung)
    return _ThreadLines(client, params, rung)


class _ThreadLines(DaemonStream):
    """Read by a thread of its own."""

    def __init__(
        self, client: docker.APIClient, params: Mapping[str, str], rung: Callable[[], None]
    ) -> None:
        super().__init__(client, "/events", params=params, method="GET")
        self._rung = rung

    def taken(self) -> list[Line]:
        found: list[Line] = []
        with contextlib.suppress(queue.Empty):
            while (line := self._lines.get_nowait()) is not None:
                found.append(line)
            if self._error is not None:
                raise self._error
            raise ConnectionError("The stream of events ended.")
        return found

    def _take(self, raw: bytes) -> None:
        super()._take(raw)
        self._rung()

    def _read(self) -> None:
        super()._read()
        self._rung()


class _ChannelLines:
    """Read when the channel says that there is something."""

    def __init__(
        self, client: docker.APIClient, params: Mapping[str, str], rung: Callable[[], None]
    ) -> None:
        self._client, self._rung = client, rung
        self._target = f"/v{client.api_version}/events?{urlencode(params)}"
        self._wire: ChannelSocket | None = None
        self._head: bytes | None = b""
        """Of the answer, as far as it has come; None when it is whole."""
        self._pieces = Pieces()
        self._rest = b""
        """The beginning of a line."""

    def __enter__(self) -> Self:
        adapter: Any = self._client.get_adapter(self._client.base_url)
        wire = self._wire = adapter.open()
        wire.settimeout(ANSWER_SECONDS)
        request = f"GET {self._target} HTTP/1.1\r\nHost: docker\r\nUser-Agent: abm\r\n\r\n"
        wire.sendall(request.encode())
        wire.ring(self._rung)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.hang_up()
        if self._wire is not None:
            self._wire.close()

    def hang_up(self) -> None:
        if self._wire is not None:
            with contextlib.suppress(OSError):
                self._wire.shutdown(socket.SHUT_RDWR)

    def taken(self) -> list[Line]:
        assert self._wire is not None
        found: list[Line] = []
        while self._wire.is_readable and not self._pieces.are_all:
            data = self._wire.recv(CHUNK_BYTES)
            if not data:
                self._pieces.are_all = True
            found += self._read(data)
        if self._pieces.are_all:
            if not found:
                raise ConnectionError("The stream of events ended.")
            self._rung()  # its end is told the next time
        return found

    def _read(self, data: bytes) -> list[Line]:
        if self._head is not None:
            head, end, data = (self._head + data).partition(HEAD_END)
            self._head = None if end else head
            if not end:
                return []
            self._check(head, data)
        if not data:
            return []
        *whole, self._rest = (self._rest + self._pieces.joined(data)).split(b"\n")
        return [line for raw in whole if raw.strip() and (line := _parsed(raw))]

    def _check(self, head: bytes, body: bytes) -> None:
        """Raise APIError for a refusal."""
        status, fields = _of_head(head)
        self._pieces.are_framed = "chunked" in fields.get("transfer-encoding", "").lower()
        if status < 400:
            return
        assert self._wire is not None
        length = min(int(fields.get("content-length") or 0), REFUSAL_BYTES)
        while len(body) < length and (more := self._wire.recv(CHUNK_BYTES)):
            body += more
        said = self._pieces.joined(body).decode(errors="replace").strip()
        raise APIError(said, explanation=said)


class Pieces:
    """Puts a body together that comes in chunks (RFC 9112, 7.1), from bytes as they come."""

    def __init__(self) -> None:
        self.are_framed = True
        """False for a body that goes on to the connection's end."""
        self._raw = b""
        self._left = 0
        """Bytes to come of the chunk under way, with the two that end it."""
        self.are_all = False
        """Whether the last one has come."""

    def joined(self, data: bytes) -> bytes:
        """What these bytes add to the body. Raises StreamParseError for what is no chunk."""
        if not self.are_framed:
            return data
        self._raw += data
        body = b""
        while self._raw:
            if not self._left:
                size, end, rest = self._raw.partition(b"\r\n")
                if not end:
                    break
                self._raw, self._left = rest, _size_of(size) + len(LINE_END)
                self.are_all = self._left == len(LINE_END)
            piece, self._raw = self._raw[: self._left], self._raw[self._left :]
            body += piece[: max(0, self._left - len(LINE_END))]
            self._left -= len(piece)
        return body


def _size_of(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError as error:
        raise StreamParseError(f"{line[:80]!r} is no length of a chunk.") from error


def _of_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and fields."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, status = first.partition(" ")
    if not version.startswith("HTTP/") or not status[:3].isdigit():
        raise ConnectionError(f"What answers is not Docker: {first[:80]}")
    fields = (line.partition(":") for line in lines)
    return int(status[:3]), {name.strip().lower(): value.strip() for name, _, value in fields}


def _parsed(raw: bytes) -> Line | None:
    try:
        line = json.loads(raw)
    except ValueError as error:
        raise StreamParseError(str(error)) from error
    return line if isinstance(line, dict) else None
