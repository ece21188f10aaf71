"""The processes of local engines: started under a launcher, and ended."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil

from hosts.runners.base import EngineEndpoint, EngineSpec, HostNotReady, StartFailed
from hosts.runners.local_environment import engine_environment
from hosts.runners.local_files import EngineFiles, read_mark
from hosts.runners.local_port import choose_port, one_start_at_a_time, ports_of_others
from hosts.runners.local_status import endpoint_at, process_of, status

LAUNCHER = Path(__file__).with_name("launcher.py")
LOG_BYTES, LOG_COUNT = 5_000_000, 3
LAUNCH_SECONDS = 10.0
SHUTDOWN_SECONDS = 2.0
KILL_SECONDS = 5.0


def start(spec: EngineSpec, files: EngineFiles) -> EngineEndpoint:
    """Start the engine under its launcher. Raises PortTaken, StartFailed or HostNotReady."""
    end(files, grace=1.0)
    try:
        with one_start_at_a_time(files.folder.parent):
            port = choose_port(spec, held=ports_of_others(files))
            _launch(spec, files, port)
    except subprocess.SubprocessError as error:
        raise StartFailed(f"{spec.name} could not be started: {error}") from error
    except OSError as error:
        raise StartFailed(
            f"{spec.name} could not be started: {error.strerror} ({error.filename}). See that the "
            "disk has room and that abm may write there."
        ) from error
    return endpoint_at(port)


def _launch(spec: EngineSpec, files: EngineFiles, port: int) -> None:
    """Let a launcher start the engine, and wait until it says that it did."""
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
    if launched.stdout != b"ok":
        said = launched.stdout.decode("utf-8", "replace") or "its launcher ended without a word"
        raise StartFailed(f"{spec.name} could not be started: {said}")


def end(files: EngineFiles, *, grace: float) -> None:
    """Ask by POST /shutdown, then SIGTERM, then SIGKILL, each with its time limit."""
    process = process_of(files)
    if process is None:
        return
    run = read_mark(files.run_mark)
    port = int(run.get("port", 0))
    # Where it does not listen itself, another program may: that one is not ours to end.
    is_there = port in status(files, is_installed=True).listening_ports
    is_gone = is_there and _asked_to_shut_down(port) and _gone(process, SHUTDOWN_SECONDS)
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
    except (OSError, ValueError, http.client.HTTPException):
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
