"""Asking a program of this machine, which may never answer: a driver that hangs holds it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ANSWER_SECONDS = 5.0
END_SECONDS = 0.5
LONGEST = 4_000_000
FOLDERS = ("/usr/bin", "/usr/local/bin", "/opt/rocm/bin", "/usr/lib/wsl/lib", "/opt/bin")
"""Looked into after PATH, which is short in services."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a program printed, and how it ended."""

    text: str = ""
    code: int | None = None
    """None where there is no such program, or it did not answer in time."""
    is_late: bool = False

    @property
    def is_missing(self) -> bool:
        return self.code is None and not self.is_late


Ask = Callable[[Sequence[str]], Said]
"""Runs a command where the cards are. Never raises for what the command does."""


class Asker:
    """Runs commands here, each with a time limit; one that cannot be killed is not run again."""

    def __init__(self, *, path: str | None = None, seconds: float = ANSWER_SECONDS) -> None:
        self._path = path
        self._seconds = seconds
        self._stuck: dict[str, subprocess.Popen[str]] = {}

    def __call__(self, command: Sequence[str]) -> Said:
        program = self._find(command[0])
        if program is None:
            return Said()
        before = self._stuck.get(program)
        if before is not None and before.poll() is None:
            return Said(is_late=True)
        self._stuck.pop(program, None)
        try:
            process = subprocess.Popen(
                [program, *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            return Said(str(error), code=126)
        try:
            text, _ = process.communicate(timeout=self._seconds)
        except subprocess.TimeoutExpired:
            self._end(program, process)
            return Said(is_late=True)
        return Said(text[:LONGEST], process.returncode)

    def _end(self, program: str, process: subprocess.Popen[str]) -> None:
        """Kill it with all its children; a driver may keep it even so."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        try:
            process.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            self._stuck[program] = process

    def _find(self, name: str) -> str | None:
        return _found(name, self._path)


def is_program_here(name: str) -> bool:
    """Whether an Asker finds it on this machine, or in this container."""
    return _found(name, None) is not None


def _found(name: str, path: str | None) -> str | None:
    found = shutil.which(name, path=path)
    if found or path is not None:
        return found
    places = (Path(folder) / name for folder in FOLDERS)
    return next((str(place) for place in places if os.access(place, os.X_OK)), None)
