"""What the lab has started, written down before it is, so that `down` ends that and no more."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from lab.place import LabError, Place

END_SECONDS = KILL_SECONDS = 10.0
LOCK_SECONDS = 600.0
POLL_SECONDS = 0.02
HOLD = "import os, sys; sys.stdin.buffer.read(1) == b'.' or sys.exit(1); \
null = os.open(os.devnull, os.O_RDONLY); os.dup2(null, 0); os.execv(sys.argv[1], sys.argv[1:])"
"""Waits to be told that its pid is on the disk and becomes the program then, under the same pid."""


class State:
    """The file `state.json`: processes with pid and creation time, mounts, network links."""

    def __init__(self, place: Place) -> None:
        self._file = place.folder / "state.json"
        self._logs = place.folder / "logs"
        self._rows: dict[str, Any] = {"processes": {}, "mounts": [], "links": []}
        if self._file.is_file():
            self._rows |= json.loads(self._file.read_text())

    @property
    def processes(self) -> dict[str, dict[str, Any]]:
        rows: dict[str, dict[str, Any]] = self._rows["processes"]
        return rows

    @property
    def mounts(self) -> list[str]:
        rows: list[str] = self._rows["mounts"]
        return rows

    @property
    def links(self) -> list[str]:
        rows: list[str] = self._rows["links"]
        return rows

    def note(self, kind: str, name: str) -> None:
        """Write a mount or link down; to be called before it is made."""
        if name not in self._rows[kind]:
            self._rows[kind].append(name)
            self._write()

    def forget(self, kind: str, name: str) -> None:
        if name in self._rows[kind]:
            self._rows[kind].remove(name)
            self._write()

    def process(self, name: str) -> psutil.Process | None:
        """The process that was started under this name, if it still is that one and lives."""
        row = self.processes.get(name)
        return alive(row["pid"], row["created"]) if row else None

    def start(self, name: str, command: Sequence[str], *, env: Mapping[str, str]) -> None:
        """Start a program in a session of its own; its output goes to `logs/<name>.log`."""
        self._logs.mkdir(parents=True, exist_ok=True)
        with (self._logs / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", HOLD, *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=dict(env),
                start_new_session=True,
            )
        created = psutil.Process(child.pid).create_time()
        assert child.stdin is not None
        with child.stdin as go:  # closed without a word it ends again
            self.processes[name] = {"pid": child.pid, "created": created, "command": list(command)}
            self._write()
            go.write(b".")
        child.returncode = 0  # it outlives this process: nobody waits for it here

    def end(self, name: str, *, seconds: float = END_SECONDS) -> None:
        """Ask the process to end, then force it; quiet if it is gone."""
        process = self.process(name)
        if process is not None:
            end(process, seconds=seconds)
        if self.processes.pop(name, None) is not None:
            self._write()

    def log_tail(self, name: str, lines: int = 5) -> str:
        """The last lines that a process wrote."""
        file = self._logs / f"{name}.log"
        text = file.read_text(errors="replace") if file.is_file() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _write(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        new = self._file.with_suffix(".new")
        with new.open("w") as file:
            json.dump(self._rows, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._file)


def alive(pid: int, created: float) -> psutil.Process | None:
    """The process of this pid, if it is still the one created then and no zombie."""
    try:
        process = psutil.Process(pid)
        is_it = abs(process.create_time() - created) < 0.05
        return process if is_it and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def end(process: psutil.Process, *, seconds: float = END_SECONDS) -> None:
    """SIGTERM, and SIGKILL after `seconds`, at once with 0. Returns when it is gone."""
    created = process.create_time()
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, KILL_SECONDS)):
        if patience == 0:
            continue
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if _is_gone(process.pid, created):
                return
            time.sleep(POLL_SECONDS)
    raise LabError(f"The process {process.pid} does not end, not even by SIGKILL.")


def _is_gone(pid: int, created: float) -> bool:
    """Whether the last thread of it has ended; a child of this process is taken leave of."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return alive(pid, created) is None and not _has_threads(pid)


def _has_threads(pid: int) -> bool:
    """A process whose first thread ended reads as a zombie while the others go on."""
    try:
        return len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
    except OSError:
        return False


@contextlib.contextmanager
def only_one(place: Place, *, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold the lab alone, so that two `up` do not build the same thing."""
    place.folder.mkdir(parents=True, exist_ok=True)
    with Path(place.folder / "lock").open("w") as file:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise LabError(f"Another command holds the lab in {place.folder}.") from error
                time.sleep(0.2)
        yield
