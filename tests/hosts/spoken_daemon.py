"""A server that answers as a Docker daemon does, on a unix socket or with TLS on a port.

The answers were recorded from Docker 20.10.24; a test changes what it is about.
"""

from __future__ import annotations

import json
import os
import platform
import socketserver
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

VERSION: dict[str, Any] = {
    "Components": [
        {"Name": "Engine", "Version": "20.10.24+dfsg1", "Details": {"ApiVersion": "1.41"}},
        {"Name": "containerd", "Version": "1.6.20~ds1", "Details": {}},
        {"Name": "runc", "Version": "1.1.5+ds1", "Details": {}},
    ],
    "Version": "20.10.24+dfsg1",
    "ApiVersion": "1.41",
    "MinAPIVersion": "1.12",
    "Os": "linux",
    "Arch": "amd64",
}
INFO: dict[str, Any] = {
    "Driver": "overlay2",
    "DriverStatus": [["Backing Filesystem", "extfs"], ["Supports d_type", "true"]],
    "CgroupVersion": "1",
    "KernelVersion": platform.release(),
    "OperatingSystem": "Debian GNU/Linux 12 (bookworm)",
    "OSType": "linux",
    "Architecture": "x86_64",
    "NCPU": 2,
    "MemTotal": 25276514304,
    "DockerRootDir": "/",
    "Name": platform.node(),
    "Runtimes": {"io.containerd.runc.v2": {"path": "runc"}, "runc": {"path": "runc"}},
    "SecurityOptions": ["name=seccomp,profile=default"],
    "Warnings": None,
}


@dataclass
class Answers:
    """What the daemon says, and the paths that it was asked for."""

    version: dict[str, Any] = field(default_factory=lambda: dict(VERSION))
    info: dict[str, Any] = field(default_factory=lambda: dict(INFO))
    status: int = 200
    body: bytes | None = None
    """Sent instead of what was asked for."""
    is_cut: bool = False
    """The connection ends in the middle of an answer."""
    asked: list[str] = field(default_factory=list)


class Asked(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        answers: Answers = self.server.answers
        answers.asked.append(self.path)
        if answers.is_cut:
            self._send_half()
            return
        said = answers.info if self.path.endswith("/info") else answers.version
        body = json.dumps(said).encode() if answers.body is None else answers.body
        self.send_response(answers.status)
        if self.path == "/_ping" and answers.body is None:
            body = b"OK"
            self.send_header("Api-Version", str(answers.version.get("ApiVersion", "")))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_half(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"40\r\n{")
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        return None


class UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


class PortServer(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A refused handshake is what some tests are about."""


@contextmanager
def folder_for_sockets() -> Iterator[Path]:
    """A short path that other users may pass: sockets hold 107 letters."""
    with tempfile.TemporaryDirectory(prefix="abm-s") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@contextmanager
def speaking(path: Path, answers: Answers | None = None) -> Iterator[Answers]:
    """A daemon on the socket `path`, as old as the machine's start for who asks its age."""
    with UnixServer(str(path), Asked) as server:
        os.utime(path, (0, 0))
        yield from _served(server, answers or Answers())


@contextmanager
def speaking_tls(context: ssl.SSLContext | None, answers: Answers) -> Iterator[int]:
    """A daemon on a free port of 127.0.0.1; gives the port. Plain without `context`."""
    with PortServer(("127.0.0.1", 0), Asked) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        for _ in _served(server, answers):
            yield int(server.server_address[1])


def _served(server: Any, answers: Answers) -> Iterator[Answers]:
    server.answers = answers
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield answers
    finally:
        server.shutdown()
        thread.join(5)
