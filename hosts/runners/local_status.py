"""What is true of a local engine's process: found by its run.json, judged by its exit.json."""

from __future__ import annotations

import contextlib
import re
import signal
import time
from datetime import UTC, datetime
from typing import Any

import psutil

from hosts.runners.base import EngineEndpoint, EngineExit, EngineStatus
from hosts.runners.launcher import ticks_of
from hosts.runners.local_files import EngineFiles, read_mark

EXIT_SECONDS = 1.0
RAISED = re.compile(r"^[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt|Warning)\b")
"""A traceback's last line."""

SIGNALS: dict[int, str] = {
    signal.SIGKILL: "It was killed (signal 9): by a person, or because memory ran out.",
    signal.SIGSEGV: "It crashed (signal 11, a fault in native code).",
    signal.SIGABRT: "It gave up (signal 6); its last lines may say why.",
    signal.SIGTERM: "It was ended from outside (signal 15).",
    signal.SIGILL: "It uses instructions that this processor lacks (signal 4).",
}


def endpoint_at(port: int) -> EngineEndpoint:
    return EngineEndpoint(f"http://127.0.0.1:{port}", port)


def process_of(files: EngineFiles) -> psutil.Process | None:
    """The engine's process if it lives: by its number *and* the time of its start."""
    run = read_mark(files.run_mark)
    return living(run.get("pid"), run.get("ticks"), run.get("started_at"))


def living(pid: object, ticks: object, started_at: object) -> psutil.Process | None:
    if not isinstance(pid, int):
        return None
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if ticks is not None:
            return process if ticks_of(pid) == ticks else None
        is_same = isinstance(started_at, float) and abs(process.create_time() - started_at) < 3
    except psutil.Error:
        return None
    return process if is_same else None


def status(files: EngineFiles, *, is_installed: bool) -> EngineStatus:
    """What is true of the engine's process now."""
    run = read_mark(files.run_mark)
    process = process_of(files)
    if process is None:
        return EngineStatus(is_installed, is_running=False, exit=_exit(files, run))
    family = [process]
    with contextlib.suppress(psutil.Error):
        family += process.children(recursive=True)
    memory, ports = _usage(family)
    return EngineStatus(
        is_installed,
        is_running=True,
        endpoint=endpoint_at(int(run["port"])),
        pid=process.pid,
        started_at=datetime.fromtimestamp(run["started_at"], UTC),
        memory_bytes=memory,
        listening_ports=ports,
    )


def _usage(family: list[psutil.Process]) -> tuple[int, tuple[int, ...]]:
    """(bytes of memory, ports listened on) of those that are still there."""
    memory, ports = 0, set[int]()
    for member in family:
        with contextlib.suppress(psutil.Error):
            memory += member.memory_info().rss
            ports |= {
                connection.laddr.port
                for connection in member.net_connections("tcp")
                if connection.status == psutil.CONN_LISTEN
            }
    return memory, tuple(sorted(ports))


def _exit(files: EngineFiles, run: dict[str, Any]) -> EngineExit | None:
    if not run:
        return None
    ended = _ending(files, run)
    if ended is None:
        return EngineExit(None, reason="It and its launcher are gone without a trace.")
    number, code = ended["signal"], ended["code"]
    at = datetime.fromtimestamp(ended["at"], UTC)
    if number is not None:
        name = SIGNALS.get(number, f"It was ended by signal {number}.")
        return EngineExit(at, signal=number, reason=name)
    if code == 0:
        return EngineExit(at, code=0, reason="It ended by itself as if it were done (status 0).")
    said = str(ended.get("last_line", "")).strip()
    cause = f": {said[:300].rstrip('.')}" if RAISED.match(said) else ""
    return EngineExit(at, code=code, reason=f"It ended with status {code}{cause}.")


def _ending(files: EngineFiles, run: dict[str, Any]) -> dict[str, Any] | None:
    """What the launcher wrote of this run's end. It gets a moment for it, as long as it lives."""
    until = time.monotonic() + EXIT_SECONDS
    while True:
        has_launcher = living(run.get("launcher"), run.get("launcher_ticks"), run["started_at"])
        ended = read_mark(files.exit_mark)
        if ended.get("pid") == run.get("pid"):
            return ended
        if has_launcher is None or time.monotonic() > until:
            return None
        time.sleep(0.01)
