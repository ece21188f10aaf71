"""Looking at a host again and again: yields what it saw and knows neither engines nor rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hosts.runners.base import EngineRunner, EngineSpec, EngineStatus, RunnerError
from jobs.outcome import CancelToken

LOOK_SECONDS = 1.0
SEEN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Observation:
    """How an engine is, by its name on the host."""

    name: str
    status: EngineStatus


@dataclass(frozen=True, slots=True)
class HostSeen:
    """The host answered; due every ten seconds."""


@dataclass(frozen=True, slots=True)
class HostLost:
    """The host did not answer; `message` says why."""

    message: str


def watch(
    open_runner: Callable[[], EngineRunner],
    specs: Callable[[], Iterable[EngineSpec]],
    cancel: CancelToken,
) -> Iterator[Observation | HostSeen | HostLost | float]:
    """Look at every engine once a second until cancelled; a look that fails is told, not raised.

    After each look come the seconds to wait for the next.
    """
    seen_at = 0.0
    while not cancel.is_cancelled:
        try:
            with open_runner() as runner:
                for spec in specs():
                    yield Observation(spec.name, runner.status(spec))
        except RunnerError as error:
            yield HostLost(error.message)
        else:
            if time.monotonic() - seen_at >= SEEN_SECONDS:
                seen_at = time.monotonic()
                yield HostSeen()
        yield LOOK_SECONDS


def saved_at(folder: Path) -> float:
    """When a file of an engine's source was saved last, as epoch seconds."""
    newest = 0.0
    for pattern in ("*.py", "*.yaml", "requirements.txt"):
        for file in folder.rglob(pattern):
            if "__pycache__" not in file.parts and "site-packages" not in file.parts:
                newest = max(newest, file.stat().st_mtime)
    return newest
