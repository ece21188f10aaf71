"""A real socket on which a recorded stream of Docker comes again, with silence where wanted."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker

FOREVER = 30.0
"""Seconds of a silence: longer than any test waits."""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
IMAGE = {
    "Id": "sha256:" + "1" * 64,
    "RepoDigests": ["127.0.0.1:5000/lab/mid@sha256:" + "2" * 64],
    "Size": 24_000_000,
    "Os": "linux",
    "Architecture": "amd64",
}


@dataclass
class Replay:
    """What the daemon will do, and what it saw.

    It listens on the Unix socket `path`, or with `tls` on a port of the loopback.
    """

    path: Path
    stream: Sequence[dict[str, Any]] = ()
    silent_after: int | None = None
    """Lines after which it says nothing more, keeping the connection; -1: not even the head."""
    cuts_off: bool = False
    """It dies after the stream, without the end that HTTP wants."""
    refusal: tuple[int, str] | None = None
    """Status and message instead of a stream."""
    image: dict[str, Any] | None = field(default_factory=lambda: dict(IMAGE))
    tls: ssl.SSLContext | None = None
    port: int = 0
    requests: list[str] = field(default_factory=list)
    is_silent: threading.Event = field(default_factory=threading.Event)
    was_hung_up: threading.Event = field(default_factory=threading.Event)

    def client(self) -> docker.APIClient:
        return docker.APIClient(base_url=f"unix://{self.path}", version="1.41", timeout=5)

    def answer(self, connected: socket.socket) -> None:
        connected.settimeout(FOREVER)
        with contextlib.suppress(OSError), self._wrapped(connected) as connected:
            request = connected.recv(65536).decode()
            self.requests.append(request)
            if "/images/create" in request:
                self._pull(connected)
            else:
                self._inspect(connected)

    def _wrapped(self, connected: socket.socket) -> socket.socket:
        return self.tls.wrap_socket(connected, server_side=True) if self.tls else connected

    def _pull(self, connected: socket.socket) -> None:
        if self.refusal:
            _answer(connected, *self.refusal)
            return
        if self.silent_after == -1:
            self._wait(connected)
            return
        connected.sendall(HEAD)
        for number, line in enumerate(self.stream, start=1):
            body = json.dumps(line).encode() + b"\r\n"
            connected.sendall(f"{len(body):x}\r\n".encode() + body + b"\r\n")
            if number == self.silent_after:
                self._wait(connected)
                return
        if not self.cuts_off:
            connected.sendall(b"0\r\n\r\n")

    def _wait(self, connected: socket.socket) -> None:
        self.is_silent.set()
        if connected.recv(1) == b"":
            self.was_hung_up.set()

    def _inspect(self, connected: socket.socket) -> None:
        if self.image is None:
            _answer(connected, 404, "No such image: 127.0.0.1:5000/lab/mid:1")
            return
        body = json.dumps(self.image).encode()
        connected.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def _answer(connected: socket.socket, status: int, message: str) -> None:
    body = json.dumps({"message": message}).encode()
    head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\n"
    connected.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


@contextlib.contextmanager
def replaying(replay: Replay) -> Iterator[Replay]:
    """Serve until the end of the block; each connection in a thread of its own."""
    with socket.socket(socket.AF_INET if replay.tls else socket.AF_UNIX) as listening:
        listening.bind(("127.0.0.1", 0) if replay.tls else str(replay.path))
        listening.listen()
        replay.port = listening.getsockname()[1] if replay.tls else 0

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connected, _ = listening.accept()
                    threading.Thread(target=replay.answer, args=(connected,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield replay
        finally:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
