"""`manage.py serve` in a process of its own: start, end, kill -9, and what the server refuses."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import psutil
import pytest

from tests.browser.server import ROOT, Served, free_port

MB = 1_000_000
START_LIMIT, STOP_LIMIT = 6.0, 8.0
"""Seconds; generous, for a loaded machine. `make bench` measures the real ones."""

pytestmark = pytest.mark.process
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
UNDER_WAY = 0.3
"""Seconds in which a request that was sent is surely being answered."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One abm that the tests which only ask share."""
    server = Served(tmp_path_factory.mktemp("abm"), MAX_UPLOAD_MB="2")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Served]:
    """An abm that a test starts, ends and kills itself."""
    server = Served(tmp_path)
    yield server
    server.kill()


def ask(
    server: Served, method: str = "GET", path: str = "/", **headers: str
) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, text, {key.lower(): value for key, value in answer.getheaders()}


def manage(server: Served, *words: str, **values: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT,
        env={**server.environment, **values},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_health_is_told_without_a_login(served: Served) -> None:
    status, text, headers = ask(served, path="/healthz")

    assert (status, json.loads(text)) == (200, {"status": "ok"})
    assert headers["cache-control"] == "no-store"


def test_pages_need_a_login(served: Served) -> None:
    status, _, headers = ask(served, path="/jobs/")

    assert status == 302
    assert headers["location"] == "/accounts/login/?next=/jobs/"


def test_static_files_come_compressed_and_may_be_kept(served: Served) -> None:
    page = ask(served, path="/accounts/login/")[1]
    found = re.search(r'href="(/static/app\.[0-9a-f]{12}\.css)"', page)
    assert found, page[:800]

    status, _, headers = ask(served, path=found[1])

    assert status == 200
    assert "immutable" in headers["cache-control"]


def test_a_file_outside_static_is_not_served(served: Served) -> None:
    for path in ("/static/../secret_key", "/static/%2e%2e/secret_key", "/static//etc/passwd"):
        assert ask(served, path=path)[0] in {302, 400, 404}


def test_a_host_that_abm_does_not_know_is_told_what_to_set(served: Served) -> None:
    status, text, _ = ask(served, Host="evil.example")

    assert status == 400
    assert "ALLOWED_HOSTS=evil.example" in text


def spoken(server: Served, head: str, chunks: Iterator[bytes]) -> tuple[bytes, int]:
    """The first bytes of the answer, and how many bytes of the body went out before it."""
    sent = 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as line:
        line.sendall(head.encode())
        try:
            for chunk in chunks:
                line.setblocking(False)
                try:
                    if line.recv(1, socket.MSG_PEEK):
                        break
                except BlockingIOError:
                    pass
                line.setblocking(True)
                line.sendall(chunk)
                sent += len(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass
        line.settimeout(10)
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.endswith(b"\n"):
            got = line.recv(65_536)
            if not got:
                break
            answer += got
    return answer, sent


@pytest.mark.parametrize("is_chunked", [False, True])
def test_an_upload_that_is_too_large_is_refused_before_it_is_stored(
    served: Served, is_chunked: bool
) -> None:
    block = b"0" * 65_536
    length = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {200 * MB}"
    head = (
        f"POST /accounts/login/ HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
        f"Content-Type: application/octet-stream\r\n{length}\r\n\r\n"
    )
    chunk = b"%x\r\n%s\r\n" % (len(block), block) if is_chunked else block

    answer, sent = spoken(served, head, iter([chunk] * (200 * MB // len(block))))

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"larger than 2 MB" in answer
    assert b"MAX_UPLOAD_MB" in answer
    assert sent < 40 * MB
    assert ask(served, path="/healthz")[0] == 200


def test_a_program_that_sends_too_much_gets_a_code(served: Served) -> None:
    head = (
        f"POST /api/samples?name=x HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
        f"Content-Type: audio/wav\r\nContent-Length: {200 * MB}\r\n\r\n"
    )

    answer, _ = spoken(served, head, iter([b"0" * 65_536]))

    head, _, body = answer.decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 413 ")
    assert "Content-Type: application/json" in head
    assert json.loads(body)["detail"].startswith("[BODY_TOO_LARGE]limit:")
    assert "MAX_UPLOAD_MB" in json.loads(body)["message"]


def test_a_body_of_the_allowed_size_reaches_the_page(served: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    connection.request("POST", "/accounts/login/", body=b"0" * 2 * MB)

    assert connection.getresponse().status == 403  # it came as far as the CSRF check


def test_a_second_abm_on_the_same_data_is_told_which_process_has_it(served: Served) -> None:
    assert served.process is not None

    done = manage(served, "serve", PORT=str(free_port()))

    assert done.returncode == 1
    assert f"in use by abm with the process number {served.process.pid}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_told(served: Served, tmp_path: Path) -> None:
    done = manage(served, "serve", DATA_DIR=str(tmp_path / "data"))

    assert done.returncode == 1
    assert f"Port {served.port} on 127.0.0.1 cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="/proc is there on Linux only")
def test_a_data_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    # /proc refuses to everybody, also to root, whom file modes do not stop.
    server = Served(tmp_path, DATA_DIR="/proc/abm", SECRET_KEY="given")

    done = manage(server, "serve")

    assert done.returncode == 1
    assert "The data directory /proc/abm cannot be used" in done.stderr
    assert "DATA_DIR" in done.stderr
    assert "Traceback" not in done.stderr


def test_with_redis_serve_says_which_commands_to_use(tmp_path: Path) -> None:
    done = manage(Served(tmp_path, REDIS_URL="redis://127.0.0.1:1/0"), "serve")

    assert done.returncode == 1
    assert "manage.py web, manage.py worker" in done.stderr


def test_it_prints_the_address_and_a_link_for_the_first_admin(own: Served) -> None:
    own.start()

    assert f"abm 0.1.0 is at {own.url}" in said(own, "engines go on")
    path = own.setup_link().removeprefix(own.url)
    assert ask(own, path=path)[0] == 200


def test_with_an_admin_in_the_settings_no_link_is_printed(tmp_path: Path) -> None:
    server = Served(tmp_path, ADMIN_USERNAME="ada", ADMIN_PASSWORD="correct horse battery")
    try:
        server.start()
        assert "/setup/" not in said(server, "engines go on")
    finally:
        server.kill()


def test_on_all_interfaces_it_prints_the_address_on_the_network(tmp_path: Path) -> None:
    server = Served(tmp_path, HOST="0.0.0.0")
    try:
        server.start()
        text = said(server, "engines go on")
    finally:
        server.kill()
    assert f"abm 0.1.0 is at http://127.0.0.1:{server.port}" in text
    found = re.findall(r"on the network: http://(\S+):\d+", text)
    assert all(not name.startswith("127.") for name in found)


def test_ctrl_c_ends_it_soon_and_a_second_start_is_quick(own: Served) -> None:
    own.start()
    before = set(psutil.Process(own.process.pid).children(recursive=True)) if own.process else set()

    began = time.monotonic()
    assert own.stop() == 0

    assert time.monotonic() - began < STOP_LIMIT
    assert not any(child.is_running() for child in before)
    assert "Traceback" not in own.said()
    assert own.start() < START_LIMIT


def test_sigterm_lets_the_request_under_way_finish(own: Served) -> None:
    own.start()
    assert own.process is not None
    path = own.setup_link().removeprefix(own.url)
    _, page, headers = ask(own, path=path)
    token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[0]
    form = {"csrfmiddlewaretoken": token, "name": "ada", "password": "correct horse battery"}
    line = http.client.HTTPConnection("127.0.0.1", own.port, timeout=10)
    locked = sqlite3.connect(own.folder / "data" / "abm.sqlite3", isolation_level=None)
    locked.execute("BEGIN IMMEDIATE")  # so that the page has to wait
    line.request("POST", path, urlencode(form), {**FORM, "Cookie": headers["set-cookie"]})
    time.sleep(UNDER_WAY)

    own.process.send_signal(signal.SIGTERM)
    time.sleep(UNDER_WAY)
    locked.execute("ROLLBACK")

    assert line.getresponse().status == 302
    assert own.process.wait(STOP_LIMIT) == 0
    assert locked.execute("SELECT username, role FROM accounts_user").fetchall() == [
        ("ada", "admin")
    ]
    locked.close()


def test_a_disk_that_takes_no_more_is_told(tmp_path: Path) -> None:
    # A limit on the size of files fails like a full disk does, and needs no disk to fill.
    code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
    code += "from django.core.management import execute_from_command_line as run; "
    code += "run(['manage.py', 'serve'])"
    server = Served(tmp_path)

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**server.environment, "DJANGO_SETTINGS_MODULE": "abm.settings"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode != 0
    assert f"The data directory {tmp_path / 'data'} cannot be used" in done.stderr
    assert "Free some space" in done.stderr


def test_after_kill_9_it_starts_again_and_ends_what_died(own: Served) -> None:
    own.start()
    old = own.setup_link().removeprefix(own.url)
    own.kill()
    made = manage(own, "shell", "-c", RUNNING_JOB)
    assert made.returncode == 0, made.stderr

    assert own.start() < START_LIMIT

    told = manage(own, "shell", "-c", TOLD_JOB).stdout.strip().splitlines()[-1]
    status, error = told.split("|")
    assert status == "failed"
    assert "abm" in error
    assert ask(own, path=old)[0] == 404, "only the newest link counts"
    assert ask(own, path=own.setup_link().removeprefix(own.url))[0] == 200


RUNNING_JOB = """
from django.utils import timezone
from jobs.models import Job
now = timezone.now()
Job.objects.create(action="install", task="engines.run_job", subject="Tiny", status="running",
                   started_at=now, heartbeat_at=now, worker="gone")
"""
TOLD_JOB = """
from jobs.models import Job
job = Job.objects.get()
print(f"{job.status}|{job.error}")
"""


def test_many_at_once_are_all_answered(served: Served) -> None:
    statuses: list[int] = []

    def several() -> None:
        for _ in range(10):
            statuses.append(ask(served, path="/accounts/login/")[0])

    threads = [threading.Thread(target=several) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses == [200] * 80


def said(server: Served, last: str) -> str:
    """What it printed, up to the last line of the greeting."""
    until = time.monotonic() + 10
    while last not in server.said() and time.monotonic() < until:
        time.sleep(0.02)
    return server.said()
