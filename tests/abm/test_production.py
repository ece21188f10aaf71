"""The same abm on PostgreSQL and Redis: web and worker apart, the same names of settings."""

from __future__ import annotations

import base64
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.browser.server import ROOT, free_port
from tests.servers import NO_POSTGRES, NO_REDIS, has_postgres, has_redis, postgres, redis

NAME, PASSWORD = "ada", "correct horse battery"
READY_SECONDS, PUSH_SECONDS, STOP_SECONDS = 30.0, 10.0, 30.0

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not has_postgres(), reason=NO_POSTGRES),
    pytest.mark.skipif(not has_redis(), reason=NO_REDIS),
]


@dataclass(frozen=True)
class Apart:
    """Web and worker, each a process of its own."""

    port: int
    web: subprocess.Popen[bytes]
    worker: subprocess.Popen[bytes]
    log: Path


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    folder, port = tmp_path_factory.mktemp("apart"), free_port()
    log = folder / "log"
    with postgres() as database, redis() as broker, log.open("wb") as out:
        environment = {
            "PATH": os.environ["PATH"],
            "DATA_DIR": str(folder / "data"),
            "PORT": str(port),
            "DATABASE_URL": database,
            "REDIS_URL": broker,
            "ADMIN_USERNAME": NAME,
            "ADMIN_PASSWORD": PASSWORD,
            "CATALOG_URL": "",
        }

        def begin(command: str) -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                [sys.executable, "manage.py", command],
                cwd=ROOT,
                env=environment,
                stdout=out,
                stderr=out,
            )

        web = begin("web")
        try:
            _wait_for(port, web, log)
            worker = begin("worker")
            yield Apart(port, web, worker, log)
        finally:
            for process in (web, locals().get("worker")):
                if process is not None and process.poll() is None:
                    process.kill()
                    process.wait()


def _wait_for(port: int, web: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and web.poll() is None:
        try:
            if Browser(port).get("/healthz")[0] == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(log.read_text(errors="replace")[-3000:])


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
        headers = {"Cookie": self._cookie_line()}
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

    def _cookie_line(self) -> str:
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
            f"Cookie: {self._cookie_line()}",
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


@pytest.fixture
def browser(apart: Apart) -> Browser:
    made = Browser(apart.port)
    made.sign_in()
    return made


def test_the_pages_are_served(browser: Browser) -> None:
    for path in ("/", "/engines/", "/catalog/", "/hosts/", "/jobs/", "/settings/"):
        assert browser.get(path)[0] == 200, path


def test_a_job_is_done_by_the_worker_and_its_pages_hear_of_it(browser: Browser) -> None:
    assert "state-succeeded" in browser.get(done_job(browser))[1]


def done_job(browser: Browser) -> str:
    """The page of a job that the worker has done."""
    page = browser.get("/settings/")[1] + browser.get("/catalog/")[1]
    sync = re.findall(r'"(/catalog/sources/\d+/sync/)"', page)
    assert sync, "the bundled catalog can be synced"
    line = browser.socket("/ws/jobs/")
    status, job = browser.post(sync[0])
    assert status == 302
    # The last word comes from the worker's process, through Redis.
    assert heard(line, b"state-succeeded")
    line.close()
    return job


def test_both_end_when_they_are_asked_to(apart: Apart, browser: Browser) -> None:
    done_job(browser)  # so that both are surely up

    for process in (apart.worker, apart.web):
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_SECONDS) == 0
    assert "Traceback" not in apart.log.read_text(errors="replace")
