"""The processes of local engines: started, found again, judged when they ended, stopped."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from hosts.runners.base import (
    EngineEndpoint,
    EngineExit,
    EngineSpec,
    EngineStatus,
    HostNotReady,
    PortTaken,
    StartFailed,
)
from hosts.runners.launcher import ticks_of
from hosts.runners.local_environment import engine_environment
from hosts.runners.local_files import EngineFiles, read_mark

LAUNCHER = Path(__file__).with_name("launcher.py")
LOG_BYTES, LOG_COUNT = 5_000_000, 3
LAUNCH_SECONDS = 10.0
SHUTDOWN_SECONDS = 2.0
KILL_SECONDS = 5.0
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


def start(spec: EngineSpec, files: EngineFiles) -> EngineEndpoint:
    """Start the engine under its launcher. Raises PortTaken, StartFailed or HostNotReady."""
    end(files, grace=1.0)
    port = choose_port(spec)
    for mark in (files.run_mark, files.exit_mark):
        mark.unlink(missing_ok=True)
    config = {
        "argv": [str(files.python), "server.py", "--port", str(port)],
        "cwd": str(files.source),
        "folder": str(files.folder),
        "port": port,
        "log_bytes": LOG_BYTES,
        "log_count": LOG_COUNT,
    }
    try:
        for folder in (spec.samples_dir, spec.models_dir):
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
        files.config.write_text(json.dumps(config))
        launched = subprocess.run(
            [sys.executable, "-I", "-S", str(LAUNCHER), str(files.config)],
            env=engine_environment(spec, files, port=port),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            check=True,
            timeout=LAUNCH_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StartFailed(f"{spec.name} could not be started: {error}") from error
    if launched.stdout != b"ok":
        said = launched.stdout.decode("utf-8", "replace") or "its launcher ended without a word"
        raise StartFailed(f"{spec.name} could not be started: {said}")
    return _endpoint(port)


def _endpoint(port: int) -> EngineEndpoint:
    return EngineEndpoint(f"http://127.0.0.1:{port}", port)


def choose_port(spec: EngineSpec) -> int:
    """The port it had, else the first free one of the range. Raises PortTaken."""
    wanted = [spec.preferred_port] if spec.preferred_port in spec.ports else []
    ports: list[int] = [port for port in (*wanted, *spec.ports) if port is not None]
    for port in ports:
        if port not in spec.taken_ports and _is_free(port):
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


def process_of(files: EngineFiles) -> psutil.Process | None:
    """The engine's process if it lives: by its number *and* the time of its start."""
    run = read_mark(files.run_mark)
    return _living(run.get("pid"), run.get("ticks"), run.get("started_at"))


def _living(pid: object, ticks: object, started_at: object) -> psutil.Process | None:
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
    try:
        family = [process, *process.children(recursive=True)]
        memory = sum(member.memory_info().rss for member in family)
        ports = {
            connection.laddr.port
            for member in family
            for connection in member.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
    except psutil.Error:
        memory, ports = None, set()
    return EngineStatus(
        is_installed,
        is_running=True,
        endpoint=_endpoint(int(run["port"])),
        pid=process.pid,
        started_at=datetime.fromtimestamp(run["started_at"], UTC),
        memory_bytes=memory,
        listening_ports=tuple(sorted(ports)),
    )


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
        has_launcher = _living(run.get("launcher"), run.get("launcher_ticks"), run["started_at"])
        ended = read_mark(files.exit_mark)
        if ended.get("pid") == run.get("pid"):
            return ended
        if has_launcher is None or time.monotonic() > until:
            return None
        time.sleep(0.01)


def end(files: EngineFiles, *, grace: float) -> None:
    """Ask by POST /shutdown, then SIGTERM, then SIGKILL, each with its time limit."""
    process = process_of(files)
    if process is None:
        return
    run = read_mark(files.run_mark)
    is_gone = _asked_to_shut_down(int(run.get("port", 0))) and _gone(process, SHUTDOWN_SECONDS)
    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, KILL_SECONDS)):
        if not is_gone:
            _send(process.pid, number)
            is_gone = _gone(process, seconds)
    if not is_gone:
        raise HostNotReady(f"The process {process.pid} does not end, not even by SIGKILL.")
    # Its children had as long as itself; they must not keep the port.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _send(pid: int, number: signal.Signals) -> None:
    """To the engine's whole group; to itself, in the moment before it has one."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            os.kill(pid, number)


def _gone(process: psutil.Process, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.Error:
            return True
        time.sleep(0.02)
    return False


def _asked_to_shut_down(port: int) -> bool:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/shutdown", data=b"", method="POST")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=SHUTDOWN_SECONDS) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def end_group(pid: int, created: float) -> None:
    """End the group of `pid` if that is still the process that started at `created`."""
    try:
        process = psutil.Process(pid)
        if abs(process.create_time() - created) > 1:
            return
        os.killpg(pid, signal.SIGKILL)
    except (psutil.Error, ProcessLookupError, PermissionError):
        return
