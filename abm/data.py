"""The data directory: made, writable, and used by one abm at a time."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from typing import IO


class DataUnusable(Exception):
    """The data directory cannot be used; the message says why and what to do."""


def prepare(folder: Path) -> None:
    """Make the folder and write a file in it. Raises DataUnusable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("samples", "models", "engines", "trials"):
            (folder / name).mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"0" * 65_536)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise DataUnusable(
            f"The data directory {folder} cannot be used: {error.strerror}. Free some space, give "
            "abm's user the right to write there, or set DATA_DIR to another place."
        ) from error


def lock(folder: Path) -> IO[str]:
    """Hold the folder for this process; keep the file that is returned. Raises DataUnusable."""
    holder = (folder / "lock").open("a+")
    try:
        fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder.seek(0)
        pid = holder.read().strip() or "another process"
        holder.close()
        raise DataUnusable(
            f"The data directory {folder} is in use by abm with the process number {pid}. "
            "End that one first, or set DATA_DIR to another place."
        ) from error
    holder.truncate(0)
    holder.write(str(os.getpid()))
    holder.flush()
    return holder
