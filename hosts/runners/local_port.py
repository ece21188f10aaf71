"""Which port a local engine gets, and who holds it when there is none."""

from __future__ import annotations

import contextlib
import fcntl
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil

from hosts.runners.base import EngineSpec, PortTaken
from hosts.runners.local_files import EngineFiles, read_mark
from hosts.runners.local_status import living


@contextlib.contextmanager
def one_start_at_a_time(folder: Path) -> Iterator[None]:
    """Two engines that start at once must not be given one port: neither listens on it yet."""
    with (folder / ".starting").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ports_of_others(files: EngineFiles) -> frozenset[int]:
    """Ports that were given to the other engines which live."""
    runs = [
        read_mark(mark)
        for mark in files.folder.parent.glob(f"*/{files.run_mark.name}")
        if mark != files.run_mark
    ]
    return frozenset(
        int(run.get("port", 0))
        for run in runs
        if living(run.get("pid"), run.get("ticks"), run.get("started_at"))
    )


def choose_port(spec: EngineSpec, *, held: frozenset[int] = frozenset()) -> int:
    """The port it had, else the first free one of the range and not `held`. Raises PortTaken."""
    wanted = [spec.preferred_port] if spec.preferred_port in spec.ports else []
    ports: list[int] = [port for port in (*wanted, *spec.ports) if port is not None]
    for port in ports:
        if port not in spec.taken_ports | held and _is_free(port):
            return port
    first, last = spec.ports.start, spec.ports.stop - 1
    who = holder_of(first)
    raise PortTaken(
        f"Every port from {first} to {last} is taken{who}. End one of the programs there, or let "
        "ENGINE_PORT_START and ENGINE_PORT_MAX name other ports."
    )


def holder_of(port: int) -> str:
    """` (8766 by nginx, process 812)`, or empty where that cannot be told."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            is_it = connection.laddr and connection.laddr.port == port
            if is_it and connection.status == psutil.CONN_LISTEN and connection.pid:
                name = psutil.Process(connection.pid).name()
                return f" ({port} by {name}, process {connection.pid})"
    return ""


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
