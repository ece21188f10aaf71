"""PostgreSQL and Redis of a test's own, on sockets in a folder that goes away with them."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

READY_SECONDS = 30
NO_POSTGRES = "no PostgreSQL: apt install postgresql, or set DATABASE_URL"
NO_REDIS = "no Redis: apt install redis-server"


def program(name: str) -> str | None:
    """Where a program is; Debian keeps PostgreSQL's out of the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(found[-1]) if found else None)


def has_postgres() -> bool:
    return program("initdb") is not None and program("postgres") is not None


def has_redis() -> bool:
    return program("redis-server") is not None


@dataclass(frozen=True)
class Place:
    """Where a server keeps its data, and what else its environment has."""

    folder: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)


class Server:
    """A server that can be killed and started again on what it keeps."""

    def __init__(self, url: str, command: list[str], folder: Path, sign: str, **how: Any) -> None:
        self.url, self._command, self._folder, self._sign = url, command, folder, sign
        self._how = how
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin, and wait until it takes connections."""
        sign, file = self._folder / self._sign, self._folder / "log"
        with file.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, **self._how)
        _wait(sign, self._process, file)

    def end(self, number: signal.Signals) -> None:
        """Send the signal and wait for the end; does nothing to one that has ended."""
        if self._process is not None:
            _end(self._process, number)
        self._process = None


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL that forgets what it has; yields the URL of an empty database."""
    with postgres_server() as server:
        yield server.url


@contextlib.contextmanager
def postgres_server(place: Place | None = None) -> Iterator[Server]:
    """The same, to be ended (SIGINT closes every connection at once) and started again."""
    place = place or Place()
    folder = Path(tempfile.mkdtemp(prefix="abm-pg-", dir=place.folder))
    user = _unprivileged()
    if user is not None:
        shutil.chown(folder, user)
    initdb, binary = program("initdb"), program("postgres")
    assert initdb is not None
    assert binary is not None
    data = str(folder / "data")
    subprocess.run(
        [initdb, "-D", data, "-U", "abm", "-A", "trust", "-E", "UTF8", "--no-sync"],
        check=True,
        user=user,
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    options = "-c listen_addresses= -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
    command = [binary, "-D", data, "-k", str(folder), *options.split()]
    url = f"postgres://abm@/postgres?host={folder}"
    environment = os.environ | place.environment
    server = Server(url, command, folder, ".s.PGSQL.5432", user=user, cwd=folder, env=environment)
    try:
        server.start()
        yield server
    finally:
        server.end(signal.SIGINT)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def redis() -> Iterator[str]:
    """A Redis that saves nothing; yields its URL, on a port of the loopback."""
    with redis_server() as server:
        yield server.url


@contextlib.contextmanager
def redis_server() -> Iterator[Server]:
    """The same, to be ended and started again, empty."""
    binary = program("redis-server")
    assert binary is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="abm-redis-"))
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir"]
    command += [str(folder), "--unixsocket", str(folder / "socket")]
    server = Server(f"redis://127.0.0.1:{port}/0", command, folder, "socket")
    try:
        server.start()
        yield server
    finally:
        server.end(signal.SIGTERM)
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged() -> str | None:
    """PostgreSQL will not run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _wait(path: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))
            return
        time.sleep(0.05)
    raise AssertionError(f"it did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _end(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    process.send_signal(number)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
