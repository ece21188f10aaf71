"""What engines use, over the last hour, as the links of this process read it.

In memory: figures are worth nothing after a restart, and a row for each would be the busiest
table. An abm whose link is another process has none to show.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone

from engines.stats import Stats
from hosts.link.docker_samples import Sample
from hosts.runners.base import EngineStatus

EVERY = timedelta(seconds=5)
KEPT = int(timedelta(hours=1) / EVERY)

_lock = threading.Lock()
_sources: dict[int, Callable[[], list[Sample]]] = {}


def tell_from(engine_pk: int, history: Callable[[], list[Sample]]) -> None:
    """From now on the figures of this engine are had from `history`."""
    with _lock:
        _sources[engine_pk] = history


def stats_of(engine_pk: int) -> Stats:
    """The last hour of an engine; no samples where nobody reads any."""
    with _lock:
        history = _sources.get(engine_pk)
    return Stats(history() if history else [])


class ProcessFigures:
    """The figures of engines that run as processes, out of the looks that are taken anyway."""

    def __init__(self) -> None:
        self._rings: dict[int, deque[Sample]] = {}

    def take(self, engine_pk: int, status: EngineStatus) -> bool:
        """Keep a sample every five seconds; whether this was one."""
        ring = self._rings.get(engine_pk)
        if ring is None:
            ring = self._rings[engine_pk] = deque(maxlen=KEPT)
            tell_from(engine_pk, lambda: list(ring))
        now = timezone.now()
        if ring and now - ring[-1].at < EVERY:
            return False
        if not status.is_running:
            if ring and not ring[-1].is_gap:
                ring.append(Sample(now))
            return False
        ring.append(Sample(now, cpu_percent=status.cpu_percent, memory_bytes=status.memory_bytes))
        return True
