"""abm in its parts on PostgreSQL and Redis of a test's own: begin, kill and end each of them."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

from tests.browser.server import ROOT, free_port
from tests.servers import Place, Server, postgres_server, redis_server

NAME, PASSWORD = "ada", "correct horse battery"
READY_SECONDS, PUSH_SECONDS, STOP_SECONDS = 30.0, 10.0, 30.0
POLL_SECONDS = 0.05


class Part:
    """A process of abm with a log of its own."""

    def __init__(
        self, command: str, log: Path, environment: dict[str, str], more: dict[str, str]
    ) -> None:
        self.command, self.log, self.more = command, log, more
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", command],
                cwd=ROOT,
                env=environment | more,
                stdout=out,
                stderr=out,
            )

    @property
    def is_up(self) -> bool:
        return self.process.poll() is None

    def end(self) -> int:
        """As `docker stop` does; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """As a crash does."""
        if self.is_up:
            self.process.kill()
            self.process.wait()

    def said(self) -> str:
        return self.log.read_text(errors="replace")


class Apart:
    """The parts that were begun, and what they share."""

    def __init__(self, folder: Path, *, database: Server, broker: Server, **more: str) -> None:
        self.folder, self.port = folder, free_port()
        self.database, self.broker = database, broker
        self.parts: list[Part] = []
        self._begun = 0
        self.environment = {
            "PATH": os.environ["PATH"],
            "DATA_DIR": str(folder / "data"),
            "PORT": str(self.port),
            "DATABASE_URL": database.url,
            "REDIS_URL": broker.url,
            "ADMIN_USERNAME": NAME,
            "ADMIN_PASSWORD": PASSWORD,
            "CATALOG_URL": "",
            "CATALOG_SYNC": "false",
            **more,
        }

    def begin(self, command: str, **more: str) -> Part:
        """Start a part; web is waited for."""
        log = self.folder / f"{command}-{self._begun}.log"
        self._begun += 1
        part = Part(command, log, self.environment, more)
        self.parts.append(part)
        if command == "web":
            port = int(more.get("PORT", self.port))
            wait_until(lambda: answers(port) or not part.is_up, "web answers")
            assert part.is_up, part.said()[-3000:]
        return part

    def said(self) -> str:
        return "\n".join(f"== {part.command}\n{part.said()[-3000:]}" for part in self.parts)


@contextlib.contextmanager
def apart(folder: Path, *, place: Place | None = None, **more: str) -> Iterator[Apart]:
    """PostgreSQL and Redis, and a place for parts, which are killed at the end."""
    with postgres_server(place) as database, redis_server() as broker:
        made = Apart(folder, database=database, broker=broker, **more)
        try:
            yield made
        finally:
            for part in made.parts:
                part.kill()


def answers(port: int) -> bool:
    try:
        return Browser(port).get("/healthz")[0] == 200
    except OSError:
        return False


def wait_until(is_so: Callable[[], bool], what: str, *, seconds: float = READY_SECONDS) -> float:
    """Look until it is so; how long that took."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if is_so():
            return time.monotonic() - began
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"not within {seconds:g} s: {what}")


class Browser:
    """Keeps cookies, sends forms, opens a socket: as much of a browser as these tests need."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}

    def get(self, path: str) -> tuple[int, str]:
        return self._ask("GET", path, None)

    def post(self, path: str, **form: str) -> tuple[int, str]:
        form["csrfmiddlewaretoken"] = self.cookies["csrftoken"]
        return self._ask("POST", path, urlencode(form))

    def _ask(self, method: str, path: str, body: str | None) -> tuple[int, str]:
        """The status, and where a redirect leads to or what the page says."""
        headers = {"Cookie": self.cookie_line}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        for line in answer.headers.get_all("Set-Cookie") or []:
            name, _, rest = line.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        connection.close()
        return answer.status, answer.getheader("Location") or text

    @property
    def cookie_line(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def sign_in(self) -> None:
        self.get("/accounts/login/")
        status, _ = self.post("/accounts/login/", username=NAME, password=PASSWORD)
        assert status == 302

    def socket(self, path: str) -> socket.socket:
        line = socket.create_connection(("127.0.0.1", self.port), timeout=PUSH_SECONDS)
        head = [
            f"GET {path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            f"Origin: http://127.0.0.1:{self.port}",
            f"Cookie: {self.cookie_line}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        ]
        line.sendall("\r\n".join([*head, "", ""]).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += line.recv(1)
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        return line


def heard(line: socket.socket, wanted: bytes) -> bool:
    """Whether a message with `wanted` comes in time."""
    got, until = b"", time.monotonic() + PUSH_SECONDS
    while time.monotonic() < until:
        try:
            block = line.recv(65_536)
        except TimeoutError:
            return False
        if not block:
            return False
        got += block
        if wanted in got:
            return True
    return False
