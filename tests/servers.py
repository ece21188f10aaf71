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
from pathlib import Path

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


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL that forgets what it has; yields the URL of an empty database."""
    folder = Path(tempfile.mkdtemp(prefix="abm-pg-"))
    user = _unprivileged()
    if user is not None:
        shutil.chown(folder, user)
    initdb, server = program("initdb"), program("postgres")
    assert initdb is not None
    assert server is not None
    data = str(folder / "data")
    subprocess.run(
        [initdb, "-D", data, "-U", "abm", "-A", "trust", "-E", "UTF8", "--no-sync"],
        check=True,
        user=user,
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    options = "-c listen_addresses= -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
    command = [server, "-D", data, "-k", str(folder), *options.split()]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, user=user, cwd=folder, stdout=log, stderr=log)
    try:
        _wait(folder / ".s.PGSQL.5432", process, folder / "log")
        yield f"postgres://abm@/postgres?host={folder}"
    finally:
        _end(process, signal.SIGINT)  # its fast shutdown
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def redis() -> Iterator[str]:
    """A Redis that saves nothing; yields its URL, on a port of the loopback."""
    server = program("redis-server")
    assert server is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="abm-redis-"))
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir"]
    command += [str(folder), "--unixsocket", str(folder / "socket")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait(folder / "socket", process, folder / "log")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        _end(process, signal.SIGTERM)
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
