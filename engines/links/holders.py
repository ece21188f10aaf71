"""Which process is which engine's first, as the links of this process saw it last."""

from __future__ import annotations

import threading

from hosts.runners.base import EngineStatus

_lock = threading.Lock()
_pids: dict[int, int] = {}


def note(engine_pk: int, status: EngineStatus) -> None:
    """Remember the process of an engine that runs, and forget that of one that does not."""
    with _lock:
        if status.is_running and status.pid:
            _pids[engine_pk] = status.pid
        else:
            _pids.pop(engine_pk, None)


def engines_by_pid() -> dict[int, int]:
    """The engine's key by the number of its first process."""
    with _lock:
        return {pid: engine_pk for engine_pk, pid in _pids.items()}
