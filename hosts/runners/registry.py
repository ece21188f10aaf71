"""Which runner reaches which type of host: a new driver is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hosts.runners.base import EngineRunner, HostNotReady
from hosts.runners.local import LocalRunner

RUNNERS: dict[str, Callable[[Path], EngineRunner]] = {"subprocess": LocalRunner}


def open_runner(host_type: str, *, data_dir: Path) -> EngineRunner:
    """The runner for hosts of `host_type`. Raises HostNotReady for a type without a driver."""
    if host_type not in RUNNERS:
        raise HostNotReady(f"abm has no driver for hosts of the type {host_type} yet.")
    return RUNNERS[host_type](data_dir)
