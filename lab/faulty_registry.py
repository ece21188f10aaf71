"""A door in front of a registry that counts what is asked and fails as it is told to.

It listens on a port of its own on the loopback, so its images have names of their own:
`127.0.0.1:<port>/lab/tone`. Stopped and started again it keeps its port.
"""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, cast

from lab.faults import Fault, Login, error_body

UPSTREAM_SECONDS = 60.0
CHUNK_BYTES = 32 * 1024
POLL_SECONDS = 0.02
NOT_PASSED_ON = {"connection", "transfer-encoding", "content-length", "authorization", "host"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that came: when by time.monotonic(), and what it was answered with."""

    at: float
    method: str
    path: str
    status: int


class FaultyRegistry:
    """A context manager: listening inside."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.login: Login | None = None
        self.asked: list[Asked] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._port = 0
        self._server: _Server | None = None
        self.released = threading.Event()
        self.in_flight = 0
        """Requests that are being answered now, those that stall among them."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, on the port that it had before if it had one."""
        self.released = threading.Event()
        self._server = _Server(("127.0.0.1", self._port), _Answers)
        self._server.door = self
        self._port = self._server.server_address[1]
        serve = self._server.serve_forever
        threading.Thread(target=serve, args=(POLL_SECONDS,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on and cut those that are open, as a dead registry does."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            server.cut_all()
            self.released.set()

    def fail(self, fault: Fault) -> None:
        """Add a rule; the newest that matches a request counts."""
        with self._lock:
            if self.released.is_set():
                self.released = threading.Event()
            self._faults.insert(0, fault)

    def heal(self) -> None:
        """Drop all rules; what stalls goes on."""
        with self._lock:
            self._faults.clear()
        self.released.set()

    def count(self, where: str = "", *, method: str = "") -> int:
        """How many requests came whose path matches."""
        rule = Fault(where, method)
        return sum(rule.matches(one.method, one.path) for one in list(self.asked))

    def fault_for(self, method: str, path: str) -> Fault:
        """The rule for this request, counted as used; an empty one if there is none."""
        with self._lock:
            for fault in self._faults:
                if fault.matches(method, path):
                    fault.take()
                    return fault
        return Fault()

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Count a request while it is being answered."""
        with self._lock:
            self.in_flight += 1
        try:
            yield
        finally:
            with self._lock:
                self.in_flight -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    door: FaultyRegistry

    def __init__(self, *args: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def cut_all(self) -> None:
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections break here by intention."""


class _Answers(BaseHTTPRequestHandler):
    """Passes each request on to the registry behind, or fails by a rule."""

    protocol_version = "HTTP/1.1"
    released: threading.Event
    """The one of the moment in which the request came."""

    def do_GET(self) -> None:
        door = cast(_Server, self.server).door
        self.released = door.released
        with door.noted():
            self._answer(door)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def log_message(self, format: str, *words: object) -> None:
        """The door keeps its own list."""

    def _answer(self, door: FaultyRegistry) -> None:
        body = self._body()
        given = self.headers.get("Authorization", "")
        if door.login is not None and self.path.startswith("/token"):
            self._give_token(door, door.login, is_right=given == door.login.basic)
            return
        if door.login is not None and not door.login.admits(given):
            challenge = door.login.challenge(door.address, self.path)
            self._say(door, 401, error_body(401), {"WWW-Authenticate": challenge})
            return
        fault = door.fault_for(self.command, self.path)
        if fault.is_silent and not self._waits():
            self.close_connection = True
            return
        if fault.status is not None:
            self._say(door, fault.status, error_body(fault.status), dict(fault.headers))
            return
        self._pass_on(door, fault, body)

    def _give_token(self, door: FaultyRegistry, login: Login, *, is_right: bool) -> None:
        if is_right:
            token = f'{{"token": "{login.token}", "expires_in": 300}}'
            self._say(door, 200, token.encode(), {})
        else:
            self._say(door, 401, error_body(401), {})

    def _say(self, door: FaultyRegistry, status: int, body: bytes, more: dict[str, str]) -> None:
        self._head(door, status, {"Content-Type": "application/json", **more}, len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(
        self, door: FaultyRegistry, status: int, headers: dict[str, str], length: int
    ) -> None:
        door.asked.append(Asked(time.monotonic(), self.command, self.path, status))
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _pass_on(self, door: FaultyRegistry, fault: Fault, body: bytes) -> None:
        host, _, port = door.upstream.partition(":")
        behind = http.client.HTTPConnection(host, int(port), timeout=UPSTREAM_SECONDS)
        # Its own name is kept, so that the registry's Location points back to this door; a daemon
        # sends several lines of Accept.
        names = {name.lower() for name in self.headers} - NOT_PASSED_ON | {"host"}
        headers = {name: ", ".join(self.headers.get_all(name) or []) for name in names}
        with contextlib.closing(behind):
            behind.request(self.command, self.path, body, headers)
            answer = behind.getresponse()
            kept = {k: v for k, v in answer.getheaders() if k.lower() not in NOT_PASSED_ON}
            length = int(answer.getheader("Content-Length") or 0)
            self._head(door, answer.status, kept, length)
            if self.command != "HEAD":
                self._copy(answer, length, fault)

    def _copy(self, answer: http.client.HTTPResponse, length: int, fault: Fault) -> None:
        sent = 0
        while sent < length:
            limits = [
                limit for limit in (fault.stalls_after, fault.cuts_after) if limit is not None
            ]
            if sent in limits:
                if sent == fault.cuts_after or not self._waits():
                    self.close_connection = True
                    return
                fault = Fault()
                continue
            most = min([CHUNK_BYTES, *(limit - sent for limit in limits if limit > sent)])
            if fault.bytes_per_second:
                most = min(most, max(fault.bytes_per_second // 10, 1))
            part = answer.read(most)
            sent += len(part)
            if fault.corrupts and sent == length:
                part = part[:-1] + bytes([part[-1] ^ 1])
            self.wfile.write(part)
            if fault.bytes_per_second:
                self.released.wait(len(part) / fault.bytes_per_second)

    def _waits(self) -> bool:
        """Stall until healed; False when the other side hung up first, or the door was stopped."""
        self.wfile.flush()
        while not self.released.wait(POLL_SECONDS):
            if select.select([self.connection], [], [], 0)[0]:
                return False
        return True

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)
